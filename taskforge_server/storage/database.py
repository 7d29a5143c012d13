"""The way of operations to PostgreSQL: short statements in autocommit, rows as dictionaries.

It manages no transactions: what must happen at once is one statement or one function.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, LiteralString, Protocol, TypeVar

from attrs import frozen
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from taskforge_client.errors import NotConfigured, TaskForgeError, Unreachable
from taskforge_server.storage.errors import Busy, DatabaseUnreachable, SchemaError, StorageError
from taskforge_server.storage.pool import Pool

R = TypeVar("R")
Row = dict[str, Any]
Work = Callable[[AsyncConnection[tuple[Any, ...]]], Awaitable[R]]


class Database(Protocol):
    """Lends a connection in autocommit, and raises errors of `taskforge_client.errors`."""

    async def call(self, work: Work[R]) -> R:
        """Return `work(connection)`."""
        ...


@frozen
class PooledDatabase:
    """Lends the connections of a pool, for a server that answers many calls at once."""

    pool: Pool

    async def call(self, work: Work[R]) -> R:
        """Return `work(connection)`; see `Database`."""
        try:
            async with self.pool.connection() as connection:
                return await work(connection)
        except (DatabaseUnreachable, Busy) as error:
            raise Unreachable(str(error)) from error
        except SchemaError as error:
            raise NotConfigured(str(error)) from error
        except StorageError as error:
            raise TaskForgeError(str(error)) from error


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
