"""What the client's pytest plugin asks of the server: a real database with a running engine.

The database is that of TASKFORGE_DATABASE_URL, or an embedded one in a temporary folder that is
gone afterwards. Each test works in a project of its own there.
"""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

from attrs import frozen

from taskforge_client.portal import Portal
from taskforge_server.storage.database import Database, PooledDatabase
from taskforge_server.storage.embedded import start_embedded
from taskforge_server.storage.migrate import migrate
from taskforge_server.storage.projects import add_project
from taskforge_server.wiring import run_node

START_SECONDS = 60


@frozen(kw_only=True)
class ServedDatabase:
    """A migrated database whose engine is running on the loop of `portal`."""

    url: str
    portal: Portal
    database: Database

    def add_project(self, name: str) -> None:
        """Make a project."""
        self.portal.run(add_project, self.database, name)


@contextlib.contextmanager
def serving_database() -> Iterator[ServedDatabase]:
    """Serve a database with an engine while the block runs."""
    with contextlib.ExitStack() as stack:
        url = os.environ.get("TASKFORGE_DATABASE_URL") or stack.enter_context(_embedded())
        migrate(url)
        portal = Portal()
        stack.callback(portal.close)
        ready: Future[tuple[Database, asyncio.Event]] = Future()
        served = portal.start(_run_engine, url, ready)
        database, stop = ready.result(START_SECONDS)
        try:
            yield ServedDatabase(url=url, portal=portal, database=database)
        finally:
            portal.run(_set, stop)
            served.result(START_SECONDS)


@contextlib.contextmanager
def _embedded() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="taskforge-test-") as folder:
        server = start_embedded(Path(folder) / "postgresql")
        try:
            yield server.url
        finally:
            server.stop()


async def _run_engine(url: str, ready: "Future[tuple[Database, asyncio.Event]]") -> None:
    stop = asyncio.Event()
    try:
        async with run_node(url) as node:
            ready.set_result((PooledDatabase(node.pool), stop))
            await stop.wait()
    except BaseException as error:
        if not ready.done():
            ready.set_exception(error)
        raise


async def _set(event: asyncio.Event) -> None:
    event.set()
