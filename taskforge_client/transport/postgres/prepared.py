"""What a set of job options becomes in storage, worked out once for all jobs sent alike."""

from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Any, Final

import msgspec
from attrs import frozen

from taskforge_client.errors import InvalidRequest
from taskforge_client.transport.base import OutgoingJob
from taskforge_client.wire.ids import job_number
from taskforge_client.wire.jobs import JobOptions
from taskforge_client.wire.policies import DEFAULT_ATTEMPTS, DEFAULT_TIMEOUT_SECONDS, UniquePolicy
from taskforge_client.wire.problems import MalformedValue
from taskforge_client.wire.states import OnParentFailure

FLAG_NO_DEAD_LETTERS: Final = 32
_POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_UNIX_TO_POSTGRES_US: Final = 946_684_800_000_000
_NULL: Final = b"\xff\xff\xff\xff"
_INT2: Final = Struct(">ih")
_INT4: Final = Struct(">ii")
_LENGTH: Final = Struct(">i")
_KEPT: Final = 256
_POLICY_NUMBERS: Final = {OnParentFailure.CANCEL: None, OnParentFailure.RUN_ANYWAY: 1}


@frozen(kw_only=True, eq=False)
class PreparedOptions:
    """Options as columns.

    `features` is the JSON that `taskforge.enqueue_one` takes, None for a job that uses no feature.
    `copyable` says whether binary COPY may carry such jobs; `body_tail` and `place_tail` are then
    the constant ends of their rows.
    """

    options: JobOptions
    task: str
    queue: int
    max_attempts: int
    timeout_ms: int
    flags: int
    encoding: int
    task_bytes: bytes
    features: bytes | None
    copyable: bool
    body_tail: bytes
    place_tail: bytes

    def run_at_us(self, now_us: int) -> int | None:
        """Return when the job is due in microseconds since 2000, None for at once.

        `now_us` counts since 1970.
        """
        if self.options.run_at is not None:
            since = self.options.run_at - _POSTGRES_EPOCH
            return since // timedelta(microseconds=1)
        if self.options.delay_seconds:
            return now_us - _UNIX_TO_POSTGRES_US + int(self.options.delay_seconds * 1_000_000)
        return None


class OptionsCache:
    """Prepared options by identity.

    Senders share one `JobOptions` value among all jobs sent alike.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str, object], PreparedOptions] = {}

    def get(self, job: OutgoingJob) -> PreparedOptions | None:
        """Return what was prepared for the very options of `job`."""
        # The kept value holds a reference, so the identity can't have passed to another object.
        return self._kept.get((id(job.options), job.task, job.encoding))

    def put(self, job: OutgoingJob, queue: int, project: int) -> PreparedOptions:
        """Prepare the options of `job` for `queue`, the number of their queue."""
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        made = prepare(job, queue, project)
        self._kept[(id(job.options), job.task, job.encoding)] = made
        return made


def prepare(job: OutgoingJob, queue: int, project: int) -> PreparedOptions:
    """Return the columns for `job`'s options.

    Raises:
        InvalidRequest: `after` holds something that is no job id.
    """
    options = job.options
    if options.retry is not None:
        max_attempts = options.retry.attempts
    else:
        max_attempts = options.max_attempts or DEFAULT_ATTEMPTS
    timeout_seconds = (
        DEFAULT_TIMEOUT_SECONDS if options.timeout_seconds is None else options.timeout_seconds
    )
    timeout_ms = max(1, round(timeout_seconds * 1000))
    flags = 0 if options.dead_letters else FLAG_NO_DEAD_LETTERS
    features = _features(options)
    task_bytes = job.task.encode()
    needs_function = (
        options.key is not None
        or options.unique is not None
        or bool(options.after)
        or options.expires_seconds is not None
    )
    retry = msgspec.json.encode(options.retry) if options.retry is not None else None
    meta = msgspec.json.encode(options.meta) if options.meta else None
    body_tail = b"".join(
        (
            _INT4.pack(4, project),
            _INT4.pack(4, queue),
            _INT2.pack(2, options.priority),
            _INT2.pack(2, max_attempts),
            _INT4.pack(4, timeout_ms),
            _INT2.pack(2, job.encoding.number),
            _INT2.pack(2, 0),
            _field(task_bytes),
            _text_array(options.tags),
            _jsonb(meta),
            _jsonb(retry),
        )
    )
    place_tail = b"".join(
        (
            _INT4.pack(4, queue),
            _INT2.pack(2, options.priority),
            _INT2.pack(2, 0),
            _INT2.pack(2, max_attempts),
            _INT2.pack(2, flags),
        )
    )
    return PreparedOptions(
        options=options,
        task=job.task,
        queue=queue,
        max_attempts=max_attempts,
        timeout_ms=timeout_ms,
        flags=flags,
        encoding=job.encoding.number,
        task_bytes=task_bytes,
        features=msgspec.json.encode(features) if features else None,
        copyable=not needs_function,
        body_tail=body_tail,
        place_tail=place_tail,
    )


def _features(options: JobOptions) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "delay_ms": options.delay_seconds * 1000 if options.delay_seconds else None,
        "run_at": None if options.run_at is None else options.run_at.isoformat(),
        "expires_ms": None if options.expires_seconds is None else options.expires_seconds * 1000,
        "key": options.key,
        "tags": options.tags or None,
        "meta": options.meta or None,
        "retry": None if options.retry is None else msgspec.to_builtins(options.retry),
        "after": [_parent(identifier) for identifier in options.after] or None,
        "on_parent_failure": _POLICY_NUMBERS[options.on_parent_failure],
        **_unique(options.unique),
    }
    return {name: value for name, value in asked.items() if value is not None}


def _unique(policy: UniquePolicy | None) -> dict[str, Any]:
    if policy is None:
        return {}
    window = policy.window_seconds
    return {
        "unique_key": policy.key.hex(),
        "unique_ms": None if window is None else window * 1000,
    }


def _parent(identifier: str) -> int:
    try:
        return job_number(identifier)
    except MalformedValue as error:
        raise InvalidRequest.because("after", error.problem, error.right) from error


def _field(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


def _jsonb(value: bytes | None) -> bytes:
    return _NULL if value is None else _field(b"\x01" + value)


def _text_array(values: tuple[str, ...]) -> bytes:
    if not values:
        return _NULL
    elements = b"".join(_field(value.encode()) for value in values)
    return _field(Struct(">iiiii").pack(1, 0, 25, len(values), 1) + elements)
