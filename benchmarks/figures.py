"""Arithmetic over measurements: rates, percentiles, medians, trends. No I/O."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

Figure = int | float | str | bool | None
Row = dict[str, Figure]

PERCENTILES: Final = (50, 95, 99)
_NANOSECONDS_PER_MS: Final = 1e6
_SUMMED: Final = ("lost", "doubled")


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that is not below `percent` % of all (nearest rank).

    Args:
        ordered: Values, ascending; at least one.
        percent: Above 0, up to 100.
    """
    rank = math.ceil(len(ordered) * percent / 100)
    return ordered[max(rank, 1) - 1]


def percentiles_ms(durations_ns: Sequence[int]) -> Row:
    """Return p50_ms, p95_ms and p99_ms of durations in nanoseconds; None of none."""
    ordered = sorted(durations_ns)
    return {
        f"p{percent}_ms": round(percentile(ordered, percent) / _NANOSECONDS_PER_MS, 3)
        if ordered
        else None
        for percent in PERCENTILES
    }


def rate(jobs: float, seconds: float | None) -> int | None:
    """Return jobs a second, rounded to three digits; None where the time is not known or nil."""
    return significant(jobs / seconds) if seconds else None


def significant(value: float, digits: int = 3) -> int:
    """Return a whole number of which only the first digits are meant."""
    if value < 1:
        return round(value)
    return int(round(value, digits - 1 - math.floor(math.log10(value))))


def ratio(measured: float | None, reference: float | None) -> float | None:
    """Return how many times the reference was reached, to three decimals."""
    return round(measured / reference, 3) if measured is not None and reference else None


def median_row(rows: Sequence[Row], key: str) -> Row:
    """Return the row whose `key` is the median of all; faults are added up over all of them.

    Of an even number it is the lower middle, so that what is shown was measured.
    """
    ordered = sorted(rows, key=_by(key))
    middle = dict(ordered[(len(ordered) - 1) // 2])
    for name in _SUMMED:
        if name in middle:
            middle[name] = sum(int(row[name] or 0) for row in rows)
    if len(rows) > 1:
        middle["runs"] = len(rows)
    return middle


def _by(key: str) -> Callable[[Mapping[str, Figure]], float]:
    def value(row: Mapping[str, Figure]) -> float:
        found = row[key]
        return float(found) if isinstance(found, int | float) else 0.0

    return value


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the least-squares rise of y for one of x; 0 of fewer than two points."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count if count else 0.0
    mean_y = sum(y for _, y in points) / count if count else 0.0
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return 0.0
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
