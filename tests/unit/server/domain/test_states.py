import pytest

from taskforge_client.wire.states import FINAL_STATES, JobState
from taskforge_server.domain.errors import IllegalMove
from taskforge_server.domain.states import MOVES, Event, allowed, move

pytestmark = pytest.mark.unit


def test_a_final_state_is_left_by_a_retry_alone() -> None:
    for state in FINAL_STATES:
        expected = frozenset() if state is JobState.SUCCEEDED else frozenset({Event.RETRY})
        assert allowed(state) == expected


def test_every_state_is_reached_and_every_event_used() -> None:
    assert set(MOVES.values()) == set(JobState)
    assert {event for _, event in MOVES} == set(Event)


def test_every_live_state_can_be_cancelled_and_can_end() -> None:
    for state in set(JobState) - FINAL_STATES:
        assert move(state, Event.CANCEL) is JobState.CANCELLED


def test_an_illegal_move_says_so() -> None:
    with pytest.raises(IllegalMove, match="a job that is succeeded can't move by 'retry'"):
        move(JobState.SUCCEEDED, Event.RETRY)
    with pytest.raises(IllegalMove, match="new"):
        move(None, Event.CLAIM)
