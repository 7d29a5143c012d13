"""Sends that join the caller's own transaction, whatever road the app itself takes."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy

from taskforge_client import SyncTask, TaskForge
from taskforge_client.errors import KeyReused, NotConfigured, NotFound
from taskforge_client.wire.states import JobState
from tests.contract.conftest import Road

pytestmark = pytest.mark.contract
Add = SyncTask[..., int]


@pytest.fixture
def add(app: TaskForge) -> Add:
    @app.task(name="sums:add", queue="sums")
    def add(left: int, right: int = 1) -> int:
        return left + right

    return add


@pytest.fixture
def connection(road: Road) -> Iterator[psycopg.Connection]:
    with psycopg.connect(road.database_url) as opened:
        yield opened


def test_the_job_is_there_once_the_transaction_commits(
    add: Add, connection: psycopg.Connection
) -> None:
    handle = add.within(connection).using(priority=3).enqueue(1)
    with pytest.raises(NotFound):
        handle.view()
    connection.commit()
    view = handle.view()
    assert (view.state, view.priority, view.queue) == (JobState.READY, 3, "sums")


def test_it_never_was_if_the_transaction_rolls_back(
    add: Add, connection: psycopg.Connection
) -> None:
    handle = add.bind(1).enqueue(within=connection)
    connection.rollback()
    with pytest.raises(NotFound):
        handle.view()


def test_many_join_one_transaction(
    app: TaskForge, add: Add, connection: psycopg.Connection
) -> None:
    receipt = app.enqueue_many((add.bind(number) for number in range(2_500)), within=connection)
    assert (receipt.count, receipt.failed) == (2_500, 0)
    connection.commit()
    assert add.job(receipt.ids[2_499]).view().state is JobState.READY


def test_a_refusal_leaves_the_decision_to_the_caller(
    add: Add, connection: psycopg.Connection
) -> None:
    keyed = add.using(key="once")
    first = keyed.enqueue(1)
    again = keyed.within(connection).enqueue(1)
    assert (again.id, again.deduplicated) == (first.id, True)
    with pytest.raises(KeyReused):
        keyed.within(connection).enqueue(2)


async def test_awaited_connections_do_the_same(road: Road) -> None:
    async with road.app() as app:
        add = app.named("sums:add")
        async with await psycopg.AsyncConnection.connect(road.database_url) as connection:
            kept = await add.within(connection).aenqueue(left=1)
            await connection.commit()
            lost = await add.bind(left=2).aenqueue(within=connection)
            many = await app.aenqueue_many([add.bind(left=3)], within=connection)
            await connection.rollback()
        assert (await kept.aview()).state is JobState.READY
        for handle in (lost, app.job(many.ids[0])):
            with pytest.raises(NotFound):
                await handle.aview()


def test_sqlalchemy_connections_do_the_same(road: Road, add: Add) -> None:
    url = road.database_url.replace("postgresql://", "postgresql+psycopg://")
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        handle = add.within(connection).enqueue(1)
    assert handle.view().state is JobState.READY
    with engine.connect() as connection:
        lost = add.within(connection).enqueue(2)
    with pytest.raises(NotFound):
        lost.view()
    engine.dispose()


def test_what_is_no_connection_is_refused(add: Add) -> None:
    with pytest.raises(NotConfigured, match="psycopg"):
        add.within(object()).enqueue(1)
