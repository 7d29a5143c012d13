"""What the wire accepts: one place that checks and names every limit on a job, for both sides.

Pure checks of values; each raises `MalformedValue` with the field, what is wrong with it and what
would be right.
"""

import math
import re
from typing import Final, TypeGuard

from taskforge_client.wire.jobs import JobOptions
from taskforge_client.wire.policies import RetryPolicy
from taskforge_client.wire.problems import MalformedValue

LOWEST_PRIORITY: Final = -100
HIGHEST_PRIORITY: Final = 100
LONGEST_KEY: Final = 200
LONGEST_TASK_NAME: Final = 200
MOST_TAGS: Final = 20
LONGEST_TAG: Final = 100
MOST_META: Final = 50
LONGEST_META: Final = 1_000
MOST_PARENTS: Final = 10_000
MOST_ATTEMPTS: Final = 1_000
LONGEST_TIMEOUT_SECONDS: Final = 24 * 86_400.0  # storage counts it in 31 bits of milliseconds
LONGEST_SECONDS: Final = 10 * 366 * 86_400.0
PAYLOAD_LIMIT_BYTES: Final = 1024 * 1024

_SHOWN: Final = 60
_QUEUE: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
_TASK: Final = re.compile(r"[^\s\x00-\x1f\x7f]+")


def queue_name(name: object) -> str:
    """Return a queue's name in the form it is kept in: lower case.

    Since names differ by more than their case.
    """
    lowered = name.lower() if isinstance(name, str) else ""
    if _QUEUE.fullmatch(lowered) is None:
        raise MalformedValue(
            "queue",
            f"{name!r} is not a queue's name",
            "1 to 100 letters a-z (case does not matter), digits, '_', '.' or '-', "
            "the first a letter or digit",
        )
    return lowered


def check_task_name(name: object) -> None:
    """Refuse a task name that is empty, longer than 200 characters or holds spaces."""
    if not isinstance(name, str) or len(name) > LONGEST_TASK_NAME or not _TASK.fullmatch(name):
        raise MalformedValue(
            "task",
            f"{name!r} is not a task's name",
            f"1 to {LONGEST_TASK_NAME} characters without spaces, such as shop.orders:charge",
        )


def check_retry(policy: RetryPolicy) -> None:
    """Refuse a retry policy outside its ranges."""
    check_attempts("retry.attempts", policy.attempts)
    check_seconds("retry.first", policy.first_seconds)
    check_seconds("retry.cap", policy.cap_seconds)
    if not 0 < policy.factor < math.inf:
        raise MalformedValue(
            "retry.factor", f"{policy.factor!r} is out of range", "a number above 0"
        )
    if not 0 <= policy.jitter <= 1:
        raise MalformedValue(
            "retry.jitter", f"{policy.jitter!r} is out of range", "a number from 0 to 1"
        )


def check_attempts(field: str, attempts: object) -> None:
    """Refuse a number of attempts that is not from 1 to 1,000."""
    if not _is_whole(attempts) or not 1 <= attempts <= MOST_ATTEMPTS:
        raise MalformedValue(
            field, f"{attempts!r} is out of range", f"a whole number from 1 to {MOST_ATTEMPTS}"
        )


def check_seconds(field: str, seconds: object, *, zero: bool = True) -> None:
    """Refuse a duration that is negative, no number, above ten years, or nothing.

    Where `zero` is False.
    """
    if not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST_SECONDS:
        raise MalformedValue(
            field, f"{seconds!r} is not a duration", "seconds from 0 to ten years, or a timedelta"
        )
    if not zero and seconds == 0:
        raise MalformedValue(field, "0 leaves no time at all", "seconds above 0, or a timedelta")


def check_payload_size(size: int, limit: int = PAYLOAD_LIMIT_BYTES) -> None:
    """Refuse a payload of more than `limit` bytes (the caller answers `too_large`)."""
    if size > limit:
        raise MalformedValue(
            "payload",
            f"{size:,} bytes are above the limit",
            f"at most {limit:,} bytes; send a reference instead",
        )


def check_options(options: JobOptions) -> None:
    """Refuse job options outside their ranges.

    The queue's name must already have the form of `queue_name`.
    """
    if queue_name(options.queue) != options.queue:
        raise MalformedValue(
            "queue", f"{options.queue!r} is not in lower case", options.queue.lower()
        )
    if (
        not _is_whole(options.priority)
        or not LOWEST_PRIORITY <= options.priority <= HIGHEST_PRIORITY
    ):
        raise MalformedValue(
            "priority",
            f"{options.priority!r} is out of range",
            f"a whole number from {LOWEST_PRIORITY} to {HIGHEST_PRIORITY}, the highest first",
        )
    _check_times(options)
    if options.retry is not None:
        check_retry(options.retry)
    if options.max_attempts is not None:
        check_attempts("max_attempts", options.max_attempts)
    _check_key("key", options.key)
    _check_labels(options)


def _check_times(options: JobOptions) -> None:
    if options.delay_seconds is not None:
        check_seconds("delay", options.delay_seconds)
        if options.run_at is not None:
            raise MalformedValue("run_at", "stands beside a delay", "one of delay and run_at")
    if options.run_at is not None and options.run_at.utcoffset() is None:
        raise MalformedValue(
            "run_at",
            f"{options.run_at.isoformat()} has no time zone",
            "an aware datetime, such as datetime.now(UTC)",
        )
    if options.expires_seconds is not None:
        check_seconds("expires", options.expires_seconds, zero=False)
    if options.timeout_seconds is not None:
        check_seconds("timeout", options.timeout_seconds, zero=False)
        if options.timeout_seconds > LONGEST_TIMEOUT_SECONDS:
            raise MalformedValue(
                "timeout", f"{options.timeout_seconds:g} s is too long", "at most 24 days"
            )
    if options.unique is not None and options.unique.window_seconds is not None:
        check_seconds("unique.window", options.unique.window_seconds, zero=False)


def _check_key(field: str, key: object) -> None:
    if key is not None and not _is_text(key, LONGEST_KEY):
        raise MalformedValue(
            field, f"{_short(key)} is not a key", f"text of 1 to {LONGEST_KEY} characters"
        )


def _check_labels(options: JobOptions) -> None:
    if len(options.tags) > MOST_TAGS:
        raise MalformedValue("tags", f"there are {len(options.tags)}", f"at most {MOST_TAGS}")
    for tag in options.tags:
        if not _is_text(tag, LONGEST_TAG):
            raise MalformedValue(
                "tags", f"{_short(tag)} is not a tag", f"text of 1 to {LONGEST_TAG} characters"
            )
    if len(options.meta) > MOST_META:
        raise MalformedValue(
            "meta", f"there are {len(options.meta)} entries", f"at most {MOST_META}"
        )
    for name, text in options.meta.items():
        if not _is_text(name, LONGEST_META) or not _is_text(text, LONGEST_META, shortest=0):
            raise MalformedValue(
                "meta",
                f"{_short(name)} is not a pair of texts",
                f"a name and a text of at most {LONGEST_META} characters",
            )
    if len(options.after) > MOST_PARENTS:
        raise MalformedValue(
            "after", f"there are {len(options.after)} jobs", f"at most {MOST_PARENTS}"
        )


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: object, longest: int, shortest: int = 1) -> bool:
    """Whether a value is text of the right length that PostgreSQL can hold (no zero characters)."""
    return isinstance(value, str) and shortest <= len(value) <= longest and "\0" not in value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
