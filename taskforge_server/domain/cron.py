"""When schedules fire: `next_fire` after a time, strictly increasing, in any IANA zone.

A fire time is an instant. Cron expressions are matched against local wall-clock time; where local
time jumps:

- a local time that does not exist (spring) fires once, right after the gap;
- a local time that comes twice (autumn) fires once, the first time;
- an expression that fires in every hour follows elapsed time instead: it neither skips nor doubles.

Matching is croniter's, always on naive local times, so that only this module decides about zones.
It does not decide what becomes of times that were missed (`verdict`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import frozen
from croniter import CroniterBadCronError, CroniterBadDateError, CroniterError, croniter

from taskforge_client.wire.schedules import ScheduleKind
from taskforge_server.domain.errors import BadSchedule

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BY_CHANCE: Final = re.compile(r"(?<![a-z])[hr](?![a-z])", re.IGNORECASE)
_FIELDS: Final = (5, 6)  # a sixth holds seconds
_MINUTE: Final = timedelta(minutes=1)
_YEARS_AHEAD: Final = 8  # from one 29 February to the next across a century's missing one


@frozen(kw_only=True)
class CronTiming:
    """Times of a cron expression of five fields (or an alias such as @daily), in a zone."""

    expression: str
    zone: ZoneInfo
    hourly: bool = False


@frozen(kw_only=True)
class IntervalTiming:
    """Times that lie a fixed interval apart.

    They count from 1970, so that every node and every restart agrees.
    """

    interval: timedelta


Timing = CronTiming | IntervalTiming


def parse_timing(
    kind: ScheduleKind, expression: str, interval_seconds: float | None, timezone: str
) -> Timing:
    """Return the times of a schedule as it was asked for.

    Raises:
        BadSchedule: the expression can't be read or never fires, the zone is unknown, or the
            interval is no positive number.
    """
    if kind is ScheduleKind.EVERY:
        if interval_seconds is None or not interval_seconds >= 1:
            raise BadSchedule(
                "interval", f"{interval_seconds!r} is too short", "a number of seconds from 1 up"
            )
        return IntervalTiming(interval=timedelta(seconds=interval_seconds))
    zone = _zone(timezone)
    fields = expression.split()
    if _BY_CHANCE.search(expression):
        raise BadSchedule("expression", f"{expression!r} holds H or R", "times that are fixed")
    if not expression.startswith("@") and len(fields) not in _FIELDS:
        raise BadSchedule(
            "expression", f"{expression!r} has {len(fields)} fields", "five, as in '0 3 * * *'"
        )
    try:
        expanded = croniter.expand(expression)[0]
    except (CroniterBadCronError, CroniterError, ValueError, KeyError, AttributeError) as error:
        raise BadSchedule(
            "expression", f"{expression!r} can't be read ({error})", "five cron fields"
        ) from None
    timing = CronTiming(expression=expression, zone=zone, hourly=expanded[1] == ["*"])
    next_fire(timing, _EPOCH)
    return timing


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadSchedule(
            "timezone", f"{name!r} is not a time zone", "a name such as Europe/Berlin or UTC"
        ) from None


def next_fire(timing: Timing, after: datetime) -> datetime:
    """Return the first fire time later than `after`, in UTC.

    Raises:
        BadSchedule: the expression fits no date.
    """
    after = after.astimezone(UTC)
    if isinstance(timing, IntervalTiming):
        return _EPOCH + ((after - _EPOCH) // timing.interval + 1) * timing.interval
    if timing.hourly:
        return _next_by_elapsed_time(timing, after)
    return _next_by_wall_clock(timing, after)


def latest_fire(timing: Timing, known: datetime, upto: datetime) -> datetime:
    """Return the last fire time not later than `upto`, given that `known` is one and not later.

    Costs steps that grow with the logarithm of the time between, not with the number of fire times
    in it.
    """
    if isinstance(timing, IntervalTiming):
        latest = _EPOCH + (upto.astimezone(UTC) - _EPOCH) // timing.interval * timing.interval
        return max(latest, known.astimezone(UTC))
    latest, low, high = known.astimezone(UTC), known.astimezone(UTC), upto.astimezone(UTC)
    while True:
        middle = low + (high - low) / 2
        fire = next_fire(timing, middle if high - low > _MINUTE else latest)
        if fire <= upto:
            latest = low = fire
        elif high - low > _MINUTE:
            high = middle
        else:
            return latest


def _next_by_wall_clock(timing: CronTiming, after: datetime) -> datetime:
    # Never misses one: a local time maps to an instant not later than any that shows the same or a
    # later local time.
    local = _local(timing.zone, after)
    while True:
        local = _next_local(timing, local)
        fire = _instant(timing.zone, local)
        if fire > after:
            return fire


def _next_by_elapsed_time(timing: CronTiming, after: datetime) -> datetime:
    start, local = after, _local(timing.zone, after)
    while True:
        offset = _offset(timing.zone, start)
        fire = (_next_local(timing, local) - offset).replace(tzinfo=UTC)
        if _offset(timing.zone, fire) == offset:
            return fire
        # The clocks change before that: begin again at the change itself, which may be a fire time.
        start = _change(timing.zone, start, fire)
        local = _local(timing.zone, start) - timedelta(seconds=1)


def _next_local(timing: CronTiming, local: datetime) -> datetime:
    iterator = croniter(
        timing.expression, local, ret_type=datetime, max_years_between_matches=_YEARS_AHEAD
    )
    try:
        found: datetime = iterator.get_next()
    except CroniterBadDateError:
        raise BadSchedule(
            "expression", f"{timing.expression!r} fits no date", "one that some date fits"
        ) from None
    return found


def _instant(zone: ZoneInfo, local: datetime) -> datetime:
    """Return when `local` comes for the first time, or the end of the gap that swallows it."""
    first = local.replace(tzinfo=zone).astimezone(UTC)
    if _local(zone, first) == local:
        return first
    return _change(zone, local.replace(tzinfo=zone, fold=1).astimezone(UTC), first)


def _change(zone: ZoneInfo, before: datetime, upto: datetime) -> datetime:
    """Return the first second after `before` of the offset that holds at `upto`."""
    offset = _offset(zone, upto)
    low, high = int((before - _EPOCH).total_seconds()), int((upto - _EPOCH).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, _EPOCH + timedelta(seconds=middle)) == offset:
            high = middle
        else:
            low = middle
    return _EPOCH + timedelta(seconds=high)


def _local(zone: ZoneInfo, instant: datetime) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return _local(zone, instant) - instant.replace(tzinfo=None)
