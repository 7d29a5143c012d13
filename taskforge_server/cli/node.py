"""A whole server node as the commands run it: engine, operations and HTTP on one event loop."""

import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from attrs import frozen
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from taskforge_client.errors import TaskForgeError
from taskforge_client.transport.postgres import PostgresTransport
from taskforge_server.config.model import Config
from taskforge_server.operations.caller import Caller
from taskforge_server.rest.app import create_app
from taskforge_server.rest.auth import Doorkeeper, KeyDoor, OpenDoor
from taskforge_server.rest.serve import Listening, serving
from taskforge_server.storage.database import PooledDatabase, fetch_one
from taskforge_server.telemetry.prometheus import EngineMetrics
from taskforge_server.wiring import Node, run_node


@frozen(kw_only=True)
class ServingNode:
    """A running node, where it listens, and the caller its HTTP face uses."""

    node: Node
    listening: Listening
    caller: Caller


@contextlib.asynccontextmanager
async def serving_node(
    url: str,
    config: Config,
    bound: socket.socket,
    *,
    key_free: bool,
    worker_metrics: Path | None = None,
) -> AsyncIterator[ServingNode]:
    """Run a node against the database at `url` and serve HTTP on `bound` while the block runs.

    Args:
        url: the database, which holds this version's schema.
        config: the node's settings.
        bound: a listening socket.
        key_free: let callers on this machine in without an API key; for development.
        worker_metrics: folder where worker processes beside this node keep their counts.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    if worker_metrics is not None:
        MultiProcessCollector(registry, path=str(worker_metrics))  # type: ignore[no-untyped-call]
    async with (
        run_node(url, config=config, handlers=[EngineMetrics(registry)]) as node,
        contextlib.AsyncExitStack() as stack,
    ):
        transport = PostgresTransport(url)
        stack.push_async_callback(transport.aclose)
        database = PooledDatabase(node.pool)
        caller = Caller(database=database, transport=transport)
        doorkeeper: Doorkeeper = OpenDoor(caller=caller) if key_free else KeyDoor(caller=caller)

        async def ready() -> str | None:
            try:
                await fetch_one(database, "select 1 as alive", {})
            except TaskForgeError as error:
                return str(error)
            return None

        app = create_app(doorkeeper, ready=ready, metrics=lambda: generate_latest(registry))
        listening = await stack.enter_async_context(serving(app, bound))
        yield ServingNode(node=node, listening=listening, caller=caller)
