"""Makes the jobs of schedules that are due.

Invariant: at most one job for a schedule and fire time, whoever tries: the fire's row, the job and
the schedule's next time are written in one transaction, and the row is unique. Leadership has no
part in it. Dying half-way leaves the schedule due; times that passed meanwhile come to what its
misfire policy says.
"""

from typing import Final

from attrs import define

from taskforge_server.domain.errors import BadSchedule
from taskforge_server.domain.verdict import due_fires
from taskforge_server.engine.service import Stepped
from taskforge_server.storage import schedules, transitions
from taskforge_server.storage.pool import Connection, Pool
from taskforge_server.telemetry.bus import Bus
from taskforge_server.telemetry.events import Event, ScheduleBroken, ScheduleFired

_BATCH: Final = 100


@define(eq=False, kw_only=True)
class Scheduler:
    """Due schedules → jobs."""

    pool: Pool
    bus: Bus
    batch: int = _BATCH
    name: str = "scheduler"
    interval_seconds: float = 15.0

    async def step(self) -> Stepped:
        """Fire one batch of due schedules in one transaction.

        A full one is followed by the next at once.
        """
        looked, rung, events = await self.pool.run(self._fire)
        await transitions.ring(self.pool, rung)
        for event in events:
            self.bus.publish(event)
        fired = sum(isinstance(event, ScheduleFired) for event in events)
        return Stepped(did=fired, again_in_seconds=0.0 if looked == self.batch else None)

    async def _fire(self, connection: Connection) -> tuple[int, frozenset[int], list[Event]]:
        events: list[Event] = []
        rung: set[int] = set()
        found = await schedules.due(connection, self.batch)
        for schedule in found:
            try:
                firing = due_fires(
                    schedule.timing(), schedule.next_fire_at, schedule.now, schedule.misfire
                )
            except BadSchedule as problem:
                await schedules.postpone(connection, schedule.number, None)
                events.append(ScheduleBroken(name=schedule.name, problem=str(problem)))
                continue
            for fire_at in firing.fire_at:
                queue = await schedules.fire(
                    connection, schedule.number, fire_at, firing.next_fire_at
                )
                if queue is not None:
                    rung.add(queue)
                    late = (schedule.now - fire_at).total_seconds()
                    events.append(ScheduleFired(name=schedule.name, late_seconds=late))
        return len(found), frozenset(rung), events
