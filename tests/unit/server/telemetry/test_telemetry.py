import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from taskforge_server.telemetry.bus import Bus
from taskforge_server.telemetry.events import (
    Event,
    JobsMoved,
    LeadershipChanged,
    PartitionsChanged,
    QueueSampled,
    ScheduleBroken,
    ScheduleFired,
    ServiceFailed,
    ServiceStepped,
    TableVacuumed,
)
from taskforge_server.telemetry.logs import LogHandler, configure_logs
from taskforge_server.telemetry.prometheus import EngineMetrics

pytestmark = pytest.mark.unit

EVENTS = (
    ServiceStepped(service="stager", did=3, seconds=0.002),
    ServiceFailed(service="stager", error="Busy", failures=1, pause_seconds=0.1),
    JobsMoved(move="stage", jobs=3),
    ScheduleFired(name="nightly", late_seconds=0.2),
    ScheduleBroken(name="nightly", problem="no such zone"),
    LeadershipChanged(leading=True, term=4),
    QueueSampled(queue="mail", depth={"ready": 7}, oldest_wait_seconds=None),
    PartitionsChanged(action="dropped", what=("2026-01-01",)),
    TableVacuumed(table="ready", dead_rows=60_000, seconds=0.4),
)


@pytest.fixture(autouse=True)
def fresh_structlog() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_a_handler_that_fails_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []

    def fail(event: Event) -> None:
        raise ValueError(event)

    bus = Bus((fail, heard.append))
    with caplog.at_level(logging.ERROR):
        bus.publish(EVENTS[0])
    assert heard == [EVENTS[0]]
    assert "ServiceStepped" in caplog.text


def test_events_become_metrics() -> None:
    registry = CollectorRegistry()
    metrics = EngineMetrics(registry)
    for event in EVENTS:
        metrics(event)
    text = generate_latest(registry).decode()
    for line in (
        'taskforge_service_step_seconds_count{service="stager"} 1.0',
        'taskforge_service_failures_total{service="stager"} 1.0',
        'taskforge_jobs_moved_total{move="stage"} 3.0',
        "taskforge_schedule_late_seconds_count 1.0",
        "taskforge_leading 1.0",
        'taskforge_queue_jobs{queue="mail",state="ready"} 7.0',
        'taskforge_queue_oldest_wait_seconds{queue="mail"} 0.0',
        'taskforge_partitions_changed_total{action="dropped"} 1.0',
        'taskforge_vacuums_total{table="ready"} 1.0',
    ):
        assert line in text


def test_only_events_worth_a_line_are_logged() -> None:
    stream = io.StringIO()
    configure_logs(json=True, stream=stream)
    handler = LogHandler()
    for event in EVENTS:
        handler(event)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("warning", "service failed"),
        ("error", "schedule broken"),
        ("info", "leadership changed"),
        ("info", "partitions changed"),
        ("info", "table vacuumed"),
    ]
    assert lines[0]["service"] == "stager"


def test_quiet_levels_and_lines_for_people() -> None:
    stream = io.StringIO()
    configure_logs(json=False, level="error", stream=stream)
    handler = LogHandler()
    for event in EVENTS:
        handler(event)
    assert stream.getvalue().count("\n") == 1
    assert "schedule broken" in stream.getvalue()
