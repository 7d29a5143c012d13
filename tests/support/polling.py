"""Waiting for a condition with a deadline: the one place of the tests that sleeps."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

Value = TypeVar("Value")

_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.05


class DeadlinePassed(AssertionError):
    """What a test waited for did not come about."""

    def __init__(
        self, condition: Callable[[], object], timeout_seconds: float, last: object
    ) -> None:
        try:
            wanted = inspect.getsource(condition).strip()
        except (OSError, TypeError):
            wanted = repr(condition)
        super().__init__(f"not within {timeout_seconds} s, last {last!r}: {wanted}")


def wait_until(condition: Callable[[], Value], timeout_seconds: float = 15.0) -> Value:
    """Call `condition` until it is true, and return what it gave.

    Args:
        condition: Asked again and again, with growing pauses up to 50 ms.
        timeout_seconds: When to give up; generous, for it costs nothing when all is well.

    Raises:
        DeadlinePassed: It did not become true in time.
    """
    deadline = time.monotonic() + timeout_seconds
    pause = _FIRST_PAUSE_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise DeadlinePassed(condition, timeout_seconds, value)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    return value


async def wait_until_async(
    condition: Callable[[], Awaitable[Value]], timeout_seconds: float = 15.0
) -> Value:
    """As `wait_until`, for an asynchronous condition, without holding up the event loop.

    Raises:
        DeadlinePassed: It did not become true in time.
    """
    deadline = time.monotonic() + timeout_seconds
    pause = _FIRST_PAUSE_SECONDS
    while not (value := await condition()):
        if time.monotonic() > deadline:
            raise DeadlinePassed(condition, timeout_seconds, value)
        await anyio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    return value


def let_pass(seconds: float) -> None:
    """Let real time pass where time itself is the fault, such as a lease that runs out."""
    time.sleep(seconds)
