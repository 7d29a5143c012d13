"""Repeats calls that did not get through, as long as repeating them is safe.

What may be repeated, and how often, is the caller's to say; here is the waiting in between: full
jitter, growing, and never shorter than the other side asked for by ``Retry-After``.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from attrs import frozen
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from taskforge_client.errors import RateLimited, Unreachable

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
LONGEST_ASKED_SECONDS: Final = 60.0


class NeverSent(Unreachable):
    """No connection could be made, so the call was not carried out: repeating it is always safe."""


@frozen(kw_only=True)
class Patience:
    """How often a call is tried and how long the waits between grow."""

    attempts: int = 6
    first_seconds: float = 0.1
    cap_seconds: float = 5.0
    sleep: Sleep = asyncio.sleep

    async def repeat(self, call: Callable[[], Awaitable[T]], *, is_safe: bool) -> T:
        """Return what `call` comes to; a call that is not safe is only repeated if it never left.

        Raises:
            Unreachable: every attempt failed; RateLimited likewise.
        """
        patient = AsyncRetrying(
            sleep=self.sleep,
            stop=stop_after_attempt(self.attempts),
            wait=self._wait_seconds,
            retry=retry_if_exception(_repeatable if is_safe else _never_carried_out),
            reraise=True,
        )
        return await patient(call)

    def _wait_seconds(self, state: RetryCallState) -> float:
        drawn = wait_random_exponential(multiplier=self.first_seconds, max=self.cap_seconds)(state)
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, Unreachable | RateLimited) and error.retry_after_seconds is not None:
            return drawn + min(error.retry_after_seconds, LONGEST_ASKED_SECONDS)
        return drawn


def _repeatable(error: BaseException) -> bool:
    return isinstance(error, Unreachable | RateLimited)


def _never_carried_out(error: BaseException) -> bool:
    return isinstance(error, NeverSent | RateLimited)
