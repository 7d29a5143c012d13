"""Queues as people see them: depths, pausing and resuming."""

from typing import Final

from taskforge_client.wire.queues import QueueView
from taskforge_server.storage.database import Database, Row, execute, fetch_all, fetch_one
from taskforge_server.storage.named import load_statements

_SQL: Final = load_statements("queues.sql")
_DEPTHS: Final = ("blocked", "scheduled", "ready", "running", "dead")


async def list_queues(database: Database, project: int) -> list[QueueView]:
    """Return every queue with its depth in each state."""
    rows = await fetch_all(database, _SQL["list_queues"], {"project": project})
    return [_queue(row) for row in rows]


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
    )
