from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from taskforge_client import cron, every
from taskforge_client.errors import InvalidRequest
from taskforge_client.wire.schedules import Misfire, Overlap, ScheduleKind

pytestmark = pytest.mark.unit


def test_times_are_data() -> None:
    nightly = cron("0 3 * * *", timezone="Europe/Berlin")
    assert (nightly.kind, nightly.expression) == (ScheduleKind.CRON, "0 3 * * *")
    assert (nightly.timezone, nightly.misfire) == ("Europe/Berlin", Misfire.RUN_ONCE)
    assert nightly.overlap is Overlap.ALLOW
    assert every(minutes=5, seconds=1).interval_seconds == 301.0
    assert every(timedelta(hours=1)).interval_seconds == 3600.0
    assert every(timedelta(hours=1), days=1).interval_seconds == 90_000.0


@pytest.mark.parametrize("expression", ["", "* * * *", "* * * * * * *"])
def test_an_expression_has_five_fields(expression: str) -> None:
    with pytest.raises(InvalidRequest, match="five"):
        cron(expression)


@pytest.mark.parametrize(
    "options, field",
    [
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../etc"}, "timezone"),
        ({"misfire": "panic"}, "misfire"),
        ({"overlap": "panic"}, "overlap"),
    ],
)
def test_unknown_words_are_refused(options: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        cron("0 3 * * *", **options)
    assert refused.value.problem.field == field


@pytest.mark.parametrize("given", [{}, {"seconds": 0.5}, {"minutes": -5}])
def test_an_interval_is_a_second_at_least(given: Any) -> None:
    with pytest.raises(InvalidRequest, match="too often"):
        every(**given)
