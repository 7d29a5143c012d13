"""What the server's rules refuse: facts, not transport codes.

- `DomainError`
    - `IllegalMove`: an event that a job's state does not allow
    - `BadSchedule`: a schedule that can't be read or never fires
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskforge_client.wire.states import JobState


class DomainError(Exception):
    """A rule of the platform was broken."""


class IllegalMove(DomainError):
    """A job's state does not allow the event."""

    def __init__(self, state: JobState | None, event: str) -> None:
        name = "new" if state is None else state.value
        super().__init__(f"a job that is {name} can't move by {event!r}")
        self.state = state
        self.event = event


class BadSchedule(DomainError, ValueError):
    """A schedule can't be read or never fires.

    Names the field, what is wrong and what would be right.
    """

    def __init__(self, field: str, problem: str, right: str) -> None:
        super().__init__(f"{field}: {problem}; expected {right}")
        self.field = field
        self.problem = problem
        self.right = right
