"""Retry policies: what a decorator states, and the pure arithmetic of the waits.

Nothing here reads a clock or draws a random number: the worker passes its own source in.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import TypedDict, Unpack

from attrs import evolve, frozen

from taskforge_client.errors import InvalidRequest
from taskforge_client.wire.limits import check_retry
from taskforge_client.wire.policies import DEFAULT_ATTEMPTS, Backoff, RetryPolicy
from taskforge_client.wire.problems import MalformedValue

CustomWait = Callable[[int, BaseException], float | timedelta | None]
Errors = type[BaseException] | tuple[type[BaseException], ...]


class RetryFilter(TypedDict, total=False):
    """Which errors are tried again: those of `on` (unset.

    Every `Exception`) that are not of `not_on`.
    """

    on: Errors
    not_on: Errors


@frozen(kw_only=True)
class Retry:
    """How a task's failed attempts are tried again.

    `policy` travels with the job; `on`, `not_on` and `wait` are known only where the task's code
    is.
    """

    policy: RetryPolicy
    on: tuple[type[BaseException], ...] = (Exception,)
    not_on: tuple[type[BaseException], ...] = ()
    wait: CustomWait | None = None

    @classmethod
    def exponential(
        cls,
        *,
        attempts: int = DEFAULT_ATTEMPTS,
        first: float | timedelta = 1.0,
        factor: float = 2.0,
        cap: float | timedelta = 3600.0,
        jitter: float = 0.5,
        **errors: Unpack[RetryFilter],
    ) -> "Retry":
        """Return a policy whose waits grow by `factor` from `first` to `cap` seconds.

        `attempts` counts the first attempt too; `jitter` takes away up to that part of each wait at
        random.
        """
        return _retry(
            Backoff.EXPONENTIAL,
            attempts=attempts,
            first=first,
            factor=factor,
            cap=cap,
            jitter=jitter,
            errors=errors,
        )

    @classmethod
    def linear(
        cls,
        *,
        attempts: int = DEFAULT_ATTEMPTS,
        first: float | timedelta = 1.0,
        cap: float | timedelta = 3600.0,
        jitter: float = 0.5,
        **errors: Unpack[RetryFilter],
    ) -> "Retry":
        """Return a policy whose n-th wait is n times `first` seconds, at most `cap`."""
        return _retry(
            Backoff.LINEAR,
            attempts=attempts,
            first=first,
            factor=1.0,
            cap=cap,
            jitter=jitter,
            errors=errors,
        )

    @classmethod
    def fixed(
        cls,
        *,
        attempts: int = DEFAULT_ATTEMPTS,
        first: float | timedelta = 1.0,
        jitter: float = 0.5,
        **errors: Unpack[RetryFilter],
    ) -> "Retry":
        """Return a policy whose waits are all `first` seconds."""
        return _retry(
            Backoff.FIXED,
            attempts=attempts,
            first=first,
            factor=1.0,
            cap=first,
            jitter=jitter,
            errors=errors,
        )

    @classmethod
    def never(cls) -> "Retry":
        """Return the policy of a single attempt."""
        return _retry(
            Backoff.FIXED, attempts=1, first=0.0, factor=1.0, cap=0.0, jitter=0.0, errors={}
        )

    @classmethod
    def custom(
        cls,
        function: CustomWait,
        /,
        *,
        attempts: int = DEFAULT_ATTEMPTS,
        **errors: Unpack[RetryFilter],
    ) -> "Retry":
        """Return a policy that asks `function(attempt, error)` for the seconds to wait.

        None gives the job up.
        """
        return evolve(
            _retry(
                Backoff.CUSTOM,
                attempts=attempts,
                first=1.0,
                factor=2.0,
                cap=3600.0,
                jitter=0.0,
                errors=errors,
            ),
            wait=function,
        )

    def applies_to(self, error: BaseException) -> bool:
        """Return whether a task that raised `error` is tried again while attempts are left."""
        return isinstance(error, self.on) and not isinstance(error, self.not_on)

    def delay_seconds(
        self, attempt: int, error: BaseException, random: Callable[[], float]
    ) -> float | None:
        """Return the seconds to wait after failed `attempt` (from 1), None to give the job up.

        `random` returns numbers from 0 up to 1.
        """
        if not self.applies_to(error):
            return None
        if self.wait is None:
            return delay_seconds(self.policy, attempt, random)
        chosen = self.wait(attempt, error)
        return None if chosen is None else max(0.0, as_seconds(chosen))


def delay_seconds(policy: RetryPolicy, attempt: int, random: Callable[[], float]) -> float:
    """Return the seconds to wait after failed `attempt` (from 1), at most the policy's cap.

    `random` returns numbers from 0 up to 1; the full wait is shortened by up to `policy.jitter` of
    itself. A custom policy, whose function is not at hand, waits as an exponential one.
    """
    full = _full_wait_seconds(policy, attempt)
    return full * (1.0 - policy.jitter * random())


def _full_wait_seconds(policy: RetryPolicy, attempt: int) -> float:
    if policy.backoff is Backoff.FIXED:
        grown = policy.first_seconds
    elif policy.backoff is Backoff.LINEAR:
        grown = policy.first_seconds * attempt
    else:
        try:
            grown = policy.first_seconds * policy.factor ** (attempt - 1)
        except OverflowError:
            grown = policy.cap_seconds
    return min(grown, policy.cap_seconds)


def as_seconds(duration: object, field: str = "seconds") -> float:
    """Return a duration given in seconds or as `timedelta` in seconds.

    Raises:
        InvalidRequest: `duration`, the value of `field`, is neither.
    """
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, int | float):
        return float(duration)
    raise InvalidRequest.because(field, f"{duration!r} is no duration", "seconds or a timedelta")


def _as_tuple(errors: Errors) -> tuple[type[BaseException], ...]:
    return errors if isinstance(errors, tuple) else (errors,)


def _retry(
    backoff: Backoff,
    *,
    attempts: int,
    first: float | timedelta,
    factor: float,
    cap: float | timedelta,
    jitter: float,
    errors: RetryFilter,
) -> Retry:
    policy = RetryPolicy(
        backoff=backoff,
        attempts=attempts,
        first_seconds=as_seconds(first, "retry.first"),
        factor=factor,
        cap_seconds=as_seconds(cap, "retry.cap"),
        jitter=jitter,
    )
    try:
        check_retry(policy)
    except MalformedValue as error:
        raise InvalidRequest(error.as_problem()) from None
    return Retry(
        policy=policy,
        on=_as_tuple(errors.get("on", Exception)),
        not_on=_as_tuple(errors.get("not_on", ())),
    )
