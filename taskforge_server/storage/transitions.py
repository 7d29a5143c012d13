"""What the engine does to jobs by itself: stage, expire, rescue, resolve, and a look ahead.

Every function is one statement in a transaction of its own, safe on any number of nodes at once. It
does not decide when to run them (`engine`), nor tell anybody: each returns the queues whose
doorbell is to be rung after the commit.
"""

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from taskforge_server.storage.named import load_statements
from taskforge_server.storage.pool import Pool

_SQL: Final = load_statements("transitions.sql")


@frozen(kw_only=True)
class Moved:
    """What one step moved.

    `buried` of the jobs died or failed for good; the queues in `rung` have new ready jobs.
    """

    moved: int
    buried: int = 0
    rung: frozenset[int] = frozenset()


@frozen(kw_only=True)
class Look:
    """What may be due: seconds from now.

    They count by the database's clock, negative when overdue; None for nothing at all. In the
    queues of `unrung` something has been ready for a moment and nobody claimed it.
    """

    stage_in: float | None
    fire_in: float | None
    expire_in: float | None
    unresolved: bool
    lease_lost: bool
    unrung: frozenset[int]


async def look(pool: Pool) -> Look:
    """Look once at everything that may be due."""
    ((stage_in, fire_in, expire_in, unresolved, lease_lost, unrung),) = await pool.fetch(
        _SQL["look"]
    )
    return Look(
        stage_in=stage_in,
        fire_in=fire_in,
        expire_in=expire_in,
        unresolved=unresolved,
        lease_lost=lease_lost,
        unrung=_queues(unrung),
    )


async def stage(pool: Pool, limit: int) -> Moved:
    """Move up to `limit` jobs whose time has come to ready."""
    ((staged, rung),) = await pool.fetch(_SQL["stage"], {"limit": limit})
    return Moved(moved=staged, rung=_queues(rung))


async def expire(pool: Pool, limit: int) -> Moved:
    """Cancel jobs that waited too long to start; returns how many entries were due."""
    ((due, rung),) = await pool.fetch(_SQL["expire"], {"limit": limit})
    return Moved(moved=due, rung=_queues(rung))


async def rescue(pool: Pool, limit: int) -> Moved:
    """End leases that ran out and take back up to `limit` jobs of workers without a lease."""
    ((rescued, buried, rung),) = await pool.fetch(_SQL["rescue"], {"limit": limit})
    return Moved(moved=rescued, buried=buried, rung=_queues(rung))


async def resolve_late(pool: Pool) -> Moved:
    """Look again for parents that finished while a child was being enqueued.

    The mark is a transaction of its own, before the look: its number is the horizon.
    """
    await pool.fetch(_SQL["mark_late"])
    ((told, rung),) = await pool.fetch(_SQL["resolve_late"])
    return Moved(moved=told, rung=_queues(rung))


async def resolve_cascade(pool: Pool, limit: int) -> Moved:
    """Tell the children of up to `limit` jobs that a parent's failure cancelled."""
    ((told, rung),) = await pool.fetch(_SQL["resolve_cascade"], {"limit": limit})
    return Moved(moved=told, rung=_queues(rung))


async def ring(pool: Pool, queues: frozenset[int]) -> None:
    """Ring the doorbell of `queues`: after the commit that made jobs ready, never inside it."""
    if queues:
        await pool.fetch(_SQL["ring"], {"queues": sorted(queues)})


def _queues(rung: Sequence[int] | None) -> frozenset[int]:
    return frozenset(rung or ())
