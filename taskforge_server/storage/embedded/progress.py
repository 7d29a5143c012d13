"""What a start of the embedded PostgreSQL tells of itself while it goes on."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable

from attrs import define, field


class StartPhase(enum.StrEnum):
    """What a start is doing."""

    WAITING = "waiting for another start or stop of this data folder"
    CREATING = "creating the database cluster"
    STARTING = "starting, recovering from a crash if there was one"


ProgressCallback = Callable[[StartPhase, float], None]
"""Told the phase and the seconds since the start began: at each change and then each second."""


@define(kw_only=True)
class Reporter:
    """Tells a callback of a start, never twice in a second for one phase."""

    callback: ProgressCallback | None
    _began: float = field(factory=time.monotonic)
    _last_phase: StartPhase | None = None
    _last_second: int = -1

    def tell(self, phase: StartPhase) -> None:
        """Say that `phase` is going on."""
        seconds = time.monotonic() - self._began
        if self.callback is None or (phase, int(seconds)) == (self._last_phase, self._last_second):
            return
        self._last_phase, self._last_second = phase, int(seconds)
        self.callback(phase, seconds)
