from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from taskforge_client.wire.jobs import JobOptions
from taskforge_client.wire.limits import (
    check_options,
    check_payload_size,
    check_task_name,
    queue_name,
)
from taskforge_client.wire.policies import RetryPolicy, UniquePolicy
from taskforge_client.wire.problems import MalformedValue

pytestmark = pytest.mark.unit
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001  naive on purpose


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"queue": "Mail"}, "queue"),
        ({"queue": ""}, "queue"),
        ({"queue": "-mail"}, "queue"),
        ({"queue": "a" * 101}, "queue"),
        ({"queue": "mail\n"}, "queue"),
        ({"priority": 101}, "priority"),
        ({"priority": -101}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"priority": True}, "priority"),
        ({"delay_seconds": -1.0}, "delay"),
        ({"delay_seconds": float("nan")}, "delay"),
        ({"delay_seconds": 1.0, "run_at": datetime.max.replace(tzinfo=UTC)}, "run_at"),
        ({"run_at": NAIVE}, "run_at"),
        ({"expires_seconds": 0.0}, "expires"),
        ({"timeout_seconds": 0.0}, "timeout"),
        ({"timeout_seconds": 86_400.0 * 25}, "timeout"),
        ({"timeout_seconds": float("inf")}, "timeout"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"retry": RetryPolicy(attempts=1001)}, "retry.attempts"),
        ({"retry": RetryPolicy(first_seconds=-1.0)}, "retry.first"),
        ({"retry": RetryPolicy(factor=0.0)}, "retry.factor"),
        ({"retry": RetryPolicy(jitter=1.1)}, "retry.jitter"),
        ({"unique": UniquePolicy(key=b"", window_seconds=0.0)}, "unique.window"),
        ({"key": ""}, "key"),
        ({"key": "k" * 201}, "key"),
        ({"key": "a\0b"}, "key"),
        ({"tags": ("",)}, "tags"),
        ({"tags": ("t",) * 21}, "tags"),
        ({"tags": ("t" * 101,)}, "tags"),
        ({"meta": {"a": "b" * 1001}}, "meta"),
        ({"meta": {str(n): "" for n in range(51)}}, "meta"),
        ({"after": ("job",) * 10_001}, "after"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(MalformedValue) as refused:
        check_options(evolve(JobOptions(), **changes))
    assert refused.value.field == field


def test_what_is_in_range_passes() -> None:
    check_options(JobOptions())
    check_options(
        JobOptions(
            queue="a.b-c_1",
            priority=-100,
            run_at=datetime(2026, 1, 1, tzinfo=UTC),
            key="k" * 200,
            tags=("t" * 100,) * 20,
            timeout_seconds=86_400.0 * 24,
        )
    )


def test_a_queue_name_says_that_case_does_not_matter() -> None:
    assert queue_name("Mail.EU-1") == "mail.eu-1"
    with pytest.raises(MalformedValue, match="case does not matter"):
        queue_name("no spaces")
    with pytest.raises(MalformedValue):
        queue_name(5)


@pytest.mark.parametrize("name", ["", "a b", "a" * 201, "a\nb", 7])
def test_a_task_name_has_no_spaces(name: object) -> None:
    with pytest.raises(MalformedValue, match="task"):
        check_task_name(name)


def test_a_payload_has_a_limit() -> None:
    check_payload_size(10, limit=10)
    with pytest.raises(MalformedValue, match="11 bytes"):
        check_payload_size(11, limit=10)
