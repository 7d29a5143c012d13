"""Schedules on the wire: when jobs are made, and what they are made of."""

from datetime import datetime
from enum import Enum

from attrs import Factory, frozen

from taskforge_client.wire.jobs import Encoding, JobOptions


class ScheduleKind(Enum):
    """How a schedule's times are written down."""

    CRON = "cron"
    EVERY = "every"


class Misfire(Enum):
    """What becomes of times that passed while nobody could fire them: one job for all of them."""

    RUN_ONCE = "run_once"


class Overlap(Enum):
    """What happens when a time comes and the last job is not final yet.

    The next one runs beside it.
    """

    ALLOW = "allow"


@frozen(kw_only=True)
class ScheduleSpec:
    """A schedule asked for. `expression` belongs to `cron`, `interval_seconds` to `every`.

    `payload` holds the arguments of every job it makes, encoded as `encoding`.
    """

    name: str
    kind: ScheduleKind
    task: str
    expression: str = ""
    interval_seconds: float | None = None
    timezone: str = "UTC"
    misfire: Misfire = Misfire.RUN_ONCE
    overlap: Overlap = Overlap.ALLOW
    payload: bytes = b"\x80"
    encoding: Encoding = Encoding.MSGPACK
    options: JobOptions = Factory(JobOptions)


@frozen(kw_only=True)
class ScheduleView:
    """A schedule as it stands now."""

    id: str
    spec: ScheduleSpec
    paused: bool = False
    next_at: datetime | None = None
    last_at: datetime | None = None
    last_job: str | None = None
