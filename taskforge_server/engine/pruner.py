"""Keeps partitions ahead of time and deletes rows that nobody needs any more.

Invariant: a row is deleted only when its job is final or gone. Partitions are made at least a week
    before their first row, so a pruner may be away for days; dying half-way leaves whole
    statements.
"""

from typing import Final

from attrs import define

from taskforge_server.engine.service import Stepped
from taskforge_server.storage import maintenance
from taskforge_server.storage.pool import Pool
from taskforge_server.telemetry.bus import Bus
from taskforge_server.telemetry.events import PartitionsChanged

_BATCH: Final = 5_000


@define(eq=False, kw_only=True)
class Pruner:
    """Partitions ahead, leftovers gone."""

    pool: Pool
    bus: Bus
    days_ahead: int = 8
    fire_days: int = 30
    name: str = "pruner"
    interval_seconds: float = 60.0

    async def step(self) -> Stepped:
        """Make missing partitions and delete one batch of each kind of leftover."""
        made = await maintenance.ensure_partitions(self.pool, self.days_ahead)
        if made:
            self.bus.publish(PartitionsChanged(action="made", what=(f"{made} days",)))
        gone = await maintenance.prune_leftovers(self.pool, fire_days=self.fire_days, limit=_BATCH)
        return Stepped(did=made + gone, again_in_seconds=1.0 if gone >= _BATCH else None)
