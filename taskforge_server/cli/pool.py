"""Worker processes as the commands start them: the client's own supervisor, told what to run."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

from taskforge_client.errors import NotConfigured
from taskforge_client.settings import ClientSettings
from taskforge_client.wire.codec import encode_json
from taskforge_client.worker.drain import Grace
from taskforge_client.worker.main import Orders
from taskforge_client.worker.roads import open_leases
from taskforge_client.worker.runnable import Place
from taskforge_client.worker.settings import DEFAULT_CONCURRENCY, WorkerSettings
from taskforge_client.worker.supervisor import Plan, Supervisor
from taskforge_client.worker.watch import SourceWatch, folders_of

HARD_MARGIN_SECONDS: Final = 5.0
SERVER_GRACE_SECONDS: Final = 20.0
DEVELOPMENT_GRACE_SECONDS: Final = 5.0


@frozen(kw_only=True)
class PoolOptions:
    """How many worker processes, and how each works."""

    app: str
    processes: int = 1
    concurrency: int = DEFAULT_CONCURRENCY
    grace_seconds: float = SERVER_GRACE_SECONDS
    reload: bool = False
    plain_place: Place = Place.PROCESS


def make_supervisor(
    options: PoolOptions,
    url: str,
    queues: Callable[[], Mapping[str, int]],
    *,
    metrics: Path | None = None,
) -> Supervisor:
    """Return a supervisor, not yet running.

    Args:
        options: what to run.
        url: the database, which also becomes the workers' TASKFORGE_URL.
        queues: asked at each start of a process for its queues and weights.
        metrics: folder where the processes keep their counts for a server beside them.

    Raises:
        NotConfigured: an option is out of range.
    """
    settings = _settings(options, dict(queues()))
    client = ClientSettings(url=url)

    def command(board: int) -> list[str]:
        orders = Orders(
            app_path=options.app,
            settings=_settings(options, dict(queues())),
            parent=os.getpid(),
            board=board,
        )
        return [
            *(sys.executable, "-m", "taskforge_server.workers.main"),
            encode_json(orders).decode(),
        ]

    environment = worker_environment(url)
    if metrics is not None:
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
    plan = Plan(
        command=command,
        processes=options.processes,
        hard_seconds=settings.grace.hard_seconds,
        environment=environment,
    )
    watch = SourceWatch(folders_of(options.app)) if options.reload else None
    leases = open_leases(client, settings.lease_seconds)
    return Supervisor(plan, leases, monotonic=time.monotonic, watch=watch)


def worker_environment(url: str) -> dict[str, str]:
    """Return the environment of worker processes: this one's, with the database as TaskForge."""
    return {**os.environ, "TASKFORGE_URL": url}


def _settings(options: PoolOptions, queues: dict[str, int]) -> WorkerSettings:
    hard_seconds = options.grace_seconds + HARD_MARGIN_SECONDS
    try:
        return WorkerSettings(
            queues=queues,
            concurrency=options.concurrency,
            app_path=options.app,
            plain_place=options.plain_place,
            grace=Grace(soft_seconds=options.grace_seconds, hard_seconds=hard_seconds),
        )
    except ValueError as error:
        raise NotConfigured(f"an option is out of range: {error}") from None
