from datetime import date, timedelta

import pytest

from taskforge_server.domain.partitions import MOST_ATTACHED, Plan, Span, plan

pytestmark = pytest.mark.unit

TODAY = date(2026, 6, 17)


def days(first: int, last: int) -> list[Span]:
    """Spans of a day each, `first` to `last` days from today."""
    return [
        Span(low=TODAY + timedelta(days=n), high=TODAY + timedelta(days=n + 1))
        for n in range(first, last + 1)
    ]


def test_what_is_recent_stays_as_it_is() -> None:
    assert plan(days(-10, 8), busy=(), today=TODAY, keep_days=30) == Plan(drop=(), merge=())


def test_what_is_older_than_kept_is_dropped_the_oldest_first() -> None:
    spans = days(-12, 8)
    assert plan(spans, busy=(), today=TODAY, keep_days=10).drop == (spans[0], spans[1])
    assert plan(spans, busy=(), today=TODAY, keep_days=None).drop == ()


def test_a_busy_span_is_neither_dropped_nor_merged() -> None:
    spans = days(-30, 8)
    wanted = plan(spans, busy={spans[0], spans[3]}, today=TODAY, keep_days=29)
    assert wanted.drop == ()
    assert all(spans[3] not in group for group in wanted.merge)


def test_old_days_become_weeks_from_monday_on() -> None:
    wanted = plan(days(-30, 8), busy=(), today=TODAY, keep_days=None)
    assert wanted.merge
    for group in wanted.merge:
        assert len({span.low.isocalendar()[:2] for span in group}) == 1
        assert len(group) <= 7


@pytest.mark.parametrize("history", [40, 100, 400, 1500])
def test_long_history_becomes_ever_wider_spans(history: int) -> None:
    spans = days(-history, 8)
    for _ in range(3):
        wanted = plan(spans, busy=(), today=TODAY, keep_days=None)
        merged = [Span(low=group[0].low, high=group[-1].high) for group in wanted.merge]
        gone = {span for group in wanted.merge for span in group}
        spans = sorted([*(span for span in spans if span not in gone), *merged])
    assert len(spans) <= MOST_ATTACHED
    assert sum(span.days for span in spans) == history + 9
    assert plan(spans, busy=(), today=TODAY, keep_days=None).merge == ()


def test_what_does_not_touch_is_never_joined() -> None:
    lonely = [days(-200 - 3 * n, -200 - 3 * n)[0] for n in range(50)]
    assert plan(lonely, busy=(), today=TODAY, keep_days=None).merge == ()
