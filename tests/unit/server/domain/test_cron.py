from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from taskforge_client.wire.schedules import ScheduleKind
from taskforge_server.domain.cron import Timing, latest_fire, next_fire, parse_timing
from taskforge_server.domain.errors import BadSchedule

pytestmark = pytest.mark.unit

BERLIN = "Europe/Berlin"


def cron(expression: str, zone: str = "UTC") -> Timing:
    return parse_timing(ScheduleKind.CRON, expression, None, zone)


def every(seconds: float) -> Timing:
    return parse_timing(ScheduleKind.EVERY, "", seconds, "UTC")


def local_fires(expression: str, zone: str, start: datetime, count: int) -> list[str]:
    timing, at, found = cron(expression, zone), start, []
    for _ in range(count):
        at = next_fire(timing, at)
        found.append(at.astimezone(ZoneInfo(zone)).isoformat())
    return found


def test_a_time_that_does_not_exist_fires_once_right_after_the_gap() -> None:
    assert local_fires("30 2 * * *", BERLIN, datetime(2026, 3, 27, 12, tzinfo=UTC), 3) == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]


def test_a_time_that_comes_twice_fires_the_first_time() -> None:
    assert local_fires("30 2 * * *", BERLIN, datetime(2026, 10, 23, 12, tzinfo=UTC), 3) == [
        "2026-10-24T02:30:00+02:00",
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]


def test_what_fires_every_hour_follows_elapsed_time() -> None:
    autumn = local_fires("*/30 * * * *", BERLIN, datetime(2026, 10, 24, 23, 50, tzinfo=UTC), 5)
    assert autumn == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]
    spring = local_fires("*/30 * * * *", BERLIN, datetime(2026, 3, 29, 0, 10, tzinfo=UTC), 3)
    assert spring == [
        "2026-03-29T01:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-29T03:30:00+02:00",
    ]


def test_half_hour_changes_and_leap_days() -> None:
    lord_howe = datetime(2026, 10, 3, 12, 30, tzinfo=UTC)
    assert local_fires("15 */2 * * *", "Australia/Lord_Howe", lord_howe, 3) == [
        "2026-10-04T00:15:00+10:30",
        "2026-10-04T02:30:00+11:00",
        "2026-10-04T04:15:00+11:00",
    ]
    assert local_fires("0 0 29 2 *", "UTC", datetime(2026, 1, 1, tzinfo=UTC), 2) == [
        "2028-02-29T00:00:00+00:00",
        "2032-02-29T00:00:00+00:00",
    ]


def test_aliases_and_seconds() -> None:
    start = datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert next_fire(cron("@daily", "Asia/Jakarta"), start) == datetime(2026, 1, 1, 17, tzinfo=UTC)
    assert next_fire(cron("* * * * * */5"), start) == datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)


def test_intervals_count_from_1970_whoever_asks() -> None:
    start = datetime(2026, 1, 1, 0, 7, tzinfo=UTC)
    assert next_fire(every(300), start) == datetime(2026, 1, 1, 0, 10, tzinfo=UTC)
    assert next_fire(every(300), datetime(2026, 1, 1, 0, 10, tzinfo=UTC)).minute == 15
    assert latest_fire(every(300), start, start + timedelta(hours=1)).minute == 5


@pytest.mark.parametrize(
    "kind,expression,interval,zone,words",
    [
        (ScheduleKind.CRON, "0 0 30 2 *", None, "UTC", "fits no date"),
        (ScheduleKind.CRON, "a b c d e", None, "UTC", "can't be read"),
        (ScheduleKind.CRON, "99 * * * *", None, "UTC", "can't be read"),
        (ScheduleKind.CRON, "* * *", None, "UTC", "3 fields"),
        (ScheduleKind.CRON, "H * * * *", None, "UTC", "holds H or R"),
        (ScheduleKind.CRON, "* * * * *", None, "Mars/Olympus", "not a time zone"),
        (ScheduleKind.CRON, "* * * * *", None, "../etc", "not a time zone"),
        (ScheduleKind.EVERY, "", None, "UTC", "too short"),
        (ScheduleKind.EVERY, "", 0.5, "UTC", "too short"),
    ],
)
def test_a_bad_schedule_says_what_is_wrong(
    kind: ScheduleKind, expression: str, interval: float | None, zone: str, words: str
) -> None:
    with pytest.raises(BadSchedule, match=words):
        parse_timing(kind, expression, interval, zone)


def test_the_latest_fire_after_a_long_absence() -> None:
    known = datetime(2020, 1, 1, tzinfo=UTC)
    upto = datetime(2026, 11, 24, 10, 0, 30, tzinfo=UTC)
    assert latest_fire(cron("* * * * *"), known, upto) == upto.replace(second=0)
    assert latest_fire(cron("0 0 1 1 *"), known, upto) == datetime(2026, 1, 1, tzinfo=UTC)
    assert latest_fire(cron("0 0 1 1 *"), upto, upto) == upto
