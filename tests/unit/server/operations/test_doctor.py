from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from taskforge_server.operations.doctor import (
    Grade,
    judge_bloat,
    judge_clock,
    judge_partitions,
    judge_queues,
    judge_server,
    judge_work,
)
from taskforge_server.storage.diagnosis import DatabaseFacts, WorkFacts

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVER = DatabaseFacts(
    version="18.0",
    version_number=180_000,
    fsync="on",
    full_page_writes="on",
    synchronous_commit="on",
    autovacuum="on",
    max_connections=100,
    connections=10,
    is_replica=False,
    now=NOW,
    oldest_transaction_seconds=None,
)
WORK = WorkFacts(
    workers=1,
    expired_workers=0,
    orphans=0,
    overdue=0,
    late_schedules=0,
    dead=0,
    has_leader=True,
)


def test_a_healthy_installation_needs_no_advice() -> None:
    findings = [
        *judge_server(SERVER),
        *judge_work(WORK),
        judge_clock(SERVER, NOW + timedelta(seconds=1)),
        judge_queues([]),
        judge_partitions([]),
        judge_bloat([]),
    ]
    assert {one.grade for one in findings} == {Grade.OK}
    assert not any(one.advice for one in findings)


@pytest.mark.parametrize(
    "change, check, grade",
    [
        ({"version_number": 140_010}, "postgresql", Grade.WRONG),
        ({"version_number": 190_000}, "postgresql", Grade.WRONG),
        ({"is_replica": True}, "writable", Grade.WRONG),
        ({"fsync": "off"}, "fsync", Grade.WRONG),
        ({"full_page_writes": "off"}, "full_page_writes", Grade.WRONG),
        ({"autovacuum": "off"}, "autovacuum", Grade.WRONG),
        ({"synchronous_commit": "off"}, "synchronous_commit", Grade.WRONG),
        ({"connections": 95}, "connections", Grade.WARNING),
        ({"oldest_transaction_seconds": 3600.0}, "transactions", Grade.WARNING),
    ],
)
def test_each_flaw_of_the_server_is_named(change: dict[str, Any], check: str, grade: Grade) -> None:
    bad = [one for one in judge_server(evolve(SERVER, **change)) if one.grade is not Grade.OK]
    assert [(one.check, one.grade) for one in bad] == [(check, grade)]
    assert bad[0].advice


@pytest.mark.parametrize(
    "change, check, grade",
    [
        ({"has_leader": False}, "engine", Grade.WRONG),
        ({"workers": 0}, "workers", Grade.WARNING),
        ({"orphans": 3}, "leases", Grade.WARNING),
        ({"expired_workers": 1}, "leases", Grade.WARNING),
        ({"overdue": 2}, "staging", Grade.WRONG),
        ({"late_schedules": 1}, "schedules", Grade.WRONG),
        ({"dead": 9}, "dead letters", Grade.WARNING),
    ],
)
def test_each_flaw_of_the_work_is_named(change: dict[str, Any], check: str, grade: Grade) -> None:
    bad = [one for one in judge_work(evolve(WORK, **change)) if one.grade is not Grade.OK]
    assert [(one.check, one.grade) for one in bad] == [(check, grade)]
    assert bad[0].advice


def test_clocks_queues_partitions_and_dead_rows_are_judged() -> None:
    assert judge_clock(SERVER, NOW - timedelta(minutes=1)).grade is Grade.WARNING
    assert judge_queues(["mail"]).advice == "taskforge worker APP --queues mail"
    assert judge_partitions(["tomorrow"]).grade is Grade.WRONG
    assert judge_bloat(["ready"]).grade is Grade.WARNING
