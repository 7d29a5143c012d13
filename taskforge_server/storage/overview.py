"""What people ask of the whole system: workers, schedules, counters, failures."""

from typing import Final

from taskforge_client.wire.fleet import WorkerView
from taskforge_client.wire.ids import WORKER_PREFIX, decode_number, encode_number
from taskforge_server.storage.database import Database, Row, fetch_all, fetch_one
from taskforge_server.storage.named import load_statements

_SQL: Final = load_statements("overview.sql")


async def list_workers(database: Database, project: int) -> list[WorkerView]:
    """Return every worker that holds a lease or has just lost one."""
    rows = await fetch_all(database, _SQL["list_workers"], {"project": project})
    return [_worker(row) for row in rows]


async def drain_workers(database: Database, project: int, workers: list[str] | None) -> list[str]:
    """Ask workers (None: all) to claim nothing more; return the ids of those asked."""
    numbers = None
    if workers is not None:
        numbers = [decode_number(WORKER_PREFIX, worker) for worker in workers]
    values = {"project": project, "workers": numbers}
    rows = await fetch_all(database, _SQL["drain_workers"], values)
    return [encode_number(WORKER_PREFIX, row["id"]) for row in rows]


async def finished_total(database: Database) -> int:
    """Return a counter of ended attempts, of which only differences mean something."""
    row = await fetch_one(database, _SQL["finished_total"], {})
    return 0 if row is None else int(row["count"])


def _worker(row: Row) -> WorkerView:
    return WorkerView(
        id=encode_number(WORKER_PREFIX, row["id"]),
        host=row["host"],
        process_id=row["process_id"],
        concurrency=row["concurrency"],
        started_at=row["started_at"],
        seen_at=row["seen_at"],
        alive=row["alive"],
        draining=row["draining"],
        running=row["running"],
        queues=row["queues"],
        version=row["version"],
    )
