"""F45: a cancellation meets a claim, a completion or a retry."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from taskforge_client.wire.jobs import CancelAnswer
from taskforge_client.wire.states import JobState
from tests.support.fault_app import flaky, hold, work
from tests.support.fleet import Fleet, engine_at_hand
from tests.support.polling import wait_until
from tests.support.postgres import wait_for_lock_waiter
from tests.support.trial import Trial
from tests.support.twins import break_function

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

_ROUNDS = 30
_JOBS = 12


def test_f45_each_race_has_one_winner_and_the_answer_names_it(trial: Trial, fleet: Fleet) -> None:
    answers: dict[int, CancelAnswer] = {}

    def cancel(marker: int) -> None:
        handle = trial.app.job(trial.history.acknowledged[marker])
        answers[marker] = handle.cancel("enough")

    with engine_at_hand(trial.url), ThreadPoolExecutor(4) as threads:
        fleet.worker(trial.url, concurrency=6)
        for number in range(_ROUNDS):
            if number % 3 == 0:
                markers = trial.send_many(flaky, _JOBS)
            else:
                markers = trial.send_many(work, _JOBS, 0.001 * (number % 3))
            list(threads.map(cancel, markers))
        trial.drain()
    finals = trial.final_states()
    ended = trial.history.ended()
    for marker, answer in answers.items():
        told, final = answer.state, finals[marker]
        if told is JobState.RUNNING:
            assert answer.requested
            assert final in {"cancelled", "succeeded"}
        else:
            assert (told.value, answer.requested) == (final, False)
        if final == "succeeded":
            assert marker in ended
    gone = [marker for marker, final in finals.items() if final == "cancelled"]
    retried = trial.value("select count(*) from taskforge.outcome where attempt > 1")
    assert gone
    assert len(answers) == _ROUNDS * _JOBS
    trial.judge(excused=gone, duplicates_allowed=retried)


def cancel_during_a_retry(trial: Trial, fleet: Fleet) -> None:
    """Cancel while the transaction that sends the job back for a retry is still open."""
    marker = trial.send(hold, None, trial.gate)
    fleet.worker(trial.url)
    trial.wait_until_began(1)
    answers: list[tuple[int, bool]] = []

    def cancel() -> None:
        query = "select state, requested from taskforge.cancel(1, %s, 'enough')"
        answers.extend(trial.rows(query, [trial.number(marker)]))

    canceller = threading.Thread(target=cancel)
    with psycopg.connect(trial.url) as retrying:
        retrying.execute(
            "select f.recorded from taskforge.running r cross join lateral taskforge.finish("
            " array[r.job_id], array[r.attempt], array[r.token], array[2::smallint], array[0],"
            " null, null, array[3600::double precision]) f"
        )
        canceller.start()
        wait_until(lambda: answers or _waits(trial.url))
        retrying.commit()
    canceller.join(30)
    assert trial.final_state(marker) == "cancelled", f"told {answers}, and it runs again"
    assert answers == [(7, False)]
    trial.open_gate()
    trial.judge(excused=[marker])


def _waits(url: str) -> bool:
    try:
        return bool(wait_for_lock_waiter(url, 0.05))
    except AssertionError:
        return False


def test_f45_a_cancelled_job_is_not_sent_back_for_a_retry(trial: Trial, fleet: Fleet) -> None:
    cancel_during_a_retry(trial, fleet)


@pytest.mark.twin
def test_f45_twin_a_cancel_that_locks_nothing_is_caught(trial: Trial, fleet: Fleet) -> None:
    break_function(trial.url, "cancel", ("order by r.job_id for update", "order by r.job_id"))
    with pytest.raises(AssertionError, match="and it runs again"):
        cancel_during_a_retry(trial, fleet)
