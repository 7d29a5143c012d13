"""Vacuums hot tables as soon as they hold many dead rows, where autovacuum is starved or too slow.

A queue's table is small and dies fast: what matters is how many dead rows a claim must step over,
not their share. Its invariant is that it changes nothing anybody can see; a vacuum that was cut
short is begun again later.
"""

from attrs import define

from taskforge_server.domain.clock import Clock
from taskforge_server.engine.service import Stepped
from taskforge_server.storage import maintenance
from taskforge_server.storage.pool import Pool
from taskforge_server.telemetry.bus import Bus
from taskforge_server.telemetry.events import TableVacuumed


@define(eq=False, kw_only=True)
class Vacuumer:
    """Dead rows → free space."""

    pool: Pool
    bus: Bus
    clock: Clock
    dead_rows: int = 50_000
    name: str = "vacuumer"
    interval_seconds: float = 10.0

    async def step(self) -> Stepped:
        """Vacuum every hot table above the limit, the worst first."""
        found = await maintenance.bloated(self.pool, self.dead_rows)
        for bloat in found:
            started = self.clock.monotonic()
            await maintenance.vacuum(self.pool, bloat.table)
            seconds = self.clock.monotonic() - started
            self.bus.publish(
                TableVacuumed(table=bloat.table, dead_rows=bloat.dead_rows, seconds=seconds)
            )
        return Stepped(did=len(found))
