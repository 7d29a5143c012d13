"""Turns what became of an attempt into the value that is recorded.

Pure: values in, a `Finished` out. Every way an attempt can end goes through here: a returned value,
an exception, a steering exception, the deadline, a cancellation, a drain, a process that died, and
jobs that could not even start.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final

import msgspec
from attrs import evolve, frozen

from taskforge_client.control import Bury, Cancel, RetryIn, Snooze, Steering
from taskforge_client.retry import Retry
from taskforge_client.wire.jobs import EXPIRED, ErrorView
from taskforge_client.wire.policies import Backoff, RetryPolicy
from taskforge_client.wire.states import JobState
from taskforge_client.wire.workers import ClaimedJob, Finished
from taskforge_client.worker.failure import clean, error_view, stated_error

Random = Callable[[], float]

REASON_LIMIT: Final = 1024
RESULT_LIMIT_BYTES: Final = 1024 * 1024

TIMEOUT: Final = "timeout"
WORKER_CRASHED: Final = "worker_crashed"
UNKNOWN_TASK: Final = "UNKNOWN_TASK"
UNDECODABLE_ARGUMENTS: Final = "UNDECODABLE_ARGUMENTS"
RESULT_TOO_LARGE: Final = "RESULT_TOO_LARGE"
UNENCODABLE_RESULT: Final = "UNENCODABLE_RESULT"
WORKER_DRAINED: Final = "worker_drained"

# A task no worker knows may belong to a deployment that is still rolling out: waits of 1, 4, 16, 64
# and 256 seconds, so that the sixth attempt, after nearly six minutes, is the last. They count as
# attempts of the job.
UNKNOWN_TASK_ATTEMPTS: Final = 6
_UNKNOWN_TASK_FACTOR: Final = 4.0


_SUCCEEDED: Final = JobState.SUCCEEDED


class Undecodable(Exception):
    """The arguments of a job can't be read; the message says why, in words for the dead letters."""


class Stop(Enum):
    """Why the worker itself ended an attempt."""

    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    DRAINED = "drained"
    LOST = "lost"


@frozen(kw_only=True)
class Rules:
    """What a task's author laid down about failing."""

    retry: Retry
    dead_letters: bool = True


def rules_for(job: ClaimedJob, task: Rules) -> Rules:
    """Return a job's rules: its own policy, where it has one, under its task's error filters.

    Raises:
        msgspec.DecodeError: the stored policy can't be read.
    """
    if job.retry is None:
        return task
    policy = msgspec.json.decode(job.retry, type=RetryPolicy)
    wait = task.retry.wait if policy.backoff is Backoff.CUSTOM else None
    return evolve(task, retry=evolve(task.retry, policy=policy, wait=wait))


def succeeded(job: ClaimedJob, result: bytes | None) -> Finished:
    """Return the outcome of an attempt that returned.

    `result` is encoded, None where it is not kept.
    """
    return Finished(job.number, job.attempt, job.token, _SUCCEEDED, 0, result)


def raised(job: ClaimedJob, task: Rules, error: BaseException, random: Random) -> Finished:
    """Return the outcome of an attempt that raised: it steers, or it fails the attempt."""
    if isinstance(error, Steering):
        return _steered(job, task, error)
    if isinstance(error, Undecodable):
        return unreadable(job, error)
    return _failed(job, task, error, error_view(error), random)


def _steered(job: ClaimedJob, task: Rules, error: Steering) -> Finished:
    match error:
        case Snooze():
            return _later(job, error.seconds, error.reason, burns_attempt=False)
        case RetryIn() if job.attempt < job.max_attempts:
            return _later(job, error.seconds, error.reason)
        case Cancel():
            return _ended(job, JobState.CANCELLED, reason=error.reason)
        case Bury():
            return _ended(job, JobState.DEAD, reason=error.reason)
    return _exhausted(job, task, error_view(error), getattr(error, "reason", None))


def stopped(
    job: ClaimedJob, task: Rules, stop: Stop, detail: str, random: Random
) -> Finished | None:
    """Return the outcome of an attempt the worker ended; None when it is not ours to report.

    `detail` is the reason given with a cancellation. A drained attempt goes back and does not
    count.
    """
    if stop is Stop.LOST:
        return None
    if stop is Stop.CANCELLED:
        return _ended(job, JobState.CANCELLED, reason=detail)
    if stop is Stop.DRAINED:
        return _later(job, 0.0, WORKER_DRAINED, burns_attempt=False)
    message = f"the attempt ran longer than its timeout of {job.timeout_seconds:g} s"
    view = stated_error(TIMEOUT, message)
    return _failed(job, task, TimeoutError(message), view, random, reason=TIMEOUT)


