"""One connection that opens when first needed and opens again after it was lost."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg import AsyncConnection, AsyncCursor

from taskforge_client.errors import TaskForgeError, Unreachable
from taskforge_client.transport.postgres.arrays import register_arrays
from taskforge_client.transport.postgres.refusals import translate

R = TypeVar("R")

# A peer that vanished without a word is noticed within these seconds, also by a connection that
# only listens.
_SILENCE_SECONDS: Final = 15
_CONNECT_SECONDS: Final = 5
CONNECTION_OPTIONS: Final[dict[str, Any]] = {
    "connect_timeout": _CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": _SILENCE_SECONDS * 1000,
}
_STATEMENT_SECONDS: Final = 10.0
_CONFLICT_TRIES: Final = 3
_CONFLICT_PAUSE_SECONDS: Final = 0.02
_CONFLICTS: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)

AsyncLink = AsyncConnection[tuple[Any, ...]]


async def only_row(cursor: AsyncCursor[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the one row that a function's call always answers."""
    row = await cursor.fetchone()
    if row is None:
        raise TaskForgeError("the database answered a function's call without a row")
    return row


class Link:
    """A lazily opened connection, used by one caller at a time.

    `call` runs a coroutine function on the open connection and turns the medium's errors into
    ours. After an error of the connection itself it is closed; the next call opens another.
    Statements that take longer than 10 seconds are given up together with the connection: a
    half-open one would otherwise hold its caller for ever.
    """

    def __init__(self, url: str, application_name: str) -> None:
        self._url = url
        self._application_name = application_name
        self._connection: AsyncLink | None = None
        self._lock = asyncio.Lock()

    async def call(
        self, work: Callable[[AsyncLink], Awaitable[R]], timeout_seconds: float = _STATEMENT_SECONDS
    ) -> R:
        """Return `work(connection)`.

        Raises:
            Unreachable: no connection, or it broke or fell silent meanwhile: the outcome of `work`
            is unknown. Refused: the database refused a value.
        """
        async with self._lock:
            for _ in range(_CONFLICT_TRIES - 1):
                try:
                    return await self._call_once(work, timeout_seconds)
                except Unreachable as error:
                    # Another transaction stood in the way; all of this one was undone.
                    if not isinstance(error.__cause__, _CONFLICTS):
                        raise
                await asyncio.sleep(random.uniform(0, _CONFLICT_PAUSE_SECONDS))  # noqa: S311 (spread)
            return await self._call_once(work, timeout_seconds)

    async def _call_once(
        self, work: Callable[[AsyncLink], Awaitable[R]], timeout_seconds: float
    ) -> R:
        try:
            async with asyncio.timeout(timeout_seconds):
                connection = await self._open()
                return await work(connection)
        except TimeoutError as error:
            await self._discard()
            raise Unreachable(
                f"the database did not answer within {timeout_seconds:g} seconds"
            ) from error
        except psycopg.Error as error:
            if self._connection is None or self._connection.closed or self._connection.broken:
                await self._discard()
            raise translate(error) from error
        except asyncio.CancelledError:
            # The statement may be half-way through its answer: nobody else may use this connection.
            await self._discard()
            raise

    async def aclose(self) -> None:
        """Close the connection; a later call would open a new one."""
        async with self._lock:
            await self._discard()

    async def __aenter__(self) -> Self:
        """Return the link, unopened."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self.aclose()

    async def _open(self) -> AsyncLink:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        self._connection = await AsyncConnection.connect(
            self._url,
            autocommit=True,
            application_name=self._application_name,
            **CONNECTION_OPTIONS,
        )
        register_arrays(self._connection)
        return self._connection

    async def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
