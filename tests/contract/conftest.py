"""The roads the conformance suite travels: to PostgreSQL, and over HTTP with an API key."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial

import pytest
from attrs import frozen

from taskforge_client import TaskForge
from taskforge_client.portal import Portal
from taskforge_client.transport.postgres import PostgresTransport
from taskforge_server.operations import keys
from taskforge_server.operations.caller import Caller
from taskforge_server.rest.app import create_app
from taskforge_server.rest.auth import KeyDoor
from taskforge_server.rest.ports import bind
from taskforge_server.rest.serve import serving
from taskforge_server.storage.database import PooledDatabase
from taskforge_server.storage.pool import Pool
from tests.support.postgres import Database


@frozen(kw_only=True)
class Road:
    """One way to a fresh database: how an app states it, and where the database is."""

    name: str
    url: str
    api_key: str | None
    database_url: str

    def app(self) -> TaskForge:
        """Return a new app on this road."""
        return TaskForge(self.url, api_key=self.api_key)


@pytest.fixture(params=["direct", "http"])
def road(request: pytest.FixtureRequest, database: Database) -> Iterator[Road]:
    if request.param == "direct":
        yield Road(name="direct", url=database.url, api_key=None, database_url=database.url)
        return
    with serving_http(database.url) as (url, api_key):
        yield Road(name="http", url=url, api_key=api_key, database_url=database.url)


@pytest.fixture
def app(road: Road) -> Iterator[TaskForge]:
    with road.app() as made:
        yield made


@contextlib.contextmanager
def serving_http(database_url: str) -> Iterator[tuple[str, str]]:
    """Serve the HTTP face over a database, on a loop of its own; yields its URL and an API key."""
    portal = Portal()
    ready: Future[tuple[str, str, Callable[[], object]]] = Future()
    served = portal.start(_serve, database_url, ready)
    try:
        url, secret, stop = ready.result(timeout=30)
        yield url, secret
        stop()
        served.result(timeout=30)
    finally:
        portal.close()


async def _serve(database_url: str, ready: Future[tuple[str, str, Callable[[], object]]]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        async with contextlib.AsyncExitStack() as stack:
            pool = await stack.enter_async_context(await Pool.open(database_url))
            transport = PostgresTransport(database_url)
            stack.push_async_callback(transport.aclose)
            caller = Caller(database=PooledDatabase(pool), transport=transport)
            secret = (await keys.create(caller, "conformance")).secret
            rest = create_app(KeyDoor(caller=caller), ready=_always_ready, metrics=bytes)
            listening = await stack.enter_async_context(serving(rest, bind("127.0.0.1", 0)))
            ready.set_result(
                (listening.url, secret, partial(loop.call_soon_threadsafe, stopping.set))
            )
            await stopping.wait()
    except BaseException as error:
        if not ready.done():
            ready.set_exception(error)
        raise


async def _always_ready() -> None:
    return None
