"""Which services run, in what order they start and stop, and who wakes whom.

Every node runs every service; those that only keep house step on the leading node alone, to spare
the others the work. The doorbell and the lookout wake services early; without them everything still
happens, later.

Start: the leader first, then the rest, then the lookout and the doorbell that wake them. Stop: in
reverse; steps that run are given a moment to end and are then cancelled, which rolls their
transactions back; the leadership goes last.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self
from uuid import UUID

from attrs import define, field

from taskforge_server.config.model import Config
from taskforge_server.domain.clock import Clock, Rng
from taskforge_server.engine.expirer import Expirer
from taskforge_server.engine.leader import Leader, LeaderOnly
from taskforge_server.engine.lookout import Lookout
from taskforge_server.engine.probe import NoProbe, Probe
from taskforge_server.engine.pruner import Pruner
from taskforge_server.engine.rescuer import Rescuer
from taskforge_server.engine.resolver import Resolver
from taskforge_server.engine.sampler import Sampler
from taskforge_server.engine.scheduler import Scheduler
from taskforge_server.engine.service import Loop, Service
from taskforge_server.engine.stager import Stager
from taskforge_server.engine.vacuumer import Vacuumer
from taskforge_server.storage.errors import StorageError
from taskforge_server.storage.listen import Doorbell
from taskforge_server.storage.pool import Pool
from taskforge_server.telemetry.bus import Bus

_GRACE_SECONDS: Final = 2.0


@define(eq=False)
class Runtime:
    """All services of one node; `async with` starts and stops them."""

    leader: Leader
    loops: dict[str, Loop]
    doorbell: Doorbell
    _tasks: list[asyncio.Task[None]] = field(factory=list, init=False)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    def start(self) -> None:
        """Start every service."""
        for name, loop in self.loops.items():
            self._tasks.append(asyncio.create_task(loop.run(), name=f"taskforge {name}"))
        self._tasks.append(asyncio.create_task(self.doorbell.run(), name="taskforge doorbell"))

    async def stop(self) -> None:
        """Stop every service and resign the leadership."""
        for task in reversed(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_GRACE_SECONDS)
        self._tasks.clear()
        # A lease that is not given up runs out: a database that is away must not make a stop fail.
        with contextlib.suppress(TimeoutError, StorageError):
            async with asyncio.timeout(_GRACE_SECONDS):
                await self.leader.resign()

    def wake(self, service: str) -> None:
        """Let a service step at once."""
        self.loops[service].wake()

    def wake_all(self) -> None:
        """Let every service step at once."""
        for loop in self.loops.values():
            loop.wake()


def build_runtime(
    pool: Pool,
    *,
    config: Config,
    bus: Bus,
    clock: Clock,
    rng: Rng,
    holder: UUID,
    probe: Probe | None = None,
    only: Sequence[str] | None = None,
) -> Runtime:
    """Join the services of one node. `only` names those to run, None all.

    `holder` identifies this node.
    """
    loops: dict[str, Loop] = {}
    leader = Leader(pool=pool, bus=bus, clock=clock, rng=rng, holder=holder)
    keepers: tuple[Service, ...] = (
        Pruner(pool=pool, bus=bus, clock=clock, keep_days=config.retention_days),
        Sampler(pool=pool, bus=bus, clock=clock),
        Vacuumer(pool=pool, bus=bus, clock=clock, dead_rows=config.vacuum_dead_rows),
    )
    movers: tuple[Service, ...] = (
        Scheduler(pool=pool, bus=bus),
        Stager(pool=pool, bus=bus),
        Resolver(pool=pool, bus=bus),
        Rescuer(pool=pool, bus=bus),
        Expirer(pool=pool, bus=bus),
    )

    def waker(name: str) -> Callable[[], None]:
        def wake() -> None:
            if name in loops:
                loops[name].wake()

        return wake

    services: tuple[Service, ...] = (
        leader,
        *(LeaderOnly(service=keeper, leader=leader) for keeper in keepers),
        *movers,
        Lookout(pool=pool, wake={mover.name: waker(mover.name) for mover in movers}),
    )
    for service in services:
        if only is None or service.name in only:
            loops[service.name] = Loop(
                service=service, bus=bus, clock=clock, rng=rng, probe=probe or NoProbe()
            )

    def wake_keepers() -> None:
        for keeper in keepers:
            waker(keeper.name)()

    def heard(payload: str) -> None:
        if payload.startswith("lease"):
            waker("rescuer")()

    leader.gained = wake_keepers
    return Runtime(leader, loops, Doorbell(url=pool.url, heard=heard, rng=rng))
