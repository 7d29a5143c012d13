"""The states of a job, their numbers in storage, and which of them are final.

The moves between them live elsewhere.
"""

from enum import Enum
from typing import Final


class JobState(Enum):
    """Where a job is in its life."""

    BLOCKED = "blocked"
    SCHEDULED = "scheduled"
    READY = "ready"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"

    @property
    def is_final(self) -> bool:
        """Whether a job in this state never moves again by itself."""
        return self in FINAL_STATES

    @property
    def number(self) -> int:
        """The small integer that stands for this state in storage."""
        return STATE_NUMBERS[self]


FINAL_STATES: Final = frozenset(
    {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.DEAD}
)
STATE_NUMBERS: Final = {state: number for number, state in enumerate(JobState, start=1)}
STATES_BY_NUMBER: Final = {number: state for state, number in STATE_NUMBERS.items()}


class OnParentFailure(Enum):
    """What becomes of a job when one of the jobs it waits for ends other than `succeeded`."""

    CANCEL = "cancel"
    RUN_ANYWAY = "run_anyway"
