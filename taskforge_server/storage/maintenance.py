"""Keeping the house: partitions ahead, rows whose job is gone or ended, vacuum.

Every statement is bounded and safe beside itself on another node. Dropping history is
`retention`'s.
"""

from typing import Final

from attrs import frozen
from psycopg import sql

from taskforge_server.storage.named import load_statements
from taskforge_server.storage.pool import Pool

_SQL: Final = load_statements("maintenance.sql")
_LEFTOVERS: Final = ("prune_cancel_requests", "prune_progress", "prune_unique_windows")


@frozen(kw_only=True)
class Bloat:
    """A hot table and how many dead rows the statistics count in it."""

    table: str
    dead_rows: int


async def ensure_partitions(pool: Pool, days_ahead: int) -> int:
    """Make the partitions up to `days_ahead` days from now that are missing.

    Return how many days were made.
    """
    ((made,),) = await pool.fetch(_SQL["ensure_partitions"], {"days_ahead": days_ahead})
    return int(made)


async def prune_leftovers(pool: Pool, *, fire_days: int, limit: int) -> int:
    """Delete up to `limit` of each kind of row that nobody needs any more.

    Return how many there were.
    """
    gone = 0
    for query in _LEFTOVERS:
        ((count,),) = await pool.fetch(_SQL[query], {"limit": limit})
        gone += count
    ((count,),) = await pool.fetch(_SQL["prune_fires"], {"days": fire_days, "limit": limit})
    return int(gone + count)


async def bloated(pool: Pool, dead_rows: int) -> list[Bloat]:
    """Return the hot tables with at least `dead_rows` dead rows, the worst first."""
    rows = await pool.fetch(_SQL["bloated"], {"dead_rows": dead_rows})
    return [Bloat(table=table, dead_rows=count) for table, count in rows]


async def vacuum(pool: Pool, table: str) -> None:
    """Vacuum one table of ours.

    Indexes too, and without waiting for whoever works on it already.
    """
    statement = sql.SQL("vacuum (index_cleanup on, truncate off, skip_locked) {}").format(
        sql.Identifier("taskforge", table)
    )
    async with pool.connection() as connection:
        await connection.execute(statement)
