"""Moves jobs whose time has come to ready, and rings their queues' doorbells after the commit.

Invariant: a due job is in `scheduled` or in `ready`, never in both or neither: the move is one
statement. Dying half-way leaves it where it was; dying before the doorbell costs its worker one
polling delay.
"""

from typing import Final

from attrs import define

from taskforge_server.engine.service import Stepped
from taskforge_server.storage import transitions
from taskforge_server.storage.pool import Pool
from taskforge_server.telemetry.bus import Bus
from taskforge_server.telemetry.events import JobsMoved

_BATCH: Final = 1_000


@define(eq=False, kw_only=True)
class Stager:
    """scheduled → ready."""

    pool: Pool
    bus: Bus
    batch: int = _BATCH
    name: str = "stager"
    interval_seconds: float = 15.0

    async def step(self) -> Stepped:
        """Move one batch; a full one is followed by the next at once."""
        moved = await transitions.stage(self.pool, self.batch)
        if moved.moved:
            await transitions.ring(self.pool, moved.rung)
            self.bus.publish(JobsMoved(move="stage", jobs=moved.moved))
        return Stepped(did=moved.moved, again_in_seconds=0.0 if moved.moved == self.batch else None)
