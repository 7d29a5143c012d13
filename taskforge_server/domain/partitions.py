"""Which partitions of history to drop and which to merge; pure arithmetic over spans of days.

At most forty stay attached, since each costs every claim a little: days at first, weeks when they
are old, and ever wider spans where history is kept for long. A span that holds a live job is left
as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Final

from attrs import frozen

MOST_ATTACHED: Final = 40
MERGE_AFTER_DAYS: Final = 14


@frozen(kw_only=True, order=True)
class Span:
    """The days from `low` up to, but not including, `high` (UTC)."""

    low: date
    high: date

    @property
    def days(self) -> int:
        """How many days it holds."""
        return (self.high - self.low).days


@frozen(kw_only=True)
class Plan:
    """What to do: spans to drop, the oldest first, and what to merge.

    That is runs of neighbours to make one span of each.
    """

    drop: tuple[Span, ...]
    merge: tuple[tuple[Span, ...], ...]


def plan(
    spans: Sequence[Span], *, busy: Collection[Span], today: date, keep_days: int | None
) -> Plan:
    """Return what to do about the attached `spans`, which don't overlap.

    Args:
        spans: every attached span.
        busy: those that hold a live job.
        today: the day it is, UTC.
        keep_days: how long finished jobs stay; None for ever.
    """
    old = sorted(span for span in spans if span not in busy)
    last = None if keep_days is None else today - timedelta(days=keep_days)
    drop = tuple(span for span in old if last is not None and span.high <= last)
    kept = [span for span in old if span not in drop]
    ripe = [span for span in kept if span.high <= today - timedelta(days=MERGE_AFTER_DAYS)]
    groups = _weeks(ripe)
    excess = len(spans) - len(drop) - (len(ripe) - len(groups)) - MOST_ATTACHED
    for _ in range(max(0, excess)):
        if not _join_narrowest(groups):
            break
    return Plan(drop=drop, merge=tuple(tuple(group) for group in groups if len(group) > 1))


def _weeks(spans: Sequence[Span]) -> list[list[Span]]:
    """Group neighbours that lie in the same week, from Monday on."""
    groups: list[list[Span]] = []
    for span in spans:
        if groups and groups[-1][-1].high == span.low and _same_week(groups[-1][0], span):
            groups[-1].append(span)
        else:
            groups.append([span])
    return groups


def _same_week(first: Span, last: Span) -> bool:
    monday = first.low - timedelta(days=first.low.weekday())
    return last.high <= monday + timedelta(days=7)


def _join_narrowest(groups: list[list[Span]]) -> bool:
    """Join the two neighbours that are narrowest together, the oldest such.

    False when none touch.
    """
    best: tuple[int, int] | None = None
    for place, (left, right) in enumerate(pairwise(groups)):
        width = (right[-1].high - left[0].low).days
        if left[-1].high == right[0].low and (best is None or width < best[0]):
            best = (width, place)
    if best is None:
        return False
    place = best[1]
    groups[place] += groups.pop(place + 1)
    return True
