"""``python -m taskforge_client.worker.main``: one worker process, started by a supervisor.

Where TaskForge is comes from the environment, so that no password stands in a list of processes.
"""

import logging
import os
import signal
import sys
from pathlib import Path

import msgspec
from attrs import frozen

from taskforge_client.errors import TaskForgeError
from taskforge_client.settings import from_environment
from taskforge_client.worker.board import Board
from taskforge_client.worker.metrics import MetricsSink
from taskforge_client.worker.parentage import die_with
from taskforge_client.worker.process import run_worker
from taskforge_client.worker.roads import open_source
from taskforge_client.worker.settings import WorkerSettings
from taskforge_client.worker.supervisor import USAGE_STATUS


@frozen(kw_only=True)
class Orders:
    """What a supervisor tells a worker process on its command line."""

    app_path: str
    settings: WorkerSettings
    parent: int
    board: int


def main(metrics: MetricsSink | None = None) -> int:
    """Work by the orders in the first argument (JSON) and return the exit status."""
    orders = msgspec.json.decode(sys.argv[1], type=Orders)
    die_with(orders.parent, signal.SIGTERM)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        client = from_environment(os.environ, Path.cwd())
        return run_worker(
            orders.app_path,
            lambda: open_source(client, orders.settings.lease_seconds),
            orders.settings,
            board=Board.opened(orders.board),
            metrics=metrics,
        )
    except TaskForgeError as error:
        sys.stderr.write(f"{error}\n")
        return USAGE_STATUS


if __name__ == "__main__":
    sys.exit(main())
