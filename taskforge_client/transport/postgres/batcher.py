"""Gathers single sends into batches without making any of them wait for a timer.

The first send goes out at once; whatever comes while it is under way goes out together when it has
returned. So a lone caller pays nothing, and fifty at a time share one transaction.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from taskforge_client.errors import TaskForgeError, from_problem
from taskforge_client.transport.base import OutgoingJob
from taskforge_client.wire.jobs import Enqueued
from taskforge_client.wire.problems import Problem

_MOST: Final = 1000

Flush = Callable[[Sequence[OutgoingJob]], Awaitable[Sequence[Enqueued | Problem]]]


class Batcher:
    """Self-clocked batching over `flush`.

    Which answers in order with a problem where its job stood.
    """

    def __init__(self, flush: Flush) -> None:
        self._flush = flush
        self._waiting: list[tuple[OutgoingJob, asyncio.Future[Enqueued]]] = []
        self._running: asyncio.Task[None] | None = None

    async def put(self, job: OutgoingJob) -> Enqueued:
        """Return the answer to `job` once its batch is durable.

        Raises what concerns this job alone.
        """
        future: asyncio.Future[Enqueued] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await future

    async def aclose(self) -> None:
        """Wait until everything put so far was answered."""
        while self._running is not None and not self._running.done():
            await asyncio.wait((self._running,))

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            try:
                answers = await self._flush([job for job, _ in batch])
            except TaskForgeError as error:
                _fail(batch, error)
            except BaseException as error:
                _fail(batch, error)
                raise
            else:
                _settle(batch, answers)


def _settle(
    batch: Sequence[tuple[OutgoingJob, asyncio.Future[Enqueued]]],
    answers: Sequence[Enqueued | Problem],
) -> None:
    for (_, future), answer in zip(batch, answers, strict=True):
        if future.done():
            continue
        if isinstance(answer, Problem):
            future.set_exception(from_problem(answer))
        else:
            future.set_result(answer)


def _fail(
    batch: Sequence[tuple[OutgoingJob, asyncio.Future[Enqueued]]], error: BaseException
) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
