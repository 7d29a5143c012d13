"""How long to wait before an unreachable source is asked again.

Full jitter, so that workers don't come back together.
"""

from collections.abc import Callable

from attrs import define


@define
class Backoff:
    """Waits drawn evenly between zero and a ceiling that doubles up to `cap_seconds`.

    `spread` returns evenly distributed numbers from 0 to 1.
    """

    spread: Callable[[], float]
    first_seconds: float = 0.1
    cap_seconds: float = 5.0
    _ceiling_seconds: float = 0.0

    def next_seconds(self) -> float:
        """Return the next wait."""
        doubled = max(self.first_seconds, 2.0 * self._ceiling_seconds)
        self._ceiling_seconds = min(self.cap_seconds, doubled)
        return self._ceiling_seconds * self.spread()

    def reset(self) -> None:
        """Start from the first wait again, after a success."""
        self._ceiling_seconds = 0.0
