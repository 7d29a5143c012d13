"""F2: a worker freezes past its lease and thaws while somebody else has its jobs."""

import pytest

from tests.support.fault_app import hold
from tests.support.faults import Proxy
from tests.support.fleet import Fleet, engine_at_hand
from tests.support.trial import Trial
from tests.support.twins import break_function

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

_JOBS = 4
_HELD = "select job_id, attempt, token, worker_id from taskforge.running order by job_id"


def freeze_and_thaw(trial: Trial, fleet: Fleet) -> None:
    """Let a worker finish its jobs after another one has begun their second attempts.

    Its heartbeat is slow, so that it sends what it has before it learns that it lost the lease.
    """
    with Proxy.to(trial.url) as proxy, engine_at_hand(trial.url):
        proxy.delay(0.3)
        frozen = fleet.worker(
            trial.url, lease_url=proxy.url(trial.url), lease_seconds=4, concurrency=_JOBS
        )
        trial.send_many(hold, _JOBS, trial.gate)
        trial.wait_until_began(_JOBS)
        frozen.freeze()
        fresh = fleet.worker(trial.url, lease_seconds=60, concurrency=_JOBS)
        trial.wait_until_began(_JOBS, attempt=2)
        held = trial.rows(_HELD)
        assert {worker for *_, worker in held} == {fresh.leases[-1]}

        trial.open_gate(1)
        frozen.thaw()
        frozen.wait_for_lease(2)
        assert trial.rows(_HELD) == held, "the stale worker touched the new attempts"
        trial.open_gate()
        trial.drain()
        told = [int(line.split()[1]) for line in frozen.said if line.startswith("stale ")]
        assert sum(told) == _JOBS, f"the stale worker was told {told}"
    trial.judge(duplicates_allowed=trial.lost_leases())
    assert trial.lost_leases() == _JOBS


def test_f02_a_thawed_worker_changes_nothing(trial: Trial, fleet: Fleet) -> None:
    freeze_and_thaw(trial, fleet)


@pytest.mark.twin
def test_f02_twin_a_finish_without_its_fence_is_caught(trial: Trial, fleet: Fleet) -> None:
    break_function(
        trial.url,
        "finish",
        (
            "where r.job_id = f.job_id and r.attempt = f.attempt and r.token = f.token",
            "where r.job_id = f.job_id",
        ),
        ("returning f.job_id, f.attempt, f.token,", "returning f.job_id, r.attempt, r.token,"),
    )
    with pytest.raises(AssertionError, match="touched the new attempts"):
        freeze_and_thaw(trial, fleet)
