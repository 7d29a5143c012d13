"""What worker processes count, as Prometheus metrics.

The worker hands over whole batches, so that a job costs no update of its own. With
``PROMETHEUS_MULTIPROC_DIR`` set before this module is loaded, prometheus_client keeps each
process's values in files of that folder, and a server beside them shows the sum.
"""

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from taskforge_client.wire.states import JobState
from taskforge_client.worker.metrics import DURATION_BOUNDS

_FLUSH_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)


class PrometheusSink:
    """Turns a worker's counts into metrics of `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Histogram(
            "taskforge_attempt_seconds",
            "How long attempts ran, by task and by the state they moved their jobs to.",
            ("task", "state"),
            buckets=DURATION_BOUNDS,
            registry=registry,
        )
        self._lost = Counter(
            "taskforge_outcomes_lost",
            "Outcomes that came too late: their attempts had been given to another worker.",
            registry=registry,
        )
        self._flushed = Counter(
            "taskforge_outcomes_recorded", "Outcomes recorded by workers.", registry=registry
        )
        self._flush_seconds = Histogram(
            "taskforge_flush_seconds",
            "How long it took to record a batch of outcomes.",
            buckets=_FLUSH_BOUNDS,
            registry=registry,
        )
        self._claimed = Gauge(
            "taskforge_worker_jobs_in_hand",
            "Jobs claimed and not yet finished.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._running = Gauge(
            "taskforge_worker_jobs_running",
            "Jobs that run beyond a turn of the event loop.",
            registry=registry,
            multiprocess_mode="livesum",
        )

    def attempts_ended(
        self, task: str, state: JobState, counts: Sequence[int], total_seconds: float
    ) -> None:
        """Add many attempts at once."""
        histogram = self._attempts.labels(task, state.value)
        # prometheus_client has no public way to add more than one observation.
        for bucket, count in zip(histogram._buckets, counts, strict=True):  # noqa: SLF001
            if count:
                bucket.inc(count)
        histogram._sum.inc(total_seconds)  # noqa: SLF001 - as above

    def outcomes_lost(self, number: int) -> None:
        """Add outcomes that came too late."""
        self._lost.inc(number)

    def flushed(self, number: int, seconds: float) -> None:
        """Add a batch of recorded outcomes."""
        self._flushed.inc(number)
        self._flush_seconds.observe(seconds)

    def in_hand(self, claimed: int, running: int) -> None:
        """Set how much there is to do at this moment."""
        self._claimed.set(claimed)
        self._running.set(running)
