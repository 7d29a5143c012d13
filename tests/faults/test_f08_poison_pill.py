"""F8: a job that takes its process along, every time."""

import pytest

from taskforge_client.retry import Retry
from tests.support.fault_app import crash_child, crash_worker, hold, work
from tests.support.fleet import Fleet, engine_at_hand
from tests.support.trial import Trial
from tests.support.twins import break_function

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

_TWICE = Retry.fixed(attempts=2, first=0, jitter=0)


def swallow_the_pill(trial: Trial, fleet: Fleet, patience_seconds: float = 30.0) -> None:
    """Start worker after worker, as an operator's supervisor would, until the pill is buried."""
    neighbours = trial.send_many(hold, 3, trial.gate)
    pill = trial.send(crash_worker, retry=_TWICE)
    with engine_at_hand(trial.url):
        for turn in (1, 2):
            worker = fleet.worker_unawaited(trial.url, lease_seconds=2)
            worker.process.wait(60)
            trial.wait_for_lost(turn * (len(neighbours) + 1), patience_seconds)
        trial.open_gate()
        last = fleet.worker(trial.url)
        trial.drain()
        assert last.process.poll() is None, "the pill ran once more than it may"
    assert trial.final_state(pill) == "dead"
    assert trial.outcomes(pill) == [(1, 2, "worker_lost"), (2, 8, "worker_lost")]
    for marker in neighbours:
        assert trial.final_state(marker) == "succeeded"
    trial.judge(excused=[pill], duplicates_allowed=trial.lost_leases())


def test_f08_a_job_that_kills_its_worker_is_buried_after_its_attempts(
    trial: Trial, fleet: Fleet
) -> None:
    swallow_the_pill(trial, fleet)


def test_f08_a_job_that_kills_its_child_costs_nobody_else_anything(
    trial: Trial, fleet: Fleet
) -> None:
    with engine_at_hand(trial.url):
        worker = fleet.worker(trial.url)
        pill = trial.send(crash_child, retry=_TWICE)
        others = trial.send_many(work, 30, 0.05)
        trial.drain()
        assert len(worker.leases) == 1
    assert trial.outcomes(pill) == [(1, 2, "worker_crashed"), (2, 8, "worker_crashed")]
    assert trial.history.ended() == set(others)
    trial.judge(excused=[pill], duplicates_allowed=1)


@pytest.mark.twin
def test_f08_twin_a_claim_that_does_not_count_is_caught(trial: Trial, fleet: Fleet) -> None:
    """An attempt counted only when it fails by itself would let the pill go round for ever."""
    break_function(
        trial.url,
        "claim",
        (
            "select g.job_id, p_token, p_worker, now(), g.queue_id, g.priority, g.attempt + 1,",
            "select g.job_id, p_token, p_worker, now(), g.queue_id, g.priority, 1,",
        ),
        (
            "select g.job_id, g.ord, (g.attempt + 1)::smallint,",
            "select g.job_id, g.ord, 1::int2,",
        ),
    )
    with pytest.raises(AssertionError):
        swallow_the_pill(trial, fleet, patience_seconds=8)
