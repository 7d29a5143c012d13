"""F5: a worker comes back under the same host name and process id while its old jobs are open."""

import pytest

from tests.support.fault_app import hold, work
from tests.support.fleet import Fleet, engine_at_hand
from tests.support.trial import Trial
from tests.support.twins import break_function

pytestmark = [pytest.mark.e2e, pytest.mark.fault]


def come_back_under_the_same_name(
    trial: Trial, fleet: Fleet, patience_seconds: float = 30.0
) -> None:
    """Kill a worker and let a second one of the same host and process id live on."""
    trial.send_many(hold, 4, trial.gate)
    old = fleet.worker(trial.url, lease_seconds=3, concurrency=4)
    trial.wait_until_began(4)
    old.kill()
    new = fleet.worker(trial.url, lease_seconds=60)
    trial.rows(
        "update taskforge.worker n set host = o.host, process_id = o.process_id"
        " from taskforge.worker o where n.id = %s and o.id = %s",
        new.leases[-1],
        old.leases[-1],
    )
    with engine_at_hand(trial.url):
        trial.open_gate()
        trial.send_many(work, 10)
        trial.drain(patience_seconds)
    trial.judge(duplicates_allowed=4)


def test_f05_the_old_incarnations_jobs_are_rescued(trial: Trial, fleet: Fleet) -> None:
    come_back_under_the_same_name(trial, fleet)


def test_f05_a_process_that_lost_its_lease_is_another_worker(trial: Trial, fleet: Fleet) -> None:
    with engine_at_hand(trial.url):
        trial.send_many(hold, 4, trial.gate)
        worker = fleet.worker(trial.url, lease_seconds=6, concurrency=4)
        trial.wait_until_began(4)
        trial.rows("select taskforge.end_lease(%s)", worker.leases[-1])
        trial.wait_until_began(4, attempt=2)
        trial.open_gate()
        trial.drain()
    first, second = worker.leases
    assert first != second
    for marker in trial.history.acknowledged:
        assert trial.outcomes(marker) == [(1, 2, "worker_lost"), (2, 5, None)]
    trial.judge(duplicates_allowed=4)


@pytest.mark.twin
def test_f05_twin_a_rescue_that_goes_by_stale_workers_is_caught(trial: Trial, fleet: Fleet) -> None:
    """Orphans of a worker whose row is gone already would wait for ever."""
    break_function(
        trial.url,
        "rescue",
        (
            "where not exists (select from taskforge.worker w where w.id = r.worker_id)",
            "where r.worker_id in (select w.id from taskforge.worker w where w.expires_at < now())",
        ),
    )
    with pytest.raises(AssertionError, match="not within"):
        come_back_under_the_same_name(trial, fleet, patience_seconds=8)
