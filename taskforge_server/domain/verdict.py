"""Verdicts the server gives by itself.

One is on an attempt whose worker was lost, one on fire times that nobody was there for.
"""

from datetime import datetime
from types import MappingProxyType
from typing import Final

from attrs import frozen

from taskforge_client.wire.schedules import Misfire
from taskforge_client.wire.states import JobState
from taskforge_server.domain.cron import Timing, latest_fire, next_fire


def lost_lease(*, attempt: int, max_attempts: int, dead_letters: bool) -> JobState:
    """Return where a job goes whose worker died or lost its lease: the attempt counts.

    `READY` while attempts are left, else `DEAD`, or `FAILED` for a job that asked for no dead
    letters.
    """
    if attempt < max_attempts:
        return JobState.READY
    return JobState.DEAD if dead_letters else JobState.FAILED


@frozen(kw_only=True)
class Firing:
    """What to do about a schedule that is due.

    The fire times to make jobs for, oldest first, and the next time to look.
    """

    fire_at: tuple[datetime, ...]
    next_fire_at: datetime


def due_fires(timing: Timing, due_at: datetime, now: datetime, misfire: Misfire) -> Firing:
    """Return what to do at `now` about a schedule whose next fire time was `due_at`.

    `Misfire.RUN_ONCE`: however many fire times passed, one job, for the latest of them. A schedule
    that is not due yet fires nothing and keeps its time.
    """
    if now < due_at:
        return Firing(fire_at=(), next_fire_at=due_at)
    return _MISFIRES[misfire](timing, due_at, now)


def _run_once(timing: Timing, due_at: datetime, now: datetime) -> Firing:
    latest = latest_fire(timing, due_at, now)
    return Firing(fire_at=(latest,), next_fire_at=next_fire(timing, latest))


_MISFIRES: Final = MappingProxyType({Misfire.RUN_ONCE: _run_once})
