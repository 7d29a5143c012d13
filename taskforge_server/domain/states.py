"""The moves of a job: one table from (state, event) to state.

Storage's statements carry them out, this says which there are.

`None` stands for a job that does not exist yet. A final state is left only by `retry`, which
somebody asks for.
"""

from enum import Enum
from types import MappingProxyType
from typing import Final

from taskforge_client.wire.states import JobState
from taskforge_server.domain.errors import IllegalMove


class Event(Enum):
    """What happens to a job."""

    ENQUEUE = "enqueue"
    ENQUEUE_LATER = "enqueue_later"
    ENQUEUE_BEHIND_PARENTS = "enqueue_behind_parents"
    ENQUEUE_BEHIND_FAILED = "enqueue_behind_failed"
    FREE = "free"
    FREE_LATER = "free_later"
    PARENT_FAILED = "parent_failed"
    STAGE = "stage"
    CLAIM = "claim"
    RELEASE = "release"
    SUCCEED = "succeed"
    FAIL = "fail"
    BURY = "bury"
    TRY_AGAIN = "try_again"
    TRY_LATER = "try_later"
    RESCUE = "rescue"
    CANCEL = "cancel"
    EXPIRE = "expire"
    RETRY = "retry"


_WAITING: Final = (JobState.BLOCKED, JobState.SCHEDULED, JobState.READY)

MOVES: Final = MappingProxyType(
    {
        (None, Event.ENQUEUE): JobState.READY,
        (None, Event.ENQUEUE_LATER): JobState.SCHEDULED,
        (None, Event.ENQUEUE_BEHIND_PARENTS): JobState.BLOCKED,
        (None, Event.ENQUEUE_BEHIND_FAILED): JobState.CANCELLED,
        (JobState.BLOCKED, Event.FREE): JobState.READY,
        (JobState.BLOCKED, Event.FREE_LATER): JobState.SCHEDULED,
        (JobState.BLOCKED, Event.PARENT_FAILED): JobState.CANCELLED,
        (JobState.SCHEDULED, Event.STAGE): JobState.READY,
        (JobState.READY, Event.CLAIM): JobState.RUNNING,
        (JobState.RUNNING, Event.RELEASE): JobState.READY,
        (JobState.RUNNING, Event.SUCCEED): JobState.SUCCEEDED,
        (JobState.RUNNING, Event.FAIL): JobState.FAILED,
        (JobState.RUNNING, Event.BURY): JobState.DEAD,
        (JobState.RUNNING, Event.TRY_AGAIN): JobState.READY,
        (JobState.RUNNING, Event.TRY_LATER): JobState.SCHEDULED,
        (JobState.RUNNING, Event.RESCUE): JobState.READY,
        # The worker carries a cancellation out, or storage does when the attempt is given back.
        (JobState.RUNNING, Event.CANCEL): JobState.CANCELLED,
        (JobState.RUNNING, Event.EXPIRE): JobState.CANCELLED,
        **{(state, Event.CANCEL): JobState.CANCELLED for state in _WAITING},
        **{(state, Event.EXPIRE): JobState.CANCELLED for state in _WAITING},
        (JobState.FAILED, Event.RETRY): JobState.READY,
        (JobState.CANCELLED, Event.RETRY): JobState.READY,
        (JobState.DEAD, Event.RETRY): JobState.READY,
    }
)


def move(state: JobState | None, event: Event) -> JobState:
    """Return the state that `event` moves a job in `state` to.

    Raises:
        IllegalMove: the state does not allow the event.
    """
    to: JobState | None = MOVES.get((state, event))
    if to is None:
        raise IllegalMove(state, event.value)
    return to


def allowed(state: JobState | None) -> frozenset[Event]:
    """Return the events that a job in `state` can meet."""
    return frozenset(event for source, event in MOVES if source is state)
