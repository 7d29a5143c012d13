"""``python -m taskforge_server.workers.main``: a worker process that counts for Prometheus.

Started by a supervisor with the same orders as ``taskforge_client.worker.main``.
"""

import sys

from prometheus_client import CollectorRegistry

from taskforge_client.worker.main import main as work
from taskforge_server.workers.metrics import PrometheusSink


def main() -> int:
    """Work by the orders on the command line and return the exit status."""
    return work(PrometheusSink(CollectorRegistry()))


if __name__ == "__main__":
    sys.exit(main())
