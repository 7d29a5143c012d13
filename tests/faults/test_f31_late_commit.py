"""F31: a job with an early place in its lane is committed after later ones were taken."""

import psycopg
import pytest

from tests.support.fault_app import work
from tests.support.fleet import Fleet
from tests.support.trial import Trial

pytestmark = [pytest.mark.e2e, pytest.mark.fault]


def commit_late(trial: Trial, fleet: Fleet, *, sweeps: bool, patience_seconds: float) -> None:
    """Keep a transaction open while everything that came after it is worked off."""
    fleet.worker(trial.url, concurrency=16, sweeps=sweeps)
    late = trial.markers(5)
    with psycopg.connect(trial.url) as connection:
        for marker in late:
            trial.history.attempt(marker)
            handle = work.via(trial.app).within(connection).enqueue(trial.ledger, marker)
            trial.history.acknowledge(marker, handle.id)
        trial.send_many(work, 500)
        trial.drain()
        assert not trial.history.began() & set(late)
        connection.commit()
    trial.drain(patience_seconds)
    trial.judge()


def test_f31_what_is_committed_late_is_found(trial: Trial, fleet: Fleet) -> None:
    commit_late(trial, fleet, sweeps=True, patience_seconds=30)


@pytest.mark.twin
def test_f31_twin_a_claimer_that_never_sweeps_is_caught(trial: Trial, fleet: Fleet) -> None:
    with pytest.raises(AssertionError, match="not within"):
        commit_late(trial, fleet, sweeps=False, patience_seconds=6)
