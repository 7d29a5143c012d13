"""Jobs on the wire: what is asked for, what is answered, and what is shown."""

from datetime import datetime
from enum import Enum
from typing import Any

from attrs import Factory, frozen

from taskforge_client.wire.policies import RetryPolicy, UniquePolicy
from taskforge_client.wire.problems import Problem
from taskforge_client.wire.states import JobState, OnParentFailure

DEFAULT_QUEUE = "default"
EXPIRED = "expired"  # the reason of a job that was cancelled because it was not started in time


class Encoding(Enum):
    """How a payload's bytes are to be read."""

    JSON = "json"
    MSGPACK = "msgpack"

    @property
    def number(self) -> int:
        """The small integer that stands for this encoding in storage."""
        return 1 if self is Encoding.JSON else 2


ENCODINGS_BY_NUMBER = {encoding.number: encoding for encoding in Encoding}


@frozen(kw_only=True)
class JobOptions:
    """How a job is to be run.

    Unset fields leave the choice to the task's decorator or to the server.

    `delay_seconds` and `run_at` exclude each other. `after` holds ids of jobs that must end first.
    `meta` is free text by name, shown but never interpreted. `retry` travels with the job and
    overrules the task's own policy; `max_attempts` alone tells storage the budget of a policy that
    stays with the task (so a job costs no more).
    """

    queue: str = DEFAULT_QUEUE
    priority: int = 0
    delay_seconds: float | None = None
    run_at: datetime | None = None
    expires_seconds: float | None = None
    timeout_seconds: float | None = None
    retry: RetryPolicy | None = None
    max_attempts: int | None = None
    key: str | None = None
    unique: UniquePolicy | None = None
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = Factory(dict)
    after: tuple[str, ...] = ()
    on_parent_failure: OnParentFailure = OnParentFailure.CANCEL
    dead_letters: bool = True


@frozen(kw_only=True)
class JobSpec:
    """One job asked for over the network.

    Exactly one of `args` (named arguments as plain values) and `payload` (the same, already encoded
    as `encoding`).
    """

    task: str
    args: dict[str, Any] | None = None
    payload: bytes | None = None
    encoding: Encoding = Encoding.MSGPACK
    options: JobOptions = JobOptions()


@frozen(kw_only=True)
class Enqueued:
    """The answer to one job asked for.

    Its id, and whether it stood there before (by `key` or `unique`).
    """

    id: str
    deduplicated: bool = False


@frozen(kw_only=True)
class ErrorView:
    """Why an attempt failed. `traceback` is text and is never executed or unpickled."""

    type: str
    message: str
    traceback: str = ""
    group: str = ""


@frozen(kw_only=True)
class AttemptView:
    """One attempt that has ended, and where it moved its job."""

    attempt: int
    state: JobState
    finished_at: datetime
    started_at: datetime | None = None
    worker: str | None = None
    error: ErrorView | None = None
    log: str | None = None


@frozen(kw_only=True)
class Progress:
    """How far a running job says it is."""

    done: float
    total: float | None = None
    note: str | None = None


@frozen(kw_only=True)
class JobView:
    """A job as it stands now.

    `result` holds encoded bytes, present only once it succeeded and kept its result.
    """

    id: str
    task: str
    queue: str
    state: JobState
    priority: int
    attempt: int
    max_attempts: int
    created_at: datetime
    run_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    key: str | None = None
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = Factory(dict)
    after: tuple[str, ...] = ()
    payload: bytes = b""
    encoding: Encoding = Encoding.MSGPACK
    result: bytes | None = None
    result_kept: bool = False
    error: ErrorView | None = None
    reason: str | None = None
    progress: Progress | None = None
    attempts: tuple[AttemptView, ...] = ()
    worker: str | None = None
    edited_from: str | None = None
    edited_as: str | None = None


@frozen(kw_only=True)
class CancelAnswer:
    """What a cancellation came to.

    The state now, and whether a running attempt was asked to stop.
    """

    id: str
    state: JobState
    requested: bool = False


@frozen(kw_only=True)
class BulkItem:
    """The answer to one job of a bulk request.

    The id of what is stored, or the problem that refused it.
    """

    id: str | None = None
    deduplicated: bool = False
    problem: Problem | None = None


@frozen(kw_only=True)
class CancelRequest:
    """Cancel a job, with a reason that is kept and shown."""

    reason: str = ""


@frozen(kw_only=True)
class RetryRequest:
    """Run a job once more.

    `args` (plain values) or `payload` (MessagePack) make a new job that remembers the old one;
    without either the same job goes on.
    """

    args: dict[str, Any] | None = None
    payload: bytes | None = None
