"""Keeps partitions ahead of time and deletes rows that nobody needs any more.

Invariant: a row is deleted only when its job is final or gone. Partitions are made at least a week
before their first row, so a pruner may be away for days; dying half-way leaves whole statements.
"""

from typing import Final

from attrs import define

from taskforge_server.domain.clock import Clock
from taskforge_server.domain.partitions import Plan, Span, plan
from taskforge_server.engine.service import Stepped
from taskforge_server.storage import maintenance, retention
from taskforge_server.storage.errors import Busy
from taskforge_server.storage.pool import Pool
from taskforge_server.telemetry.bus import Bus
from taskforge_server.telemetry.events import PartitionsChanged

_BATCH: Final = 5_000
_DEADLINE_SECONDS: Final = 5.0


@define(eq=False, kw_only=True)
class Pruner:
    """Partitions ahead, old ones merged and dropped, leftovers gone. `keep_days` None keeps all."""

    pool: Pool
    bus: Bus
    clock: Clock
    keep_days: int | None = 30
    days_ahead: int = 8
    fire_days: int = 30
    deadline_seconds: float = _DEADLINE_SECONDS
    name: str = "pruner"
    interval_seconds: float = 60.0

    async def step(self) -> Stepped:
        """Make missing partitions, drop and merge what is due, delete a batch of each leftover."""
        made = await maintenance.ensure_partitions(self.pool, self.days_ahead)
        if made:
            self._tell("made", f"{made} days")
        gone = await maintenance.prune_leftovers(self.pool, fire_days=self.fire_days, limit=_BATCH)
        try:
            changed = await self._tidy()
        except Busy:
            # A reader holds on; what was begun is finished by a later step.
            changed = 0
        again = 1.0 if gone >= _BATCH else None
        return Stepped(did=made + gone + changed, again_in_seconds=again)

    async def _tidy(self) -> int:
        changed = 0
        for name in await retention.drop_left_over(self.pool):
            self._tell("dropped", name)
        wanted, pending = await self._plan()
        for span in dict.fromkeys((*pending, *wanted.drop)):
            if await retention.drop(
                self.pool,
                span,
                deadline_seconds=self.deadline_seconds,
                pending=span in pending,
            ):
                self._tell("dropped", f"{span.low} to {span.high}")
                changed += 1
        for spans in wanted.merge:
            whole = await retention.merge(self.pool, spans)
            self._tell("merged", f"{whole.low} to {whole.high}")
            changed += 1
        return changed

    async def _plan(self) -> tuple[Plan, list[Span]]:
        today = self.clock.now().date()
        found = await retention.attached(self.pool)
        pending = [one.span for one in found if one.pending]
        spans = [one.span for one in found]
        old = [span for span in spans if span.high < today]
        busy = {span for span in old if await retention.is_busy(self.pool, span)}
        return plan(spans, busy=busy, today=today, keep_days=self.keep_days), pending

    def _tell(self, action: str, what: str) -> None:
        self.bus.publish(PartitionsChanged(action=action, what=(what,)))
