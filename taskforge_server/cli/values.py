"""Reads durations, JSON arguments and times from a command line; each is a click type."""

import re
from datetime import datetime
from typing import Any, Final

import click
import msgspec

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")


def duration(text: str) -> float:
    """Return seconds, never negative, from a number or parts such as ``90s``, ``1h30m``, ``2d``."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        seconds = float(text)
    elif text and not _PART.sub("", text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    else:
        raise click.BadParameter(f"{text!r} is not a duration; expected seconds, or 90s, 1h30m, 2d")
    if seconds < 0:
        raise click.BadParameter(f"{text} is negative; expected 0 or more")
    return seconds


def json_object(text: str) -> dict[str, Any]:
    """Return a JSON object of named arguments, such as ``{"order_id": 42}``."""
    try:
        decoded = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise click.BadParameter(
            f"it is not JSON: {error}; expected an object of named arguments"
        ) from None
    if not isinstance(decoded, dict):
        raise click.BadParameter(
            f"it is JSON, but {type(decoded).__name__}; expected an object of named arguments "
            'such as {"order_id": 42}'
        )
    return decoded


def aware_time(text: str) -> datetime:
    """Return a time with its zone; without one it would mean another moment elsewhere."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time; expected 2026-05-01T09:00:00Z") from None
    if time.utcoffset() is None:
        raise click.BadParameter(f"{text} has no time zone; append Z or an offset such as +02:00")
    return time
