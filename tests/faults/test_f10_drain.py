"""F10: a worker is told to leave while it is under load."""

import signal

import pytest

from tests.support.fault_app import hold, work
from tests.support.fleet import Fleet, engine_at_hand
from tests.support.trial import Trial

pytestmark = [pytest.mark.e2e, pytest.mark.fault]


def test_f10_a_leaving_worker_ends_what_runs_and_gives_the_rest_back(
    trial: Trial, fleet: Fleet
) -> None:
    trial.send_many(work, 300, 0.05)
    leaving = fleet.worker(trial.url, concurrency=8)
    trial.wait_for_ended(60, leaving.leases[-1])
    assert leaving.leave() == 0
    assert trial.value("select count(*) from taskforge.running") == 0
    assert trial.value("select count(*) from taskforge.worker") == 0
    assert trial.value("select max(attempt) from taskforge.ready") == 0
    assert trial.history.began() == trial.history.ended()
    fleet.worker(trial.url, concurrency=32)
    trial.drain()
    trial.judge()


def test_f10_deploy_after_deploy_nothing_runs_twice(trial: Trial, fleet: Fleet) -> None:
    """Each new worker is there before the old one leaves, as in a rolling deployment."""
    trial.send_many(work, 400, 0.03)
    old = fleet.worker(trial.url, concurrency=4)
    for _ in range(2):
        trial.wait_for_ended(40, old.leases[-1])
        new = fleet.worker(trial.url, concurrency=4)
        assert old.leave() == 0
        old = new
    fleet.worker(trial.url, concurrency=32)
    trial.drain()
    trial.judge()


def test_f10_what_does_not_end_within_the_grace_goes_back_uncounted(
    trial: Trial, fleet: Fleet
) -> None:
    trial.send_many(hold, 4, trial.gate)
    leaving = fleet.worker(trial.url, soft_seconds=0.5, hard_seconds=1.5)
    trial.wait_until_began(4)
    assert leaving.leave() == 0
    assert trial.value("select count(*) from taskforge.running") == 0
    with engine_at_hand(trial.url):
        fleet.worker(trial.url)
        trial.open_gate()
        trial.drain()
    assert {
        attempt for marker in trial.history.acknowledged for attempt, *_ in trial.outcomes(marker)
    } == {1}
    trial.judge(duplicates_allowed=4, repeats_allowed=4)


def test_f10_a_second_signal_makes_haste(trial: Trial, fleet: Fleet) -> None:
    trial.send_many(hold, 4, trial.gate)
    leaving = fleet.worker(trial.url, soft_seconds=3600, hard_seconds=3602)
    trial.wait_until_began(4)
    leaving.ask_to_leave()
    leaving.wait_for_line("leaving")
    leaving.process.send_signal(signal.SIGTERM)
    assert leaving.process.wait(60) == 0
    with engine_at_hand(trial.url):
        fleet.worker(trial.url)
        trial.open_gate()
        trial.drain()
    trial.judge(duplicates_allowed=4, repeats_allowed=4)
