"""Runs one invocation in this process at once, as a worker would: for tests.

The arguments and the result pass the codec, failures are retried and steering is obeyed by the
worker's own rules, but waits between attempts take no time and nothing is sent or stored.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Generic, TypeVar

import msgspec

from taskforge_client.context import CURRENT_JOB, CurrentJob
from taskforge_client.control import Steering
from taskforge_client.errors import InvalidRequest, ResultTimeout
from taskforge_client.handles import ending_error
from taskforge_client.portal import refuse_on_running_loop
from taskforge_client.retry import Retry
from taskforge_client.task import Invocation
from taskforge_client.transport.base import OutgoingJob
from taskforge_client.wire.ids import job_id
from taskforge_client.wire.jobs import JobView
from taskforge_client.wire.policies import DEFAULT_ATTEMPTS, DEFAULT_TIMEOUT_SECONDS
from taskforge_client.wire.states import JobState
from taskforge_client.wire.workers import ClaimedJob, Finished
from taskforge_client.worker.outcome import Rules, raised

R = TypeVar("R")
_NUMBER: Final = 1
_MOST_SNOOZES: Final = 100
_ENCODED_NONE: Final = msgspec.msgpack.encode(None)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def run_now(invocation: Invocation[R]) -> R:
    """Run an invocation here and return its result, after as many attempts as it takes.

    What the task spawns is sent by its app once it has succeeded.

    Raises:
        JobFailed: its attempts are used up; `JobDead` unless its task says ``dead_letters=False``.
        JobCancelled: it cancelled itself.
        InvalidRequest: its arguments or its result can't be sent.
        ResultTimeout: it put itself off a hundred times.
        UseAwait: an event loop runs in this thread.
    """
    refuse_on_running_loop("run_now")
    trial = _Trial(invocation)
    while not trial.is_over:
        with trial.attempt() as call:
            value = call()
            trial.succeed(asyncio.run(value) if invocation.task.is_async else value)
    for spawned in trial.spawned:
        invocation.task.sender.enqueue(spawned)
    return trial.result()


async def arun_now(invocation: Invocation[R]) -> R:
    """Run an invocation, as `run_now`, on a running event loop.

    A plain function runs in a thread.
    """
    trial = _Trial(invocation)
    while not trial.is_over:
        with trial.attempt() as call:
            value = await (call() if invocation.task.is_async else asyncio.to_thread(call))
            trial.succeed(value)
    for spawned in trial.spawned:
        await invocation.task.sender.aenqueue(spawned)
    return trial.result()


class _Trial(Generic[R]):
    """The attempts of one invocation, up to its end."""

    def __init__(self, invocation: Invocation[R]) -> None:
        self.is_over = False
        self.spawned: tuple[OutgoingJob, ...] = ()
        self._task = invocation.task
        self._job = _claimed(invocation.encode())
        self._result: bytes | None = None
        self._snoozes = 0

    @contextmanager
    def attempt(self) -> Iterator[Callable[[], Any]]:
        """Yield what runs the task's code once; what it raises decides what comes next."""
        current = CurrentJob(self._job, started_unix=0.0)
        token = CURRENT_JOB.set(current)
        try:
            arguments = self._task.decode_arguments(self._job.payload, self._job.encoding)
            yield partial(self._task.target, **arguments)
            self.spawned = current.spawned
        except InvalidRequest:
            raise
        except (Exception, Steering) as error:  # noqa: BLE001  a task may raise anything
            self._follow(error, current)
        finally:
            CURRENT_JOB.reset(token)

    def succeed(self, value: object) -> None:
        """Keep what the code returned, as a worker would store it."""
        self._result = self._task.encode_result(value)
        self.is_over = True

    def result(self) -> R:
        """Return what came through the codec; None where the task stores no result."""
        return self._task.decode_result(_ENCODED_NONE if self._result is None else self._result)

    def _follow(self, error: BaseException, current: CurrentJob) -> None:
        rules = Rules(
            retry=_retry_of(self._task.retry, self._job), dead_letters=self._task.dead_letters
        )
        outcome = raised(self._job, rules, error, random.random)
        if outcome.state is not JobState.SCHEDULED:
            raise ending_error(_view(self._job, outcome, current)) from error
        if outcome.burns_attempt:
            self._job.attempt += 1
            return
        self._snoozes += 1
        if self._snoozes >= _MOST_SNOOZES:
            raise ResultTimeout(f"{self._job.task} put itself off {_MOST_SNOOZES} times") from error


def _retry_of(stated: Retry | None, job: ClaimedJob) -> Retry:
    return stated or Retry.exponential(attempts=job.max_attempts)


def _claimed(job: OutgoingJob) -> ClaimedJob:
    options = job.options
    policy = options.retry
    attempts = options.max_attempts if policy is None else policy.attempts
    timeout = options.timeout_seconds
    return ClaimedJob(
        number=_NUMBER,
        attempt=1,
        max_attempts=attempts or DEFAULT_ATTEMPTS,
        token=0,
        queue=options.queue,
        task=job.task,
        payload=job.payload,
        encoding=job.encoding,
        timeout_seconds=DEFAULT_TIMEOUT_SECONDS if timeout is None else timeout,
        retry=None if policy is None else msgspec.json.encode(policy).decode(),
        key=options.key,
        tags=options.tags,
        meta=options.meta,
    )


def _view(job: ClaimedJob, outcome: Finished, current: CurrentJob) -> JobView:
    return JobView(
        id=job_id(job.number),
        task=job.task,
        queue=job.queue,
        state=outcome.state,
        priority=0,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        created_at=_EPOCH,
        payload=job.payload,
        encoding=job.encoding,
        error=outcome.error,
        reason=outcome.reason,
        progress=current.reported,
    )