def crashed(job: ClaimedJob, task: Rules, how: str, random: Random) -> Finished:
    """Return the outcome of an attempt whose process died; `how` says what killed it."""
    message = f"the process running the attempt died: {how}"
    view = stated_error(WORKER_CRASHED, message)
    return _failed(job, task, ChildProcessError(message), view, random, reason=WORKER_CRASHED)


def unknown_task(job: ClaimedJob) -> Finished:
    """Return the outcome of a job whose task this worker does not know."""
    view = stated_error(UNKNOWN_TASK, f"no task named {job.task!r} is known to this worker")
    if job.attempt >= UNKNOWN_TASK_ATTEMPTS:
        return _ended(job, JobState.DEAD, reason=UNKNOWN_TASK, error=view)
    delay_seconds = _UNKNOWN_TASK_FACTOR ** (job.attempt - 1)
    return _later(job, delay_seconds, UNKNOWN_TASK, error=view)


def unreadable(job: ClaimedJob, error: Exception) -> Finished:
    """Return the outcome of a job whose arguments can't be read.

    Dead at once, another attempt would read the same.
    """
    view = stated_error(UNDECODABLE_ARGUMENTS, str(error))
    return _ended(job, JobState.DEAD, reason=UNDECODABLE_ARGUMENTS, error=view)


def unstorable(job: ClaimedJob, task: Rules, reason: str, message: str) -> Finished:
    """Return the outcome of an attempt whose result can't be kept, for `reason`.

    Running it again would not help.
    """
    return _exhausted(job, task, stated_error(reason, message), reason)


def expired(job: ClaimedJob) -> Finished:
    """Return the outcome of a job that was claimed after it had expired."""
    return _ended(job, JobState.CANCELLED, reason=EXPIRED)


def _failed(
    job: ClaimedJob,
    task: Rules,
    error: BaseException,
    view: ErrorView,
    random: Random,
    *,
    reason: str | None = None,
) -> Finished:
    if job.attempt >= job.max_attempts:
        return _exhausted(job, task, view, reason)
    delay_seconds = retry_delay_seconds(job, task, error, random)
    if delay_seconds is None:
        return _exhausted(job, task, view, reason)
    return _later(job, delay_seconds, reason, error=view)


def retry_delay_seconds(
    job: ClaimedJob, task: Rules, error: BaseException, random: Random
) -> float | None:
    """Return the wait before the next attempt, None when `error` is not to be tried again.

    What the worker itself states (a timeout, a crash) is tried again whatever the task's error
    filters say, since no code of the task raised it. A custom function that fails itself falls back
    to the waits of its policy.
    """
    try:
        retry = rules_for(job, task).retry
    except msgspec.DecodeError:
        retry = task.retry
    if isinstance(error, TimeoutError | ChildProcessError) and error.__traceback__ is None:
        retry = evolve(retry, on=(Exception,), not_on=())
    try:
        return retry.delay_seconds(job.attempt, error, random)
    except Exception:  # noqa: BLE001 - a user's function may raise anything; the job must go on all the same
        return evolve(retry, wait=None).delay_seconds(job.attempt, error, random)


def _exhausted(job: ClaimedJob, task: Rules, view: ErrorView, reason: str | None) -> Finished:
    state = JobState.DEAD if task.dead_letters else JobState.FAILED
    return _ended(job, state, reason=reason, error=view)


def _ended(
    job: ClaimedJob, state: JobState, *, reason: str | None, error: ErrorView | None = None
) -> Finished:
    return Finished(
        job.number, job.attempt, job.token, state, error=error, reason=_clean_reason(reason)
    )


def _later(
    job: ClaimedJob,
    delay_seconds: float,
    reason: str | None,
    *,
    error: ErrorView | None = None,
    burns_attempt: bool = True,
) -> Finished:
    return Finished(
        job.number,
        job.attempt,
        job.token,
        JobState.SCHEDULED,
        error=error,
        reason=_clean_reason(reason),
        delay_seconds=delay_seconds,
        burns_attempt=burns_attempt,
    )


def _clean_reason(reason: str | None) -> str | None:
    return clean(reason)[:REASON_LIMIT] if reason else None
