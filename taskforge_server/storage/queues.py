"""Queues as people see them: depths, pausing and resuming."""

from typing import Final

from attrs import frozen

from taskforge_client.wire.queues import QueueView
from taskforge_server.storage.database import Database, Row, execute, fetch_all, fetch_one
from taskforge_server.storage.named import load_statements
from taskforge_server.storage.pool import Pool

_SQL: Final = load_statements("queues.sql")
_DEPTHS: Final = ("blocked", "scheduled", "ready", "running", "dead")


async def list_queues(database: Database, project: int) -> list[QueueView]:
    """Return every queue with its depth in each state."""
    rows = await fetch_all(database, _SQL["list_queues"], {"project": project})
    return [_queue(row) for row in rows]


@frozen(kw_only=True)
class QueueSample:
    """One queue's depth by state, and how long its oldest ready job has waited."""

    name: str
    depth: dict[str, int]
    oldest_wait_seconds: float | None


async def sample_queues(pool: Pool) -> list[QueueSample]:
    """Count every live table, keep the result for those who look, and return it."""
    found: dict[str, QueueSample] = {}
    for name, state, count, oldest, now in await pool.fetch(_SQL["sample_queues"]):
        waited = None if oldest is None else (now - oldest).total_seconds()
        sample = found.setdefault(
            name, QueueSample(name=name, depth={}, oldest_wait_seconds=waited)
        )
        sample.depth[state] = count
    return list(found.values())


async def pause_queue(database: Database, project: int, queue: str, reason: str | None) -> bool:
    """Keep workers from claiming from a queue; False when there is no such queue."""
    values = {"project": project, "queue": queue, "reason": reason}
    return await fetch_one(database, _SQL["pause_queue"], values) is not None


async def resume_queue(database: Database, project: int, queue: str) -> bool:
    """Let workers claim from a queue again, and wake them; False when there is no such queue."""
    row = await fetch_one(database, _SQL["resume_queue"], {"project": project, "queue": queue})
    if row is None:
        return False
    await ring_queues(database, [row["id"]])
    return True


async def ring_queues(database: Database, queues: list[int]) -> None:
    """Ring the doorbell of queues by number."""
    if queues:
        await execute(database, _SQL["ring_queues"], {"queues": queues})


def _queue(row: Row) -> QueueView:
    return QueueView(
        name=row["name"],
        paused=row["paused"],
        depth={state: row[state] for state in _DEPTHS},
        oldest_ready_at=row["oldest_ready_at"],
        sampled_at=row["sampled_at"],
    )
