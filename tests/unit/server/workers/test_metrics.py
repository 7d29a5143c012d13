import pytest
from prometheus_client import CollectorRegistry

from taskforge_client.wire.states import JobState
from taskforge_client.worker.metrics import Tally
from taskforge_server.workers.metrics import PrometheusSink

pytestmark = pytest.mark.unit


def test_batches_arrive_as_if_each_attempt_had_been_observed_alone() -> None:
    registry = CollectorRegistry()
    sink = PrometheusSink(registry)
    tally = Tally("mail")
    for seconds in (0.0005, 0.002, 0.002, 4000.0):
        tally.add(JobState.SUCCEEDED, seconds)
    tally.add(JobState.DEAD, 0.2)
    tally.flush(sink)
    tally.flush(sink)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"taskforge_attempt_seconds_{name}", labels)

    good = {"task": "mail", "state": "succeeded"}
    assert value("count", **good) == 4
    assert value("sum", **good) == pytest.approx(4000.0045)
    assert value("bucket", **good, le="0.001") == 1
    assert value("bucket", **good, le="0.0025") == 3
    assert value("bucket", **good, le="1800.0") == 3
    assert value("bucket", **good, le="+Inf") == 4
    assert value("count", task="mail", state="dead") == 1


def test_the_rest_is_counted() -> None:
    registry = CollectorRegistry()
    sink = PrometheusSink(registry)
    sink.flushed(500, 0.003)
    sink.outcomes_lost(2)
    sink.in_hand(7, 3)
    assert registry.get_sample_value("taskforge_outcomes_recorded_total") == 500
    assert registry.get_sample_value("taskforge_outcomes_lost_total") == 2
    assert registry.get_sample_value("taskforge_worker_jobs_in_hand") == 7
    assert registry.get_sample_value("taskforge_worker_jobs_running") == 3
