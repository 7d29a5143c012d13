"""Where a claimer's lanes hold nothing but dead entries, and when to look below all the same.

Claimed rows stay in the index until they are vacuumed, and under a held snapshot for as long as it
is held. A claim that begins at the highest `ord` it ever took from a lane does not read them
again. What is committed late, with a lower `ord`, is found by a sweep: a claim without floors, at
most once in 20 ms and never for more than a twentieth of the time.
"""

from collections.abc import Callable
from typing import Final

Lane = tuple[int, int]

_SWEEP_SECONDS: Final = 0.02
_SWEEP_SHARE: Final = 20.0


class Floors:
    """The floors of one claimer, by lane (queue number, priority). `monotonic` returns seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._floors: dict[Lane, int] = {}
        self._next_sweep = float("-inf")
        self._began = 0.0
        self._sweeping = False
        self._known: tuple[list[int], list[int], list[int]] | None = None

    def begin(self) -> tuple[list[int], list[int], list[int]]:
        """Return queues, priorities and floors for the claim that begins now.

        Empty lists for a sweep.
        """
        self._began = self._monotonic()
        self._sweeping = self._began >= self._next_sweep
        if self._sweeping:
            return [], [], []
        if self._known is None:
            self._known = (
                [queue for queue, _ in self._floors],
                [priority for _, priority in self._floors],
                list(self._floors.values()),
            )
        return self._known

    def end(self) -> None:
        """Note that the claim has returned; a sweep's length sets when the next may be."""
        if self._sweeping:
            now = self._monotonic()
            self._next_sweep = now + max(_SWEEP_SECONDS, _SWEEP_SHARE * (now - self._began))

    def took(self, lane: Lane, highest: int) -> None:
        """Raise a lane's floor above the highest `ord` taken from it; floors never sink."""
        if highest >= self._floors.get(lane, highest):
            self._floors[lane] = highest + 1
            self._known = None
