"""Policies as data: how a job is retried, limited in time and kept unique.

The arithmetic lives with those who decide.
"""

from enum import Enum

from attrs import frozen

DEFAULT_ATTEMPTS = 5
DEFAULT_TIMEOUT_SECONDS = 3600.0


class Backoff(Enum):
    """How the wait grows from one attempt to the next."""

    EXPONENTIAL = "exponential"
    LINEAR = "linear"
    FIXED = "fixed"
    CUSTOM = "custom"


@frozen(kw_only=True)
class RetryPolicy:
    """When a failed attempt is tried again.

    `attempts` counts all attempts, the first included. The n-th wait is `first_seconds` times
    `factor`**(n-1) (exponential), times n (linear) or itself (fixed), never above `cap_seconds`,
    then spread by `jitter`: 0 none, 1 anywhere between nothing and the full wait. A custom policy
    is a function known to the worker alone.
    """

    backoff: Backoff = Backoff.EXPONENTIAL
    attempts: int = DEFAULT_ATTEMPTS
    first_seconds: float = 1.0
    factor: float = 2.0
    cap_seconds: float = 3600.0
    jitter: float = 0.5


@frozen(kw_only=True)
class UniquePolicy:
    """One piece of work.

    While `key` is held, another job of the same key is answered with the holder.

    `window_seconds` None holds the key until the job is final; a number holds it that long from the
    enqueue.
    """

    key: bytes
    window_seconds: float | None = None
