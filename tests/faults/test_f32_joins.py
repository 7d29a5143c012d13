"""F32: the parents of a join finish at the same instant, on different workers."""

import pytest

from tests.support.fault_app import hold, work
from tests.support.fleet import Fleet, engine_at_hand
from tests.support.history import BEGAN, ENDED
from tests.support.polling import wait_until
from tests.support.trial import Trial
from tests.support.twins import break_function

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

_JOINS = 320


def join(trial: Trial, fleet: Fleet, patience_seconds: float = 60.0) -> dict[int, tuple[int, int]]:
    """Open one gate for two parents of each join, half of them on either worker."""
    first = trial.send_many(hold, _JOINS, trial.gate)
    second = trial.send_many(hold, _JOINS, trial.gate)
    parents = dict(zip(trial.markers(_JOINS), zip(first, second, strict=True), strict=True))
    job = trial.app.job
    invocations = []
    for child, pair in parents.items():
        trial.history.attempt(child)
        after = [job(trial.history.acknowledged[parent]) for parent in pair]
        invocations.append(work.via(trial.app).using(after=after).bind(trial.ledger, child))
    for child, identifier in zip(parents, trial.app.enqueue_many(invocations).ids, strict=True):
        trial.history.acknowledge(child, identifier)
    with engine_at_hand(trial.url):
        for _ in range(2):
            fleet.worker(trial.url, concurrency=_JOINS)
        trial.wait_until_began(2 * _JOINS)
        wait_until(lambda: not trial.value("select count(*) from taskforge.late"))
        trial.open_gate()
        trial.drain(patience_seconds)
    trial.judge()
    return parents


def test_f32_a_join_fires_once_and_never_early(trial: Trial, fleet: Fleet) -> None:
    parents = join(trial, fleet)
    lines = trial.history.executions()
    ended = {one.marker: place for place, one in enumerate(lines) if one.stage == ENDED}
    began = {one.marker: place for place, one in enumerate(lines) if one.stage == BEGAN}
    early = [
        child
        for child, pair in parents.items()
        if began[child] < max(ended[parent] for parent in pair)
    ]
    assert not early


@pytest.mark.twin
def test_f32_twin_a_finish_that_tells_no_children_is_caught(trial: Trial, fleet: Fleet) -> None:
    break_function(trial.url, "finish", ("if v_parents then", "if false then"))
    with pytest.raises(AssertionError, match="not within"):
        join(trial, fleet, patience_seconds=8)
