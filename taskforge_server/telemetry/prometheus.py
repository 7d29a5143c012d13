"""Turns what the engine tells about itself into Prometheus metrics.

Labels are bounded: services and moves are ours, queues are few by nature. Jobs are never a label.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from taskforge_server.telemetry.events import (
    Event,
    JobsMoved,
    LeadershipChanged,
    PartitionsChanged,
    QueueSampled,
    ScheduleFired,
    ServiceFailed,
    ServiceStepped,
    TableVacuumed,
)

_STEP_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)
_LATE_BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0)


class EngineMetrics:
    """A handler of events that counts them in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._steps = Histogram(
            "taskforge_service_step_seconds",
            "How long a step of an engine service took.",
            ("service",),
            buckets=_STEP_BOUNDS,
            registry=registry,
        )
        self._failures = Counter(
            "taskforge_service_failures",
            "Steps of engine services that failed and were tried again.",
            ("service",),
            registry=registry,
        )
        self._moved = Counter(
            "taskforge_jobs_moved",
            "Jobs that the engine moved: stage, rescue, bury, expire, resolve.",
            ("move",),
            registry=registry,
        )
        self._late = Histogram(
            "taskforge_schedule_late_seconds",
            "How long after its time a schedule made its job.",
            buckets=_LATE_BOUNDS,
            registry=registry,
        )
        self._leading = Gauge(
            "taskforge_leading",
            "1 while this node leads.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._depth = Gauge(
            "taskforge_queue_jobs",
            "Live jobs by queue and state, as last sampled by the leading node.",
            ("queue", "state"),
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._oldest = Gauge(
            "taskforge_queue_oldest_wait_seconds",
            "How long the oldest ready job of a queue has waited, as last sampled.",
            ("queue",),
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._partitions = Counter(
            "taskforge_partitions_changed",
            "Partitions made, merged and dropped.",
            ("action",),
            registry=registry,
        )
        self._vacuums = Counter(
            "taskforge_vacuums",
            "Vacuums of hot tables by the server.",
            ("table",),
            registry=registry,
        )
        self._takers: dict[type[Event], Callable[[Any], None]] = {
            ServiceStepped: self._service_stepped,
            ServiceFailed: self._service_failed,
            JobsMoved: self._jobs_moved,
            ScheduleFired: self._schedule_fired,
            LeadershipChanged: self._leadership_changed,
            QueueSampled: self._queue_sampled,
            PartitionsChanged: self._partitions_changed,
            TableVacuumed: self._table_vacuumed,
        }

    def __call__(self, event: Event) -> None:
        """Count `event`, if there is a metric for it."""
        taker = self._takers.get(type(event))
        if taker is not None:
            taker(event)

    def _service_stepped(self, event: ServiceStepped) -> None:
        self._steps.labels(event.service).observe(event.seconds)

    def _service_failed(self, event: ServiceFailed) -> None:
        self._failures.labels(event.service).inc()

    def _jobs_moved(self, event: JobsMoved) -> None:
        self._moved.labels(event.move).inc(event.jobs)

    def _schedule_fired(self, event: ScheduleFired) -> None:
        self._late.observe(max(0.0, event.late_seconds))

    def _leadership_changed(self, event: LeadershipChanged) -> None:
        self._leading.set(int(event.leading))

    def _queue_sampled(self, event: QueueSampled) -> None:
        for state, count in event.depth.items():
            self._depth.labels(event.queue, state).set(count)
        self._oldest.labels(event.queue).set(event.oldest_wait_seconds or 0.0)

    def _partitions_changed(self, event: PartitionsChanged) -> None:
        self._partitions.labels(event.action).inc()

    def _table_vacuumed(self, event: TableVacuumed) -> None:
        self._vacuums.labels(event.table).inc()
