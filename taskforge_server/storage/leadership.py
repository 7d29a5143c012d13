"""Elections: one lease row a name, a term for each holder, the database's clock.

It decides nothing about trust (`domain.lease`).
"""

from typing import Final
from uuid import UUID

from attrs import frozen

from taskforge_server.storage.named import load_statements
from taskforge_server.storage.pool import Pool

_SQL: Final = load_statements("leadership.sql")


@frozen(kw_only=True)
class Leader:
    """Who holds a lease (or held it last), in which term, and whether it still runs."""

    holder: UUID
    term: int
    held: bool


async def elect(pool: Pool, *, name: str, holder: UUID, lease_seconds: float) -> int | None:
    """Take the lease if it is free or over.

    Return the new term, or None when somebody else leads.
    """
    return await _term(
        pool, "elect", {"name": name, "holder": holder, "lease_seconds": lease_seconds}
    )


async def renew(pool: Pool, *, name: str, holder: UUID, term: int, lease_seconds: float) -> bool:
    """Extend the lease within its term; False when it was lost."""
    values = {"name": name, "holder": holder, "term": term, "lease_seconds": lease_seconds}
    return await _term(pool, "renew", values) is not None


async def resign(pool: Pool, *, name: str, holder: UUID, term: int) -> bool:
    """End the lease at once; False when it was not held any more."""
    return await _term(pool, "resign", {"name": name, "holder": holder, "term": term}) is not None


async def current(pool: Pool, *, name: str) -> Leader | None:
    """Return the holder of a lease, None when there never was one."""
    rows = await pool.fetch(_SQL["current"], {"name": name})
    return Leader(holder=rows[0][0], term=rows[0][1], held=rows[0][2]) if rows else None


async def _term(pool: Pool, query: str, values: dict[str, object]) -> int | None:
    rows = await pool.fetch(_SQL[query], values)
    return rows[0][0] if rows else None
