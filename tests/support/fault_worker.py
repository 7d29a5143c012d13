"""A worker process for tests to kill, freeze and cut off: ``python -m tests.support.fault_worker``.

Its one argument is `WorkerOrder` as JSON. It prints a line for each lease it gets and for each
batch that holds stale outcomes and for each SIGTERM, drains then and exits with 0.
"""

import asyncio
import signal
import sys
import time

import msgspec

from taskforge_client.wire.workers import Lease, Registration
from taskforge_client.worker.drain import Grace
from taskforge_client.worker.floors import Floors
from taskforge_client.worker.metrics import NoMetrics
from taskforge_client.worker.postgres_lease import LeaseKeeper
from taskforge_client.worker.postgres_source import PostgresSource
from taskforge_client.worker.settings import WorkerSettings
from taskforge_client.worker.worker import Worker
from tests.support.fault_app import app


class WorkerOrder(msgspec.Struct, kw_only=True):
    """How the worker is to work.

    `lease_url`, where given, is the way of the heartbeat alone. One that never sweeps is a broken
    twin: it finds nothing below its floors.
    """

    url: str
    lease_url: str | None = None
    lease_seconds: float = 30.0
    concurrency: int = 8
    children: int = 2
    soft_seconds: float = 20.0
    hard_seconds: float = 25.0
    sweeps: bool = True


class NeverSweeping(Floors):
    """Once it has floors, it looks below them no more."""

    def begin(self) -> tuple[list[int], list[int], list[int]]:
        """Return the floors, whether or not it is time for a sweep."""
        found = super().begin()
        self._next_sweep = float("inf")
        return found


class ToldSource(PostgresSource):
    """Prints the leases it gets."""

    sweeps = True

    async def register(self, registration: Registration) -> Lease:
        """Register as ever, and say so."""
        lease = await super().register(registration)
        if not self.sweeps:
            self._floors = NeverSweeping(time.monotonic)
        print(f"lease {lease.worker}", flush=True)
        return lease


class ToldMetrics(NoMetrics):
    """Prints how many outcomes were refused because the attempt was somebody else's by then."""

    def outcomes_lost(self, number: int) -> None:
        """Say so."""
        print(f"stale {number}", flush=True)


async def run(order: WorkerOrder) -> None:
    """Work until SIGTERM."""
    source = ToldSource(order.url, lease_seconds=order.lease_seconds)
    source.sweeps = order.sweeps
    if order.lease_url is not None:
        source._keeper = LeaseKeeper(order.lease_url, order.lease_seconds)
    settings = WorkerSettings(
        concurrency=order.concurrency,
        children=order.children,
        app_path="tests.support.fault_app:app",
        grace=Grace(soft_seconds=order.soft_seconds, hard_seconds=order.hard_seconds),
    )
    worker = Worker(app, source, settings, metrics=ToldMetrics())

    def leave() -> None:
        print("leaving", flush=True)
        worker.leave()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave)
    try:
        await worker.run()
    finally:
        await source.aclose()


if __name__ == "__main__":
    asyncio.run(run(msgspec.json.decode(sys.argv[1], type=WorkerOrder)))
