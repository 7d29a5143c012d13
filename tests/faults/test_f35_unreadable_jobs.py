"""F35: jobs that no worker can read: of a task that is gone, or with arguments that are garbage."""

import pytest

from tests.support.fault_app import work
from tests.support.fleet import Fleet, engine_at_hand
from tests.support.trial import Trial

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

_STEPS = "update taskforge.scheduled set run_at = now() where run_at > now()"


def test_f35_they_are_buried_with_their_reason_and_hold_up_nobody(
    trial: Trial, fleet: Fleet
) -> None:
    unknown = list(trial.markers(3))
    for marker in unknown:
        trial.history.attempt(marker)
        handle = trial.app.named("gone:away").enqueue(ledger=trial.ledger, marker=marker)
        trial.history.acknowledge(marker, handle.id)
    garbled = trial.send_many(work, 3)
    trial.rows(
        "update taskforge.job set payload = '\\xc1ff00' where id = any (%s)",
        trial.numbers(garbled),
    )
    misfit = trial.value("select taskforge.enqueue('work', '{\"no\": \"such argument\"}')")
    fine = trial.send_many(work, 50)
    with engine_at_hand(trial.url):
        worker = fleet.worker(trial.url)
        # A task that is unknown now may come with a deployment: those jobs wait, the rest goes on.
        trial.wait_for_ended(len(unknown + garbled + fine) + 1, worker.leases[-1])
        assert trial.live() == {"scheduled": len(unknown)}
        assert trial.history.ended() == set(fine)
        while trial.live():
            trial.rows(_STEPS)
        assert len(worker.leases) == 1
    for marker in unknown:
        assert trial.final_state(marker) == "dead"
        assert {reason for _, _, reason in trial.outcomes(marker)} == {"UNKNOWN_TASK"}
        assert len(trial.outcomes(marker)) == 6
    for marker in garbled:
        assert trial.outcomes(marker) == [(1, 8, "UNDECODABLE_ARGUMENTS")]
    reasons = trial.rows("select reason, count(*) from taskforge.dead group by 1 order by 1")
    assert reasons == [("UNDECODABLE_ARGUMENTS", 4), ("UNKNOWN_TASK", 3)]
    assert misfit
    trial.judge(excused=[*unknown, *garbled])
