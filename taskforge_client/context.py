"""The running job as its own task sees it.

`current_job()`, from any depth of the task's code, without passing it along.

Nothing here does I/O: what a task reports is kept in the object, and the worker carries it away
with its next heartbeat or with the outcome. Outside a worker `current_job()` is a quiet dummy, so
that tasks run as plain functions.
"""

from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from taskforge_client.control import Cancel
from taskforge_client.transport.base import OutgoingJob
from taskforge_client.wire.ids import job_id
from taskforge_client.wire.jobs import Encoding, Progress
from taskforge_client.wire.policies import DEFAULT_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from taskforge_client.wire.workers import ClaimedJob

LOG_LIMIT: Final = 64 * 1024


class Spawnable(Protocol):
    """An invocation: something that can be put into a job ready to be sent."""

    def encode(self) -> OutgoingJob:
        """Return the job with its arguments checked and encoded."""
        ...


class AttemptLog:
    """Lines that are kept with the attempt and shown beside it, at most 64 KiB.

    What comes after is counted.

    Every method takes a message and arguments for ``%``, as the standard library's loggers do.
    """

    __slots__ = ("_dropped", "_lines", "_size")

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = 0
        self._dropped = 0

    def debug(self, message: str, /, *arguments: object) -> None:
        """Keep a line that matters to the task's author alone."""
        self._keep("DEBUG", message, arguments)

    def info(self, message: str, /, *arguments: object) -> None:
        """Keep a line about the ordinary course of things."""
        self._keep("INFO", message, arguments)

    def warning(self, message: str, /, *arguments: object) -> None:
        """Keep a line about something unexpected that did not stop the task."""
        self._keep("WARNING", message, arguments)

    def error(self, message: str, /, *arguments: object) -> None:
        """Keep a line about something that went wrong."""
        self._keep("ERROR", message, arguments)

    @property
    def text(self) -> str | None:
        """All kept lines, None when there are none."""
        if not self._lines:
            return None
        kept = "\n".join(self._lines)
        return f"{kept}\n({self._dropped} more lines were dropped)" if self._dropped else kept

    def _keep(self, level: str, message: str, arguments: tuple[object, ...]) -> None:
        line = f"{level} {message % arguments if arguments else message}"
        self._size += len(line) + 1
        if self._size > LOG_LIMIT:
            self._dropped += 1
        else:
            self._lines.append(line)


class CurrentJob:
    """The attempt that is running now.

    The worker makes one for each attempt from the claimed job and the time the attempt started
    (seconds since 1970), and reads `reported`, `spawned` and `log.text` back. Costly forms, such as
    the id's text, are made when asked for.
    """

    __slots__ = (
        "_cancel_reason",
        "_claimed",
        "_extended_seconds",
        "_log",
        "_on_extend",
        "_spawned",
        "_started_unix",
        "reported",
    )

    def __init__(
        self,
        claimed: "ClaimedJob",
        started_unix: float,
        on_extend: Callable[[float], None] | None = None,
    ) -> None:
        self._claimed = claimed
        self._started_unix = started_unix
        self._on_extend = on_extend
        self._extended_seconds = 0.0
        self._cancel_reason: str | None = None
        self._log: AttemptLog | None = None
        self._spawned: list[OutgoingJob] | None = None
        self.reported: Progress | None = None

    @property
    def id(self) -> str:
        """The job's public id, such as ``job_01kq2h8m0g000``: the same for every attempt."""
        return job_id(self._claimed.number)

    @property
    def task(self) -> str:
        """The task's name."""
        return self._claimed.task

    @property
    def queue(self) -> str:
        """The queue the job was claimed from."""
        return self._claimed.queue

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._claimed.attempt

    @property
    def max_attempts(self) -> int:
        """How many attempts there are in all."""
        return self._claimed.max_attempts

    @property
    def deadline(self) -> datetime:
        """When the attempt is stopped if it still runs (aware, UTC)."""
        seconds = self._started_unix + self._claimed.timeout_seconds + self._extended_seconds
        return datetime.fromtimestamp(seconds, UTC)

    @property
    def fire_time(self) -> datetime | None:
        """The moment a schedule made this job for (aware, UTC).

        None for jobs that no schedule made.
        """
        microseconds = self._claimed.fire_time_us
        if microseconds is None:
            return None
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)

    @property
    def key(self) -> str | None:
        """The idempotency key it was sent with."""
        return self._claimed.key

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags it was sent with."""
        return self._claimed.tags

    @property
    def meta(self) -> dict[str, str]:
        """The free text by name it was sent with."""
        return self._claimed.meta

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked this job to stop."""
        return self._cancel_reason is not None

    @property
    def log(self) -> AttemptLog:
        """The attempt's own log, kept and shown with it."""
        if self._log is None:
            self._log = AttemptLog()
        return self._log

    @property
    def log_text(self) -> str | None:
        """What `log` holds so far, None when nothing was written."""
        return None if self._log is None else self._log.text

    @property
    def spawned(self) -> tuple[OutgoingJob, ...]:
        """What `spawn` collected so far."""
        return () if self._spawned is None else tuple(self._spawned)

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """Report how far the task is: `done` of `total` in any unit, and a short note."""
        self.reported = Progress(done=done, total=total, note=note)

    def raise_if_cancelled(self) -> None:
        """Raise `Cancel` when somebody asked this job to stop.

        Long loops in plain functions call it now and then.
        """
        if self._cancel_reason is not None:
            raise Cancel(self._cancel_reason)

    def extend(self, seconds: float) -> None:
        """Move the deadline `seconds` further away."""
        self._extended_seconds += seconds
        if self._on_extend is not None:
            self._on_extend(seconds)

    def spawn(self, *invocations: Spawnable) -> None:
        """Send jobs as part of this one's success.

        They are stored in the same transaction, or not at all.
        """
        jobs = [invocation.encode() for invocation in invocations]
        if self._spawned is None:
            self._spawned = jobs
        else:
            self._spawned.extend(jobs)

    def request_cancel(self, reason: str) -> None:
        """Let the task see that it is to stop (called by the worker)."""
        self._cancel_reason = reason


CURRENT_JOB: Final[ContextVar[CurrentJob]] = ContextVar("taskforge_current_job")


def current_job() -> CurrentJob:
    """Return the job whose attempt is running here.

    Outside a worker a quiet dummy that forgets what it is told.
    """
    job = CURRENT_JOB.get(None)
    return _dummy() if job is None else job


def _dummy() -> CurrentJob:
    from taskforge_client.wire.workers import ClaimedJob

    claimed = ClaimedJob(
        number=0,
        attempt=1,
        max_attempts=1,
        token=0,
        queue="default",
        task="",
        payload=b"\x80",
        encoding=Encoding.MSGPACK,
        timeout_seconds=DEFAULT_TIMEOUT_SECONDS,
    )
    return CurrentJob(claimed, started_unix=0.0)
