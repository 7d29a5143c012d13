"""Joins the parts of one server node.

Settings, pool, telemetry and engine. Nothing else knows them all.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

from attrs import frozen

from taskforge_server.config.model import Config
from taskforge_server.domain.clock import SystemClock, system_rng
from taskforge_server.engine.probe import Probe
from taskforge_server.engine.runtime import Runtime, build_runtime
from taskforge_server.storage.pool import Pool, PoolSettings
from taskforge_server.telemetry.bus import Bus, Handler
from taskforge_server.telemetry.logs import LogHandler


@frozen(kw_only=True)
class Node:
    """One running server node."""

    pool: Pool
    bus: Bus
    runtime: Runtime


def pool_settings(config: Config) -> PoolSettings:
    """Return the connections that a node's settings ask for."""
    return PoolSettings(max_size=config.pool_connections, prepare=config.prepared_statements)


@asynccontextmanager
async def run_node(
    url: str,
    *,
    config: Config | None = None,
    handlers: Sequence[Handler] = (),
    probe: Probe | None = None,
    services: Sequence[str] | None = None,
) -> AsyncGenerator[Node]:
    """Run the engine against the database at `url`, which must hold this version's schema.

    Args:
        url: the database, `postgresql://…`.
        config: the node's settings; those of the database's place are the caller's to read.
        handlers: who hears the events, beside the log.
        probe: hears of every step.
        services: which to run; None runs all.

    Raises:
        DatabaseUnreachable: nobody answers there.
    """
    config = config or Config()
    rng, clock = system_rng(), SystemClock()
    bus = Bus((LogHandler(), *handlers))
    async with await Pool.open(url, pool_settings(config), rng) as pool:
        runtime = build_runtime(
            pool,
            config=config,
            bus=bus,
            clock=clock,
            rng=rng,
            holder=uuid4(),
            probe=probe,
            only=services,
        )
        async with runtime:
            yield Node(pool=pool, bus=bus, runtime=runtime)
