from datetime import UTC, datetime, timedelta

import pytest

from taskforge_client.wire.schedules import Misfire, ScheduleKind
from taskforge_client.wire.states import JobState
from taskforge_server.domain.cron import parse_timing
from taskforge_server.domain.verdict import Firing, due_fires, lost_lease

pytestmark = pytest.mark.unit

HOURLY = parse_timing(ScheduleKind.CRON, "0 * * * *", None, "UTC")
DUE = datetime(2026, 5, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "attempt,dead_letters,state",
    [
        (1, True, JobState.READY),
        (2, False, JobState.READY),
        (3, True, JobState.DEAD),
        (3, False, JobState.FAILED),
    ],
)
def test_a_lost_attempt_counts(attempt: int, dead_letters: bool, state: JobState) -> None:  # noqa: FBT001
    assert lost_lease(attempt=attempt, max_attempts=3, dead_letters=dead_letters) is state


def test_a_schedule_that_is_not_due_fires_nothing() -> None:
    now = DUE - timedelta(seconds=1)
    assert due_fires(HOURLY, DUE, now, Misfire.RUN_ONCE) == Firing(fire_at=(), next_fire_at=DUE)


def test_in_time_it_fires_its_time_and_moves_on() -> None:
    firing = due_fires(HOURLY, DUE, DUE + timedelta(seconds=2), Misfire.RUN_ONCE)
    assert firing == Firing(fire_at=(DUE,), next_fire_at=DUE + timedelta(hours=1))


def test_after_an_absence_it_fires_once_for_the_latest_time() -> None:
    firing = due_fires(HOURLY, DUE, DUE + timedelta(hours=30, minutes=5), Misfire.RUN_ONCE)
    latest = DUE + timedelta(hours=30)
    assert firing == Firing(fire_at=(latest,), next_fire_at=latest + timedelta(hours=1))
