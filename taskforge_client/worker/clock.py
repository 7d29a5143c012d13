"""The worker's clocks, passed in wherever time is read; tests pass their own."""

import time
from collections.abc import Callable
from typing import Final

from attrs import frozen

Seconds = Callable[[], float]


@frozen
class Clock:
    """Two readings in seconds.

    `monotonic` is for deadlines and durations, `unix` (since 1970) to show to people. On Linux the
    monotonic clock is the same for all processes of a machine, so readings may be compared across
    them.
    """

    monotonic: Seconds
    unix: Seconds


SYSTEM_CLOCK: Final = Clock(time.monotonic, time.time)
