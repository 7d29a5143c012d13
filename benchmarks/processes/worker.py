"""One TaskForge worker process on the direct road, with its metrics on."""

import argparse

from prometheus_client import CollectorRegistry

from benchmarks.event_loop import run_on_loop
from benchmarks.processes.conversation import stop_told, wait_for_go
from benchmarks.tasks import app
from taskforge_client.worker.postgres_source import PostgresSource
from taskforge_client.worker.settings import WorkerSettings
from taskforge_client.worker.worker import Worker
from taskforge_server.workers.metrics import PrometheusSink


async def work(url: str, concurrency: int) -> None:
    """Work until told to stop."""
    source = PostgresSource(url)
    settings = WorkerSettings(concurrency=concurrency)
    metrics = PrometheusSink(CollectorRegistry())
    async with Worker(app, source, settings, metrics=metrics):
        await stop_told()
    await source.aclose()
    await app.aclose()


def main() -> None:
    """Run one worker process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--concurrency", type=int, required=True)
    options = parser.parse_args()
    url = app.settings.url
    if wait_for_go():
        run_on_loop(work(url, options.concurrency))


if __name__ == "__main__":
    main()
