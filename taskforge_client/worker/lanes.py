"""Runs async tasks in place, many after another in one asyncio task, each in a context of its own.

A *lane* is one asyncio task that takes jobs from the queue and drives their coroutines. A coroutine
that never suspends, as most short ones don't, costs no asyncio task, no timer and no turn of the
loop; one that suspends keeps its lane until it ends, and another lane goes on with the queue.
Inside a coroutine `asyncio.current_task()` is its lane, which nothing else uses meanwhile, so
timeouts, task groups and cancel scopes work as in any task; context variables are its own. A lane
whose task was cancelled ends with its job, so that no cancellation reaches the next.
"""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any, Final

from taskforge_client.context import CURRENT_JOB
from taskforge_client.wire.workers import ClaimedJob
from taskforge_client.worker.attempt import RunningAttempt
from taskforge_client.worker.bench import Bench
from taskforge_client.worker.board import NEVER, STEP, Fields
from taskforge_client.worker.outcome import Stop, Undecodable
from taskforge_client.worker.runnable import Place, Runnable

SLICE_SECONDS: Final = 0.005


class Lanes:
    """At most `limit` lanes over one queue of claimed jobs.

    `divert` takes the jobs that don't run on the loop, or can't run at all.
    """

    def __init__(
        self,
        bench: Bench,
        limit: int,
        divert: Callable[[ClaimedJob, Runnable | None], None],
    ) -> None:
        self.count = 0
        self._bench = bench
        self._waiting = bench.waiting
        self._limit = limit
        self._divert = divert
        self._base = copy_context()
        self._starting = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def grow(self, most: int = 2) -> None:
        """Start up to `most` lanes for jobs that nobody takes yet."""
        wanted = min(most, len(self._waiting) - self._starting, self._limit - self.count)
        if wanted <= 0:
            return
        loop = asyncio.get_running_loop()
        for _ in range(wanted):
            self.count += 1
            self._starting += 1
            self._tasks.add(loop.create_task(self._lane(), context=self._base.copy()))

    async def _lane(self) -> None:
        self._starting -= 1
        mine = asyncio.current_task()
        assert mine is not None  # noqa: S101 - a coroutine of this loop always runs in a task
        try:
            await self._work(mine)
        finally:
            self._tasks.discard(mine)

    async def _work(self, mine: asyncio.Task[None]) -> None:
        bench = self._bench
        monotonic = bench.clock.monotonic
        find = bench.catalogue.get
        waiting = self._waiting
        take = waiting.popleft
        copy = self._base.copy
        blocking = bench.board.fields
        now = monotonic()
        slice_ends_at = now + SLICE_SECONDS
        while waiting:
            job = take()
            runnable = find(job.task)
            if runnable is None or runnable.place is not Place.LOOP or job.expired:
                self._divert(job, runnable)
                continue
            if runnable.concurrency is not None and not bench.admit(job, runnable):
                continue
            attempt = RunningAttempt(job, now + bench.unix_offset, runnable, now)
            context = copy()
            blocking[STEP] = attempt.deadline_at
            begun = self._begin(attempt, context)
            if begun is not None:
                blocking[STEP] = NEVER
                await self._rest(attempt, context, begun, mine)
                if attempt.is_over:
                    return
            now = monotonic()
            bench.conclude(attempt, now)
            if mine.cancelling():
                break
            if now > slice_ends_at:
                bench.outcomes.nudge(quiet=False)
                blocking[STEP] = NEVER
                await _breathe()
                now = monotonic()
                slice_ends_at = now + SLICE_SECONDS
        blocking[STEP] = NEVER
        self.leave()

    def leave(self) -> None:
        """Count one lane less, because it ends or because what it drives was given up."""
        self.count -= 1
        if self._waiting:
            self.grow(1)
        else:
            self._bench.outcomes.nudge(quiet=not self._bench.running)

    def _begin(self, attempt: RunningAttempt, context: Context) -> "_Begun | None":
        """Run an attempt up to its first suspension; None when it ended before."""
        job, runnable = attempt.job, attempt.runnable
        try:
            arguments = runnable.decode(job.payload, job.encoding)
        except Exception as error:  # noqa: BLE001 - hooks of users' types may raise anything
            attempt.failure = Undecodable(str(error))
            return None
        try:
            coroutine = runnable.call(**arguments)
            return coroutine, context.run(_enter, coroutine, attempt)
        except StopIteration as end:
            attempt.value = end.value
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a task raises is its outcome
            attempt.failure = error
        return None

    async def _rest(
        self, attempt: RunningAttempt, context: Context, begun: "_Begun", mine: asyncio.Task[None]
    ) -> None:
        """Run a suspended attempt to its end, while other lanes go on."""

        def interrupt(_attempt: RunningAttempt, last_resort: bool) -> None:  # noqa: FBT001
            mine.cancel()
            if last_resort:
                self.leave()

        attempt.interrupt = interrupt
        self._bench.begin(attempt)
        self.grow()
        try:
            attempt.value = await _remainder(context, *begun, attempt, self._bench.board.fields)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a task raises is its outcome
            attempt.failure = error
        if attempt.is_over:
            return
        self._bench.end(attempt)
        if attempt.stop is None and mine.cancelling():
            attempt.stop = Stop.DRAINED  # the whole loop is being ended, by whoever owns it


_Begun = tuple[Coroutine[Any, Any, Any], Any]


def _enter(coroutine: Coroutine[Any, Any, Any], attempt: RunningAttempt) -> Any:
    CURRENT_JOB.set(attempt)
    return coroutine.send(None)


@types.coroutine
def _remainder(
    context: Context,
    coroutine: Coroutine[Any, Any, Any],
    awaited: Any,
    attempt: RunningAttempt,
    blocking: Fields,
) -> Generator[Any, Any, Any]:
    """Drive a suspended coroutine in its own context, passing on what it awaits.

    Returns its value.
    """
    while True:
        try:
            sent = yield awaited
        except BaseException as error:  # noqa: BLE001 - all of it belongs to the coroutine
            step: Callable[[Any], Any] = coroutine.throw
            argument: Any = error
        else:
            step = coroutine.send
            argument = sent
        blocking[STEP] = attempt.deadline_at
        try:
            awaited = context.run(step, argument)
        except StopIteration as end:
            return end.value
        finally:
            blocking[STEP] = NEVER


@types.coroutine
def _breathe() -> Generator[None, None, None]:
    """Let the loop turn once."""
    yield
