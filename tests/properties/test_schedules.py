"""Laws of fire times: strictly later, never skipped, the same whoever asks and from where."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskforge_client.wire.schedules import ScheduleKind
from taskforge_server.domain.cron import latest_fire, next_fire, parse_timing

pytestmark = pytest.mark.properties

ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Jakarta",
        "Africa/Casablanca",
    ]
)
EXPRESSIONS = st.sampled_from(
    [
        "* * * * *",
        "*/7 * * * *",
        "30 2 * * *",
        "0 */3 * * *",
        "15 1-3 * * 0",
        "@daily",
        "59 23 28-31 * *",
    ]
)
MOMENTS = st.datetimes(
    min_value=datetime(2024, 1, 1),  # noqa: DTZ001 - hypothesis wants it naive
    max_value=datetime(2028, 1, 1),  # noqa: DTZ001 - as above
    timezones=st.just(UTC),
)
# The weeks of the clock changes are where mistakes live.
CHANGES = st.sampled_from(
    [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)]
).flatmap(
    lambda day: st.integers(-86_400, 2 * 86_400).map(
        lambda seconds: day + timedelta(seconds=seconds)
    )
)


@given(EXPRESSIONS, ZONES, MOMENTS | CHANGES)
def test_the_next_fire_is_later_and_nothing_lies_between(
    expression: str, zone: str, after: datetime
) -> None:
    timing = parse_timing(ScheduleKind.CRON, expression, None, zone)
    fire = next_fire(timing, after)
    assert fire > after
    assert fire.utcoffset() == timedelta(0)
    halfway = after + (fire - after) / 2
    assert next_fire(timing, halfway) == fire
    assert next_fire(timing, fire) > fire


@given(EXPRESSIONS, ZONES, MOMENTS | CHANGES, st.integers(0, 12))
def test_the_latest_fire_is_where_single_steps_lead(
    expression: str, zone: str, start: datetime, steps: int
) -> None:
    timing = parse_timing(ScheduleKind.CRON, expression, None, zone)
    known = fire = next_fire(timing, start)
    for _ in range(steps):
        fire = next_fire(timing, fire)
    following = next_fire(timing, fire)
    assert latest_fire(timing, known, fire) == fire
    assert latest_fire(timing, known, fire + (following - fire) / 2) == fire


@given(st.floats(1, 10**7), MOMENTS)
def test_intervals_agree_from_any_start(seconds: float, after: datetime) -> None:
    timing = parse_timing(ScheduleKind.EVERY, "", seconds, "UTC")
    fire = next_fire(timing, after)
    assert timedelta(0) < fire - after <= timedelta(seconds=seconds) + timedelta(microseconds=1)
    assert latest_fire(timing, fire, fire) == fire
