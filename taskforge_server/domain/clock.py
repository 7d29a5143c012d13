"""The server's clocks and randomness as seams: passed in wherever time is read or chance decides.

This is the one file that reads the wall clock. Due times are decided by the database's clock, never
by this one.
"""

import random
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only grow, for durations and deadlines."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that only grow, for durations and deadlines."""
        return time.monotonic()


class Rng(Protocol):
    """Rolls dice for jitter."""

    def random(self) -> float:
        """Return a number from 0 up to, but not including, 1."""
        ...


def system_rng() -> Rng:
    """Return a source of randomness seeded by the operating system."""
    return random.SystemRandom()
