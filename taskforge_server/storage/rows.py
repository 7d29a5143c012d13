"""Small translations between rows and wire values that several modules share."""

from datetime import UTC, datetime
from typing import Final, LiteralString, TypeVar

from psycopg.rows import class_row

from taskforge_client.wire.ids import SCHEDULE_PREFIX, WORKER_PREFIX, encode_number
from taskforge_server.storage.pool import Connection

Row = TypeVar("Row")

DEFAULT_PROJECT: Final = 1
"""The project that everything belongs to until there are more."""


async def fetch_rows(
    connection: Connection, kind: type[Row], query: LiteralString, parameters: dict[str, object]
) -> list[Row]:
    """Run a statement whose columns are the fields of `kind` and return its rows as such."""
    async with connection.cursor(row_factory=class_row(kind)) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()


def utc(moment: datetime | None) -> datetime | None:
    """Return the same instant in UTC, whatever zone the session shows times in."""
    return None if moment is None else moment.astimezone(UTC)


def schedule_id(number: int) -> str:
    """Return the public form of a schedule's number."""
    return encode_number(SCHEDULE_PREFIX, number)


def worker_id(number: int | None) -> str | None:
    """Return the public form of a worker's number, None for none."""
    return None if number is None else encode_number(WORKER_PREFIX, number)
