"""F6: a task keeps the event loop, or the interpreter itself, for longer than a lease."""

import pytest

from tests.support.fault_app import hog, hog_in_c, work
from tests.support.fleet import Fleet, engine_at_hand
from tests.support.trial import Trial

pytestmark = [pytest.mark.e2e, pytest.mark.fault]


def test_f06_a_busy_event_loop_does_not_cost_the_lease(trial: Trial, fleet: Fleet) -> None:
    with engine_at_hand(trial.url):
        worker = fleet.worker(trial.url, lease_seconds=5)
        trial.send(hog, None, 8.0)
        trial.send_many(work, 20)
        trial.drain()
        assert len(worker.leases) == 1
    assert trial.lost_leases() == 0
    trial.judge()


def test_f06_a_worker_that_could_not_renew_is_fenced(trial: Trial, fleet: Fleet) -> None:
    """While one task holds the interpreter lock in C, not even the heartbeat's thread runs."""
    hogged = trial.send(hog_in_c, None, 6)
    worker = fleet.worker(trial.url, lease_seconds=3, concurrency=1)
    trial.wait_until_began(1)
    with engine_at_hand(trial.url):
        fleet.worker(trial.url, lease_seconds=60)
        trial.send_many(work, 20)
        trial.drain()
        worker.wait_for_lease(2)
    assert trial.outcomes(hogged) == [(1, 2, "worker_lost"), (2, 5, None)]
    trial.judge(duplicates_allowed=trial.lost_leases())
