import pytest

from benchmarks.capacity import Costs, plan_for
from benchmarks.contenders.taskforge import Ledger
from benchmarks.crew import BenchmarkFailed
from benchmarks.figures import Row
from benchmarks.horizon import compared
from benchmarks.memory import growth_mib
from benchmarks.peers import chosen, contenders, count_for, with_ratios


def test_rows_are_compared_by_core_seconds_where_they_are_known() -> None:
    reference: Row = {"jobs_per_second": 50, "jobs_per_core_second": 100}
    measured: Row = {"jobs_per_second": 50, "jobs_per_core_second": 95}
    assert [row["ratio"] for row in compared(reference, measured)] == [1.0, 0.95]


def test_rows_are_compared_by_seconds_where_postgres_runs_elsewhere() -> None:
    reference: Row = {"jobs_per_second": 50, "jobs_per_core_second": None}
    measured: Row = {"jobs_per_second": 40, "jobs_per_core_second": None}
    assert [row["ratio"] for row in compared(reference, measured)] == [1.0, 0.8]


def test_memory_growth_leaves_the_warm_up_out() -> None:
    rows: list[Row] = [
        {"jobs": place * 100_000, "worker_mib": mib}
        for place, mib in enumerate([10.0, 50.0, 60.0, 61.0, 61.5, 62.0])
    ]
    assert growth_mib(rows, "worker_mib") == 0.5


def test_a_plan_rounds_workers_up_and_leaves_room_for_peaks() -> None:
    costs = Costs(core_seconds=30e-6, worker_core_seconds=12e-6, stored_bytes=256)
    assert plan_for(10_000, costs) == {
        "target_per_second": 10_000,
        "cores": 0.5,
        "worker_processes": 1,
        "connections": 16,
        "disk_gib_per_day": 206.0,
    }
    assert plan_for(60_000, costs)["worker_processes"] == 2


def test_peers_are_rated_against_the_first_and_less_latency_is_better() -> None:
    rows: list[Row] = [
        {"measurement": "lifecycle", "system": "ours", "jobs_per_core_second": 300},
        {"measurement": "lifecycle", "system": "theirs", "jobs_per_core_second": 100},
        {"measurement": "latency", "system": "ours", "p95_ms": 2.0},
        {"measurement": "latency", "system": "theirs", "p95_ms": 3.0},
    ]
    assert [row["ratio"] for row in with_ratios(rows)] == [1.0, 3.0, 1.0, 1.5]


def test_slow_peers_get_fewer_jobs_but_as_many_latency_samples() -> None:
    first, *_ = contenders()
    slow = min(contenders(), key=lambda contender: contender.share)
    assert count_for("lifecycle", slow, 100_000) < count_for("lifecycle", first, 100_000)
    assert count_for("latency", slow, 100_000) == count_for("latency", first, 100_000)


def test_taskforge_always_takes_part_and_unknown_peers_are_named() -> None:
    assert [contender.name.split()[0] for contender in chosen(["celery"])] == [
        "taskforge",
        "celery",
    ]
    with pytest.raises(BenchmarkFailed, match=r"no peer 'sidekiq'; there are taskforge, pgqueuer"):
        chosen(["sidekiq"])


def test_a_ledger_tells_jobs_without_an_end_from_ends_too_many() -> None:
    ledger = Ledger(jobs=10, ended=8, endings=9)
    assert (ledger.without_end, ledger.doubled) == (2, 1)
