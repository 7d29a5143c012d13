"""The checker of histories itself: quiet when all is well, and loud about each planted fault."""

from pathlib import Path

import pytest

from tests.support.history import BEGAN, ENDED, History, record

pytestmark = pytest.mark.unit


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Three jobs: two acknowledged and executed once, one whose answer was lost."""
    made = History(ledger=tmp_path / "ledger")
    for marker in (1, 2):
        made.acknowledge(made.attempt(marker), f"job_{marker}")
        execute(made, marker)
    made.attempt(3)
    return made


def execute(history: History, marker: int, attempt: int = 1) -> None:
    record(history.ledger, marker, attempt, BEGAN)
    record(history.ledger, marker, attempt, ENDED)


def test_a_clean_history_passes(history: History) -> None:
    verdict = history.verdict()
    verdict.check()
    assert not verdict.recovered


def test_nothing_at_all_passes(tmp_path: Path) -> None:
    History(ledger=tmp_path / "ledger").verdict().check()


def test_a_job_of_unknown_fate_may_have_run_or_not(history: History) -> None:
    execute(history, 3)
    verdict = history.verdict()
    verdict.check()
    assert verdict.recovered == {3}


def test_a_planted_loss_is_found(history: History) -> None:
    history.acknowledge(3, "job_3")
    with pytest.raises(AssertionError, match=r"acknowledged and never executed: \[3\]"):
        history.verdict().check()
    history.verdict(excused=[3]).check()


def test_an_execution_that_began_and_never_ended_is_a_loss(history: History) -> None:
    history.acknowledge(3, "job_3")
    record(history.ledger, 3, 1, BEGAN)
    with pytest.raises(AssertionError, match="never executed"):
        history.verdict().check()


def test_a_planted_stranger_is_found(history: History) -> None:
    execute(history, 4)
    with pytest.raises(AssertionError, match=r"executed and never asked for: \[4\]"):
        history.verdict().check()


def test_what_was_refused_must_not_run(history: History) -> None:
    history.refuse(3)
    history.verdict().check()
    execute(history, 3)
    with pytest.raises(AssertionError, match="never asked for"):
        history.verdict().check()


def test_a_planted_double_is_found_unless_a_crash_accounts_for_it(history: History) -> None:
    execute(history, 2, attempt=2)
    with pytest.raises(AssertionError, match="1 executions too many, 0 accounted for"):
        history.verdict().check()
    history.verdict().check(duplicates_allowed=1)


def test_one_attempt_that_began_twice_is_worse_than_two_attempts(history: History) -> None:
    execute(history, 2)
    with pytest.raises(AssertionError, match=r"attempts that began twice: \[\(2, 1\)\]"):
        history.verdict().check(duplicates_allowed=1)
    history.verdict().check(duplicates_allowed=1, repeats_allowed=1)


def test_a_torn_line_is_not_taken_for_an_execution(history: History) -> None:
    with history.ledger.open("a") as file:
        file.write("3 1 be")
    with pytest.raises(AssertionError, match="torn line"):
        history.verdict()
