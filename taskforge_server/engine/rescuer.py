"""Takes back what workers without a lease hold.

Invariant: a job in `running` belongs to a worker row, or is taken back soon. The end of a lease is
the deletion of its row; orphans are found by the missing row, so a rescuer that died between the
two costs nothing but the next look. The lookout sees a lease that ran out within a quarter of a
second, and one that was ended rings. Everything is one statement, and what a worker sends later
about a rescued attempt fails its fence.
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
class Rescuer:
    """Lease lost → ready or dead."""

    pool: Pool
    bus: Bus
    batch: int = _BATCH
    name: str = "rescuer"
    interval_seconds: float = 5.0

    async def step(self) -> Stepped:
        """Rescue one batch; a full one is followed by the next at once."""
        moved = await transitions.rescue(self.pool, self.batch)
        if moved.moved:
            await transitions.ring(self.pool, moved.rung)
            self.bus.publish(JobsMoved(move="rescue", jobs=moved.moved - moved.buried))
            if moved.buried:
                self.bus.publish(JobsMoved(move="bury", jobs=moved.buried))
        return Stepped(did=moved.moved, again_in_seconds=0.0 if moved.moved == self.batch else None)
