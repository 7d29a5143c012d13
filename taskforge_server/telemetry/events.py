"""What happens inside the server, as frozen records.

They carry numbers and names, never payloads.
"""

from attrs import frozen


@frozen(kw_only=True)
class Event:
    """Something happened in this process."""


@frozen(kw_only=True)
class ServiceStepped(Event):
    """An engine service took a step: how much it did and how long it took."""

    service: str
    did: int
    seconds: float


@frozen(kw_only=True)
class ServiceFailed(Event):
    """A step failed and will be tried again after `pause_seconds`; `failures` in a row so far."""

    service: str
    error: str
    failures: int
    pause_seconds: float


@frozen(kw_only=True)
class LeadershipChanged(Event):
    """This node took or lost the leadership, in `term`."""

    leading: bool
    term: int


@frozen(kw_only=True)
class JobsMoved(Event):
    """An engine service moved jobs: `move` is stage, rescue, bury, expire or resolve."""

    move: str
    jobs: int


@frozen(kw_only=True)
class ScheduleFired(Event):
    """A schedule made a job, `late_seconds` after its time."""

    name: str
    late_seconds: float


@frozen(kw_only=True)
class ScheduleBroken(Event):
    """A schedule can't be worked out any more and was stopped."""

    name: str
    problem: str


@frozen(kw_only=True)
class QueueSampled(Event):
    """How many live jobs a queue holds, by state, and how long its oldest ready job has waited."""

    queue: str
    depth: dict[str, int]
    oldest_wait_seconds: float | None


@frozen(kw_only=True)
class PartitionsChanged(Event):
    """Partitions were made, merged or dropped; `what` names them."""

    action: str
    what: tuple[str, ...]


@frozen(kw_only=True)
class TableVacuumed(Event):
    """A hot table was vacuumed by the server itself: its dead rows before."""

    table: str
    dead_rows: int
    seconds: float
