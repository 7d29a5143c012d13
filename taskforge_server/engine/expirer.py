"""Cancels jobs that waited too long to start.

Invariant: an entry leaves `expiring` in the transaction that ends its job, or because the job had
started. A job caught between two places is not missed for good: a claim shows an expired job as
such.
"""

from typing import Final

from attrs import define

from taskforge_server.engine.service import Stepped
from taskforge_server.storage import transitions
from taskforge_server.storage.pool import Pool
from taskforge_server.telemetry.bus import Bus
from taskforge_server.telemetry.events import JobsMoved

_BATCH: Final = 500


@define(eq=False, kw_only=True)
class Expirer:
    """Waiting too long → cancelled."""

    pool: Pool
    bus: Bus
    batch: int = _BATCH
    name: str = "expirer"
    interval_seconds: float = 30.0

    async def step(self) -> Stepped:
        """Go through one batch of due entries; a full one is followed by the next at once."""
        moved = await transitions.expire(self.pool, self.batch)
        if moved.moved:
            await transitions.ring(self.pool, moved.rung)
            self.bus.publish(JobsMoved(move="expire", jobs=moved.moved))
        return Stepped(did=moved.moved, again_in_seconds=0.0 if moved.moved == self.batch else None)
