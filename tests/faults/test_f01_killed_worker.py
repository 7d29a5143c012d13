"""F1: a worker process is killed while it works."""

import pytest

from tests.support.fault_app import hold, work, work_in_process
from tests.support.faults import descendants, has_ended, kill
from tests.support.fleet import Fleet, engine_at_hand
from tests.support.polling import wait_until
from tests.support.trial import Trial

pytestmark = [pytest.mark.e2e, pytest.mark.fault]


def test_f01_what_a_killed_worker_held_runs_again_elsewhere(trial: Trial, fleet: Fleet) -> None:
    held = trial.send_many(hold, 20, trial.gate)
    first = fleet.worker(trial.url, lease_seconds=2, concurrency=16)
    wait_until(lambda: len(trial.history.began()) == 16)
    with engine_at_hand(trial.url):
        first.kill()
        trial.open_gate()
        fleet.worker(trial.url, lease_seconds=20, concurrency=16)
        trial.send_many(work, 100)
        trial.drain()
    in_hand = trial.lost_leases()
    assert in_hand >= 16
    verdict = trial.judge(duplicates_allowed=in_hand)
    assert set(verdict.duplicated) <= set(held)


def test_f01_workers_that_are_killed_again_and_again_lose_nothing(
    trial: Trial, fleet: Fleet
) -> None:
    trial.send_many(work, 400, 0.02)
    with engine_at_hand(trial.url):
        for _ in range(3):
            doomed = fleet.worker(trial.url, lease_seconds=2, concurrency=4)
            trial.wait_for_ended(20, doomed.leases[-1])
            doomed.kill()
        fleet.worker(trial.url, lease_seconds=20, concurrency=16)
        trial.drain()
    trial.judge(duplicates_allowed=trial.lost_leases())


def test_f01_children_of_a_killed_worker_end_with_it(trial: Trial, fleet: Fleet) -> None:
    trial.send(work_in_process)
    worker = fleet.worker(trial.url, lease_seconds=2)
    trial.drain()
    children = wait_until(lambda: descendants(worker.pid))
    kill(worker.process)
    wait_until(lambda: all(map(has_ended, children)))
    trial.judge()
