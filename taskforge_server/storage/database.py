"""The way of operations to PostgreSQL: short statements in autocommit, rows as dictionaries.

It manages no transactions: what must happen at once is one statement or one function.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, LiteralString, Protocol, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import dict_row

R = TypeVar("R")
Row = dict[str, Any]
Work = Callable[[AsyncConnection[tuple[Any, ...]]], Awaitable[R]]


class Database(Protocol):
    """Lends a connection in autocommit, and raises errors of `taskforge_client.errors`."""

    async def call(self, work: Work[R]) -> R:
        """Return `work(connection)`."""
        ...


async def fetch_all(
    database: Database, statement: LiteralString, values: Mapping[str, Any]
) -> list[Row]:
    """Run one statement and return all its rows."""

    async def work(connection: AsyncConnection[tuple[Any, ...]]) -> list[Row]:
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute(statement, values)
        return await cursor.fetchall()

    return await database.call(work)


async def fetch_one(
    database: Database, statement: LiteralString, values: Mapping[str, Any]
) -> Row | None:
    """Run one statement and return its first row, None when it has none."""
    rows = await fetch_all(database, statement, values)
    return rows[0] if rows else None


async def execute(database: Database, statement: LiteralString, values: Mapping[str, Any]) -> None:
    """Run one statement whose rows nobody wants."""

    async def work(connection: AsyncConnection[tuple[Any, ...]]) -> None:
        await connection.execute(statement, values)

    await database.call(work)
