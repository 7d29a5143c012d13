"""Connections that outlive deadlocks, lost prepared statements and killed backends."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from psycopg import errors as psycopg_errors

from taskforge_server.storage.errors import (
    Busy,
    DatabaseUnreachable,
    InvalidValue,
    KeyTaken,
    NoSuchRow,
    QueryTimeout,
    StorageError,
    WrongState,
    is_transient,
    lost_prepared_statement,
    translate,
)
from taskforge_server.storage.listen import Doorbell
from taskforge_server.storage.pool import Connection, Pool, PoolSettings, connection_options
from tests.support.polling import wait_until_async
from tests.support.postgres import Database
from tests.support.protocol import Protocol

pytestmark = [pytest.mark.storage, pytest.mark.anyio]


class Half:
    def random(self) -> float:
        return 0.5


async def test_a_deadlock_is_tried_again_and_both_win(protocol: Protocol, pool: Pool) -> None:
    protocol.rows("create table t (id int primary key, n int not null default 0)")
    protocol.rows("insert into t values (1), (2)")
    both_hold = asyncio.Barrier(2)
    tries = 0

    async def touch(first: int, second: int) -> None:
        met = False

        async def work(connection: Connection) -> None:
            nonlocal met, tries
            tries += 1
            await connection.execute("update t set n = n + 1 where id = %s", (first,))
            if not met:
                met = True
                await both_hold.wait()
            await connection.execute("update t set n = n + 1 where id = %s", (second,))

        await pool.run(work)

    await asyncio.gather(touch(1, 2), touch(2, 1))
    assert tries == 3
    assert protocol.rows("select n from t") == [(2,), (2,)]


async def test_what_stays_busy_is_raised_at_last(pool: Pool) -> None:
    tries = 0

    async def work(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        await connection.execute("do $$ begin raise exception 'x' using errcode = '40001'; end $$")

    with pytest.raises(Busy):
        await pool.run(work)
    assert tries == 3
    with pytest.raises(ValueError, match="attempts"):
        await pool.run(work, attempts=0)


async def test_what_can_not_heal_is_raised_at_once(pool: Pool) -> None:
    tries = 0

    async def work(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        await connection.execute("select 1 / 0")

    with pytest.raises(StorageError, match="division by zero"):
        await pool.run(work)
    assert tries == 1


async def test_limits_end_with_their_transaction(pool: Pool) -> None:
    with pytest.raises(QueryTimeout):
        async with pool.transaction(statement_timeout_seconds=0.05) as connection:
            await connection.execute("select pg_sleep(5)")
    async with pool.transaction(lock_timeout_seconds=1.5) as connection:
        shown = await (await connection.execute("show lock_timeout")).fetchone()
        assert shown == ("1500ms",)
    assert await pool.fetch("show lock_timeout") == [("0",)]


async def lose(pool: Pool) -> None:
    """Take the session's prepared statements away as a pooler does: without a word."""
    async with pool.connection() as connection:
        await connection.execute("do $$ begin execute 'deallocate all'; end $$")


async def test_a_pool_that_lost_its_prepared_statements_stops_preparing(database: Database) -> None:
    settings = PoolSettings(min_size=1, max_size=1)
    async with await Pool.open(database.url, settings) as pool:
        for _ in range(6):
            await pool.fetch("select 1")
        await lose(pool)
        with pytest.raises(Busy):
            await pool.fetch("select 1")
        for _ in range(6):
            assert await pool.fetch("select 1") == [(1,)]
            await lose(pool)


async def test_a_killed_backend_costs_one_call(protocol: Protocol, database: Database) -> None:
    settings = PoolSettings(min_size=1, max_size=1, prepare=False, application_name="mine")
    async with await Pool.open(database.url, settings) as pool:
        await pool.fetch("select 1")
        protocol.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'mine'"
        )
        with pytest.raises(DatabaseUnreachable):
            await pool.fetch("select 1")

        async def answers() -> bool:
            try:
                return await pool.fetch("select 1") == [(1,)]
            except DatabaseUnreachable:
                return False

        assert await wait_until_async(answers)


async def test_a_url_that_can_not_be_read_says_so() -> None:
    with pytest.raises(DatabaseUnreachable, match="database_url"):
        await Pool.open("postgresql://[")
    kept = connection_options("postgresql://h/d?connect_timeout=1", "x")
    assert "connect_timeout=1" in kept
    assert "tcp_user_timeout=15000" in kept


@pytest.mark.parametrize(
    "state,kind",
    [
        ("TF404", NoSuchRow),
        ("TF409", KeyTaken),
        ("TF410", WrongState),
        ("TF422", InvalidValue),
        ("40P01", Busy),
        ("55P03", Busy),
        ("57P01", DatabaseUnreachable),
        ("53300", DatabaseUnreachable),
        ("57014", QueryTimeout),
        ("22012", StorageError),
    ],
)
def test_the_databases_errors_become_ours(
    protocol: Protocol, state: str, kind: type[StorageError]
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        protocol.rows(f"do $$ begin raise exception 'the words' using errcode = '{state}'; end $$")
    ours = translate(caught.value)
    assert type(ours) is kind
    assert "the words" in str(ours)
    assert is_transient(caught.value) is (kind in {Busy, DatabaseUnreachable})


def test_errors_without_a_state_are_the_connections() -> None:
    assert isinstance(translate(psycopg.OperationalError("gone")), DatabaseUnreachable)
    assert not is_transient(ValueError())
    assert lost_prepared_statement(psycopg_errors.InvalidSqlStatementName())


async def test_the_doorbell_hears_and_comes_back(protocol: Protocol, database: Database) -> None:
    heard: list[str] = []
    doorbell = Doorbell(url=database.url, heard=heard.append, rng=Half())
    task = asyncio.create_task(doorbell.run())

    async def listening() -> bool:
        return doorbell.listening

    async def rung() -> bool:
        protocol.rows("select taskforge.ring(%s)", [7])
        return "ready 7" in heard

    await wait_until_async(listening)
    await wait_until_async(rung)
    protocol.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'taskforge-doorbell'"
    )
    heard.clear()
    await wait_until_async(rung)
    task.cancel()
    await asyncio.wait((task,))
    assert not doorbell.listening
