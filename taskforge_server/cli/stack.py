"""Everything on one machine, as `taskforge dev` and the examples run it.

An embedded PostgreSQL (or a database of your own), the schema, a server node that asks for no API
key on a loopback port, and worker processes for an app. Leaving the block drains and stops all of
it, in the opposite order.
"""

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from taskforge_client.worker.settings import DEFAULT_CONCURRENCY
from taskforge_client.worker.watch import SourceWatch, folders_of
from taskforge_server.cli.app_facts import AppFacts, read_app
from taskforge_server.cli.node import ServingNode, serving_node
from taskforge_server.cli.pool import (
    DEVELOPMENT_GRACE_SECONDS,
    PoolOptions,
    make_supervisor,
    worker_environment,
)
from taskforge_server.cli.target import POSTGRESQL_FOLDER
from taskforge_server.config.model import Config
from taskforge_server.operations import queues, schedules
from taskforge_server.operations.caller import Caller
from taskforge_server.storage.embedded import StartPhase, start_embedded
from taskforge_server.storage.migrate import migrate

_WATCH_SECONDS: Final = 1.0

Say = Callable[[str], None]


@frozen(kw_only=True)
class StackOptions:
    """What to run.

    Args:
        app: path of the app, ``module:name``; None runs no workers.
        data: folder of the embedded PostgreSQL.
        database_url: a database to use instead of the embedded one.
        processes: worker processes.
        concurrency: jobs that run at once in each.
        reload: restart the workers when the app's sources change.
    """

    app: str | None = None
    data: Path = Path(".taskforge")
    database_url: str | None = None
    processes: int = 1
    concurrency: int = DEFAULT_CONCURRENCY
    reload: bool = False


@define
class Stack:
    """A running stack; `hasten` makes a drain that goes on give up sooner."""

    database_url: str
    node: ServingNode
    facts: AppFacts | None = None
    hasten: Callable[[], None] = field(default=lambda: None)

    @property
    def url(self) -> str:
        """Where HTTP is answered."""
        return self.node.listening.url

    @property
    def caller(self) -> Caller:
        """The caller for operations on it."""
        return self.node.caller


@contextlib.asynccontextmanager
async def running_stack(
    options: StackOptions, config: Config, bound: socket.socket, say: Say
) -> AsyncIterator[Stack]:
    """Run everything while the block does; `say` is told what goes on.

    Raises:
        NotConfigured: the app can't be found or imported.
        StorageError: the database can't be started or brought up to date.
    """
    async with contextlib.AsyncExitStack() as exits:
        facts = None
        if options.app is not None:
            facts = await asyncio.to_thread(read_app, options.app)
        url = options.database_url
        if url is None:
            server = await asyncio.to_thread(
                start_embedded, options.data / POSTGRESQL_FOLDER, progress=_teller(say)
            )
            exits.push_async_callback(asyncio.to_thread, server.stop)
            url = server.url
        for name in (await asyncio.to_thread(migrate, url)).applied:
            say(f"applied migration {name}")
        counts = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="taskforge-")))
        node = await exits.enter_async_context(
            serving_node(url, config, bound, key_free=True, worker_metrics=counts)
        )
        stack = Stack(url, node, facts)
        if facts is not None and options.app is not None:
            await schedules.declare(stack.caller, facts.tasks, facts.schedules)
            await exits.enter_async_context(_workers(stack, options, options.app, counts, say))
        yield stack


@contextlib.asynccontextmanager
async def _workers(
    stack: Stack, options: StackOptions, app: str, counts: Path, say: Say
) -> AsyncIterator[None]:
    known = {queue.name for queue in await queues.list_queues(stack.caller)}

    def served() -> dict[str, int]:
        declared = stack.facts.queues if stack.facts is not None else ()
        return dict.fromkeys(sorted({*known, *declared}), 1)

    pool = PoolOptions(
        app=app,
        processes=options.processes,
        concurrency=options.concurrency,
        grace_seconds=DEVELOPMENT_GRACE_SECONDS,
        reload=options.reload,
    )
    supervisor = make_supervisor(pool, stack.database_url, served, metrics=counts)
    stack.hasten = supervisor.stop
    running = asyncio.create_task(asyncio.to_thread(supervisor.run))
    watching = asyncio.create_task(_redeclare(stack, app, say)) if options.reload else None
    try:
        yield
    finally:
        if watching is not None:
            watching.cancel()
        supervisor.stop()
        await running


async def _redeclare(stack: Stack, app: str, say: Say) -> None:
    """Take over schedules and queues from changed sources; the supervisor restarts the workers."""
    watch = SourceWatch(folders_of(app))
    environment = worker_environment(stack.database_url)
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        if not await asyncio.to_thread(watch.changed):
            continue
        try:
            facts = await asyncio.to_thread(read_app, app, environment)
            await schedules.declare(stack.caller, facts.tasks, facts.schedules)
        except Exception as error:  # noqa: BLE001  # half-written sources are no end of the world
            say(str(error))
            continue
        stack.facts = facts
        say("sources changed: workers restart")


def _teller(say: Say) -> Callable[[StartPhase, float], None]:
    def tell(phase: StartPhase, seconds: float) -> None:
        say(f"PostgreSQL: {phase.value} ({seconds:.0f} s)")

    return tell
