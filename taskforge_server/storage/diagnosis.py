"""What the doctor asks the database. It judges nothing."""

from typing import Any, Final

from attrs import frozen

from taskforge_server.storage.database import Database, Row, fetch_all, fetch_one
from taskforge_server.storage.errors import StorageError
from taskforge_server.storage.named import load_statements

_SQL: Final = load_statements("diagnosis.sql")


@frozen(kw_only=True)
class DatabaseFacts:
    """The server's version, settings and clock, and its oldest open transaction."""

    version: str
    version_number: int
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    autovacuum: str
    max_connections: int
    connections: int
    is_replica: bool
    now: Any
    oldest_transaction_seconds: float | None


@frozen(kw_only=True)
class WorkFacts:
    """Counts of what should be there, and of what should not."""

    workers: int
    expired_workers: int
    orphans: int
    overdue: int
    late_schedules: int
    dead: int
    has_leader: bool


async def database_facts(database: Database) -> DatabaseFacts:
    """Return facts about the server itself; needs no schema of ours."""
    return DatabaseFacts(**await _one(database, "database_facts"))


async def work_facts(database: Database) -> WorkFacts:
    """Return counts over the live tables."""
    return WorkFacts(**await _one(database, "work_facts"))


async def unserved_queues(database: Database) -> list[str]:
    """Return queues whose ready jobs have waited for a minute with no worker listening."""
    return [row["name"] for row in await fetch_all(database, _SQL["unserved_queues"], {})]


async def missing_partitions(database: Database) -> list[str]:
    """Return which of today's and tomorrow's partitions are missing."""
    row = await _one(database, "partition_facts")
    return [day for day in ("today", "tomorrow") if not row[day]]


async def bloated_tables(database: Database) -> list[str]:
    """Return the hot tables that hold more than half a million dead rows."""
    return [row["table_name"] for row in await fetch_all(database, _SQL["bloat_facts"], {})]


async def _one(database: Database, name: str) -> Row:
    row = await fetch_one(database, _SQL[name], {})
    if row is None:
        raise StorageError(f"the database answered {name} with nothing")
    return row
