"""When a scheduled task runs, as data: `cron` and `every`.

Working out fire times is the server's part.
"""

from datetime import timedelta

from attrs import frozen

from taskforge_client.errors import InvalidRequest
from taskforge_client.retry import as_seconds
from taskforge_client.wire.schedules import Misfire, Overlap, ScheduleKind

_FIELDS = (5, 6)
_SHORTEST_INTERVAL_SECONDS = 1.0


@frozen(kw_only=True)
class When:
    """The times of a schedule; made by `cron` or `every`."""

    kind: ScheduleKind
    expression: str = ""
    interval_seconds: float | None = None
    timezone: str = "UTC"
    misfire: Misfire = Misfire.RUN_ONCE
    overlap: Overlap = Overlap.ALLOW


def cron(
    expression: str, /, *, timezone: str = "UTC", misfire: str = "run_once", overlap: str = "allow"
) -> When:
    """Return the times of a cron expression of five fields, such as ``0 3 * * *``, in a time zone.

    `timezone` is a name such as ``Europe/Berlin``. `misfire` says what becomes of times that passed
    while nobody could fire them, `overlap` what happens when the last job is still there.

    Raises:
        InvalidRequest: the expression has another number of fields, or the zone is unknown here.
    """
    if len(expression.split()) not in _FIELDS and not expression.startswith("@"):
        raise InvalidRequest.because(
            "schedule",
            f"{expression!r} has {len(expression.split())} fields",
            "five, as in '0 3 * * *'",
        )
    _check_timezone(timezone)
    return When(
        kind=ScheduleKind.CRON,
        expression=expression,
        timezone=timezone,
        misfire=_misfire(misfire),
        overlap=_overlap(overlap),
    )


def every(
    interval: timedelta | None = None,
    /,
    *,
    seconds: float = 0,
    minutes: float = 0,
    hours: float = 0,
    days: float = 0,
    misfire: str = "run_once",
    overlap: str = "allow",
) -> When:
    """Return times that lie a fixed interval apart, given as `timedelta` or in units that add up.

    Raises:
        InvalidRequest: the interval is shorter than a second.
    """
    units = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
    interval_seconds = as_seconds(units if interval is None else interval + units)
    if interval_seconds < _SHORTEST_INTERVAL_SECONDS:
        raise InvalidRequest.because(
            "schedule",
            f"every {interval_seconds:g} s is too often",
            "an interval of at least one second",
        )
    return When(
        kind=ScheduleKind.EVERY,
        interval_seconds=interval_seconds,
        misfire=_misfire(misfire),
        overlap=_overlap(overlap),
    )


def _check_timezone(name: str) -> None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        if (
            available_timezones()
        ):  # a system without the database of zones leaves the check to the server
            raise InvalidRequest.because(
                "timezone", f"{name!r} is not a time zone", "a name such as Europe/Berlin or UTC"
            ) from None


def _misfire(word: str) -> Misfire:
    try:
        return Misfire(word)
    except ValueError:
        raise InvalidRequest.because("misfire", f"{word!r} is unknown", _words(Misfire)) from None


def _overlap(word: str) -> Overlap:
    try:
        return Overlap(word)
    except ValueError:
        raise InvalidRequest.because("overlap", f"{word!r} is unknown", _words(Overlap)) from None


def _words(kind: type[Misfire] | type[Overlap]) -> str:
    return " or ".join(member.value for member in kind)
