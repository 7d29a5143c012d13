"""``taskforge-worker APP``: a tenant's own worker, without the server package.

It starts worker processes and looks after them: a crash is followed by a fresh process, the jobs of
a dead one are taken back at once, and one stuck in C code past its job's deadline is killed.
"""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from taskforge_client._version import __version__
from taskforge_client.errors import NotConfigured, TaskForgeError
from taskforge_client.settings import from_environment
from taskforge_client.worker.drain import Grace
from taskforge_client.worker.main import Orders
from taskforge_client.worker.queue_weights import queue_weights
from taskforge_client.worker.roads import open_leases
from taskforge_client.worker.runnable import Place
from taskforge_client.worker.settings import WorkerSettings
from taskforge_client.worker.supervisor import USAGE_STATUS, Plan, Supervisor
from taskforge_client.worker.watch import SourceWatch, folders_of

HARD_MARGIN_SECONDS: Final = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 2 usage."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    options = _parser().parse_args(arguments)
    sys.path.insert(0, str(Path.cwd()))
    try:
        supervisor = make_supervisor(options)
    except TaskForgeError as error:
        sys.stderr.write(f"taskforge-worker: {error}\n")
        return USAGE_STATUS
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    signal.signal(signal.SIGCHLD, lambda *_: supervisor.nudge())
    return supervisor.run()


def make_supervisor(options: argparse.Namespace) -> Supervisor:
    """Return a supervisor for parsed options.

    Raises:
        NotConfigured: a setting or an option is wrong.
    """
    client = from_environment(os.environ, Path.cwd())
    settings = worker_settings(options)
    environment = {
        **os.environ,
        "TASKFORGE_URL": client.url,
        "TASKFORGE_PROJECT": client.project,
    }

    def command(board: int) -> list[str]:
        orders = Orders(app_path=options.app, settings=settings, parent=os.getpid(), board=board)
        text = msgspec.json.encode(orders).decode()
        return [sys.executable, "-m", "taskforge_client.worker.main", text]

    plan = Plan(
        command=command,
        processes=options.processes,
        hard_seconds=settings.grace.hard_seconds,
        environment=environment,
    )
    watch = SourceWatch(folders_of(options.app)) if options.reload else None
    return Supervisor(
        plan, open_leases(client, settings.lease_seconds), monotonic=time.monotonic, watch=watch
    )


def worker_settings(options: argparse.Namespace) -> WorkerSettings:
    """Return the settings of each worker process.

    Raises:
        NotConfigured: an option's value is out of range.
    """
    hard_seconds = options.grace + HARD_MARGIN_SECONDS
    try:
        return WorkerSettings(
            queues=queue_weights(options.queues),
            concurrency=options.concurrency,
            threads=options.threads,
            children=options.children,
            app_path=options.app,
            recycle_after_jobs=options.max_jobs,
            recycle_above_mib=options.max_memory_mib,
            lease_seconds=options.lease,
            plain_place=Place.PROCESS,
            grace=Grace(soft_seconds=options.grace, hard_seconds=hard_seconds),
        )
    except ValueError as error:
        raise NotConfigured(f"an option is out of range: {error}") from None


def _parser() -> argparse.ArgumentParser:
    defaults = WorkerSettings()
    parser = argparse.ArgumentParser(
        prog="taskforge-worker",
        description="Run worker processes for an app. TASKFORGE_URL says where TaskForge is.",
    )
    parser.add_argument("app", metavar="APP", help="the app, as module:name")
    parser.add_argument(
        "--queues",
        default="default",
        metavar="NAME[:WEIGHT],…",
        help="queues to take jobs from, and how often each comes first (default: default)",
    )
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="worker processes (default: 1)"
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        default=defaults.concurrency,
        metavar="N",
        help="jobs that run at once in a process (default: %(default)s)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=defaults.threads,
        metavar="N",
        help="of these, plain functions in threads (default: %(default)s)",
    )
    parser.add_argument(
        "--children",
        type=int,
        default=defaults.children,
        metavar="N",
        help="of these, functions in child processes (default: %(default)s)",
    )
    parser.add_argument(
        "--grace",
        type=float,
        default=defaults.grace.soft_seconds,
        metavar="SECONDS",
        help="how long running jobs may go on after SIGTERM (default: %(default)s)",
    )
    parser.add_argument(
        "--lease",
        type=float,
        default=defaults.lease_seconds,
        metavar="SECONDS",
        help="how long a silent worker keeps its jobs (default: %(default)s)",
    )
    parser.add_argument(
        "--max-jobs", type=int, metavar="N", help="replace a process after so many jobs"
    )
    parser.add_argument(
        "--max-memory-mib", type=int, metavar="MIB", help="replace a process that has grown larger"
    )
    parser.add_argument(
        "--reload", action="store_true", help="restart when the app's sources change (development)"
    )
    parser.add_argument("--version", action="version", version=f"taskforge-client {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
