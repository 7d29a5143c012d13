"""Connections: one bounded pool a process, fit for transaction poolers, and retry.

Nothing here is kept in a session: no SET, no LISTEN (see `listen`), no advisory lock beyond a
transaction. Where a pooler hands out sessions that lack our prepared statements, the pool notices
and stops preparing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, LiteralString, Self, TypeVar

import psycopg
from attrs import define, field, frozen
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from taskforge_server.domain.clock import Rng, system_rng
from taskforge_server.storage.errors import (
    DatabaseUnreachable,
    is_transient,
    lost_prepared_statement,
    translate,
)

Connection = AsyncConnection[TupleRow]
Result = TypeVar("Result")

_PREPARE_AFTER: Final = 3
_FIRST_PAUSE_SECONDS: Final = 0.02


@frozen(kw_only=True)
class PoolSettings:
    """How many connections a process holds and how long it waits for one.

    `prepare` False keeps to unprepared statements, for a pooler that is known not to keep them.
    """

    min_size: int = 1
    max_size: int = 8
    timeout_seconds: float = 10.0
    prepare: bool = True
    application_name: str = "taskforge-server"


def connection_options(url: str, application_name: str) -> str:
    """Return `url` with what every connection of ours asks for, unless it says otherwise itself.

    A peer that vanished without a word is noticed within about 15 seconds.
    """
    ours: dict[str, str | int] = {
        "application_name": application_name,
        "connect_timeout": 5,
        "keepalives_idle": 5,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
    }
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise DatabaseUnreachable(f"database_url: it can't be read ({error})") from None
    return make_conninfo(url, **{name: value for name, value in ours.items() if name not in given})


@define(eq=False)
class Pool:
    """The way to one database.

    Connections in autocommit, transactions, and transactions that are tried again.
    """

    url: str
    settings: PoolSettings
    _pool: AsyncConnectionPool[Connection]
    _rng: Rng
    _prepare_after: int | None = field(default=None)
    _looking_over: asyncio.Task[None] | None = field(default=None, init=False)

    @classmethod
    async def open(
        cls, url: str, settings: PoolSettings | None = None, rng: Rng | None = None
    ) -> Self:
        """Open a pool and make sure that the database answers.

        Raises:
            DatabaseUnreachable: it does not, or refuses the login.
        """
        settings = settings or PoolSettings()
        prepare_after = _PREPARE_AFTER if settings.prepare else None
        pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            connection_options(url, settings.application_name),
            kwargs={"autocommit": True, "prepare_threshold": prepare_after},
            min_size=settings.min_size,
            max_size=settings.max_size,
            timeout=settings.timeout_seconds,
            open=False,
            name=settings.application_name,
        )
        try:
            # Asked once by hand: the pool would only say that nothing came in time, not why.
            async with await AsyncConnection.connect(
                connection_options(url, settings.application_name), autocommit=True
            ) as probe:
                await probe.execute("select 1")
            await pool.open(wait=True, timeout=settings.timeout_seconds)
        except psycopg.Error as error:
            await pool.close()
            raise DatabaseUnreachable(
                f"the database can't be reached: {str(error).strip() or type(error).__name__}"
            ) from error
        return cls(url, settings, pool, rng or system_rng(), prepare_after)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        if self._looking_over is not None:
            await asyncio.wait((self._looking_over,), timeout=self.settings.timeout_seconds)
            self._looking_over.cancel()
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """Lend a connection in autocommit: every statement is a transaction of its own.

        Raises:
            StorageError: what went wrong inside, translated.
        """
        try:
            async with self._pool.connection() as connection:
                connection.prepare_threshold = self._prepare_after
                yield connection
        except psycopg.Error as error:
            if lost_prepared_statement(error):
                self._prepare_after = None
            translated = translate(error)
            if isinstance(translated, DatabaseUnreachable):
                self._look_over()
            raise translated from error

    def _look_over(self) -> None:
        """Replace what else has died: where one connection was ended, the idle ones were too."""
        if self._looking_over is None or self._looking_over.done():
            self._looking_over = asyncio.create_task(self._pool.check())

    @asynccontextmanager
    async def transaction(
        self,
        *,
        statement_timeout_seconds: float | None = None,
        lock_timeout_seconds: float | None = None,
    ) -> AsyncGenerator[Connection]:
        """Lend a connection inside one transaction (READ COMMITTED), with limits that end with it.

        Raises:
            StorageError: what went wrong inside, translated; nothing was kept.
        """
        async with self.connection() as connection, connection.transaction():
            await limit(connection, "statement_timeout", statement_timeout_seconds)
            await limit(connection, "lock_timeout", lock_timeout_seconds)
            yield connection

    async def run(
        self, work: Callable[[Connection], Awaitable[Result]], *, attempts: int = 3
    ) -> Result:
        """Do `work` in one transaction and, where it gave way to another, again.

        A jittered pause lies between two tries.

        Raises:
            StorageError: as `transaction`, after `attempts` tries.
        """
        for attempt in range(1, attempts + 1):
            try:
                async with self.transaction() as connection:
                    return await work(connection)
            except Exception as error:
                if attempt == attempts or not is_transient(error):
                    raise
            await asyncio.sleep(self._rng.random() * _FIRST_PAUSE_SECONDS * 2**attempt)
        raise ValueError(f"attempts: {attempts} is out of range; expected 1 or more")

    async def fetch(
        self, query: LiteralString, parameters: Sequence[Any] | dict[str, Any] = ()
    ) -> list[TupleRow]:
        """Run one statement of its own and return its rows."""
        async with self.connection() as connection:
            return await (await connection.execute(query, parameters)).fetchall()


async def limit(connection: Connection, setting: str, seconds: float | None) -> None:
    """Set one of PostgreSQL's time limits until the end of the transaction.

    None leaves it as it is.
    """
    if seconds is not None:
        await connection.execute(
            "select set_config(%s, %s, true)", (setting, f"{int(seconds * 1000)}ms")
        )
