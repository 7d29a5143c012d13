"""One TaskForge worker process on the direct road, with its metrics on."""

import argparse
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from benchmarks.event_loop import run_on_loop
from benchmarks.processes.conversation import stop_told, wait_for_go
from benchmarks.tasks import app
from taskforge_client.wire.states import JobState
from taskforge_client.worker.metrics import DURATION_BOUNDS
from taskforge_client.worker.postgres_source import PostgresSource
from taskforge_client.worker.settings import WorkerSettings
from taskforge_client.worker.worker import Worker

_ALL: Final = "+Inf"


class PrometheusMetrics:
    """Keeps the worker's counts as Prometheus metrics in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("task", "state")
        self._durations = Counter(
            "attempt_duration_bucket", "Attempts by duration", (*labels, "le"), registry=registry
        )
        self._seconds = Counter("attempt_seconds", "Seconds run", labels, registry=registry)
        self._lost = Counter("outcomes_lost", "Outcomes that came too late", registry=registry)
        self._flushed = Counter("outcomes_flushed", "Outcomes recorded", registry=registry)
        self._flush_seconds = Counter("flush_seconds", "Seconds to record", registry=registry)
        self._claimed = Gauge("jobs_in_hand", "Claimed, not recorded", registry=registry)
        self._running = Gauge("jobs_running", "Running now", registry=registry)

    def attempts_ended(
        self, task: str, state: JobState, counts: Sequence[int], total_seconds: float
    ) -> None:
        """Add to the histogram's buckets."""
        for bound, count in zip((*map(str, DURATION_BOUNDS), _ALL), counts, strict=True):
            if count:
                self._durations.labels(task, state.value, bound).inc(count)
        self._seconds.labels(task, state.value).inc(total_seconds)

    def outcomes_lost(self, number: int) -> None:
        """Count outcomes that came too late."""
        self._lost.inc(number)

    def flushed(self, number: int, seconds: float) -> None:
        """Count one acknowledged flush."""
        self._flushed.inc(number)
        self._flush_seconds.inc(seconds)

    def in_hand(self, claimed: int, running: int) -> None:
        """Set the gauges."""
        self._claimed.set(claimed)
        self._running.set(running)


async def work(url: str, concurrency: int) -> None:
    """Work until told to stop."""
    source = PostgresSource(url)
    settings = WorkerSettings(concurrency=concurrency)
    metrics = PrometheusMetrics(CollectorRegistry())
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
