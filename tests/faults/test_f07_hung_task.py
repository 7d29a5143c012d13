"""F7: a plain function that never ends and listens to nothing."""

import pytest

from taskforge_client.retry import Retry
from tests.support.fault_app import hang, work, work_in_process
from tests.support.faults import has_ended
from tests.support.fleet import Fleet, engine_at_hand
from tests.support.polling import wait_until
from tests.support.trial import Trial

pytestmark = [pytest.mark.e2e, pytest.mark.fault]


def test_f07_its_process_is_killed_and_its_slot_comes_back(trial: Trial, fleet: Fleet) -> None:
    with engine_at_hand(trial.url):
        fleet.worker(trial.url, children=1)
        retry = Retry.fixed(attempts=2, first=0, jitter=0)
        hanging = trial.send(hang, retry=retry)
        after = trial.send_many(work_in_process, 3)
        beside = trial.send_many(work, 20)
        trial.drain()
    assert trial.final_state(hanging) == "dead"
    assert trial.outcomes(hanging) == [(1, 2, "timeout"), (2, 8, "timeout")]
    assert trial.history.ended() == {*after, *beside}
    hung = [one.process for one in trial.history.executions() if one.marker == hanging]
    wait_until(lambda: all(map(has_ended, hung)))
    trial.judge(excused=[hanging], duplicates_allowed=1)
