"""Tells children what a finish could not.

Those are parents that finished while the child was enqueued, and chains of cancellations.

Invariant: every edge is deleted by exactly one transaction, which counts its children down. A late
row stays until no finish that could have missed its edge is open, so a resolver may die anywhere;
the next look starts from the rows.
"""

from typing import Final

from attrs import define

from taskforge_server.engine.service import Stepped
from taskforge_server.storage import transitions
from taskforge_server.storage.pool import Pool
from taskforge_server.telemetry.bus import Bus
from taskforge_server.telemetry.events import JobsMoved

_CASCADE_BATCH: Final = 500
_LATE_SECONDS: Final = 0.1


@define(eq=False, kw_only=True)
class Resolver:
    """Finished parents → freed or cancelled children."""

    pool: Pool
    bus: Bus
    batch: int = _CASCADE_BATCH
    name: str = "resolver"
    interval_seconds: float = 15.0

    async def step(self) -> Stepped:
        """Look at late parents once and tell one batch of a cascade.

        Soon again while there is something.
        """
        late = await transitions.resolve_late(self.pool)
        cascade = await transitions.resolve_cascade(self.pool, self.batch)
        told = late.moved + cascade.moved
        if told:
            await transitions.ring(self.pool, late.rung | cascade.rung)
            self.bus.publish(JobsMoved(move="resolve", jobs=told))
        if cascade.moved:
            return Stepped(did=told, again_in_seconds=0.0)
        return Stepped(did=told, again_in_seconds=_LATE_SECONDS if late.moved else None)
