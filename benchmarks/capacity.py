"""What this machine does with TaskForge, and what machine a rate of yours would need.

The figures are of jobs that do nothing: what your own tasks cost comes on top.
"""

import math
from typing import Final

from attrs import frozen

from benchmarks import machine
from benchmarks.arguments import Options
from benchmarks.contenders.taskforge import TaskForgeContender
from benchmarks.crew import BenchmarkFailed
from benchmarks.database import Postgres, connect, open_postgres
from benchmarks.enqueue import measure as measure_way
from benchmarks.enqueue import single
from benchmarks.figures import Row, median_row
from benchmarks.latency import measure_idle
from benchmarks.life import live
from benchmarks.report import Report, shown

DEFAULT_JOBS: Final = 50_000
LATENCY_JOBS_SHARE: Final = 250
PLANNED_RATES: Final = (100, 1_000, 10_000, 50_000)
# How busy a machine may be on the average if peaks are to pass without queueing.
SENSIBLE_LOAD: Final = 0.6
# A worker process has one Python thread that works; connections are documented at most 16.
CONNECTIONS_PER_WORKER: Final = 16
_SECONDS_PER_DAY: Final = 86_400
_GIB: Final = 2**30


@frozen(kw_only=True)
class Costs:
    """What one job costs on this machine.

    Attributes:
        core_seconds: CPU of all processes.
        worker_core_seconds: Of that, the worker processes'.
        stored_bytes: On disk, with history and indexes, until retention drops it.
    """

    core_seconds: float
    worker_core_seconds: float
    stored_bytes: float


def run(options: Options) -> Report:
    """Measure rates with more and more workers, latency and disk space, then plan."""
    jobs = options.jobs or DEFAULT_JOBS
    description = machine.describe()
    most = options.workers or machine.usable_cores()
    with open_postgres() as postgres:
        description |= postgres.description
        if postgres.postmaster_pid is None:
            raise BenchmarkFailed(
                "the PostgreSQL of TASKFORGE_DATABASE_URL runs elsewhere, so its CPU can't be"
                " counted; run it on this machine or leave the variable unset"
            )
        measured = [
            measure(postgres, jobs, workers, options.repeats) for workers in range(1, most + 1)
        ]
        idle = measure_idle(
            postgres, TaskForgeContender(), jobs=max(jobs // LATENCY_JOBS_SHARE, 1), workers=1
        )
        one_by_one = measure_way(postgres, "single", single, max(jobs // LATENCY_JOBS_SHARE, 1))
    costliest = max((costs for _, costs in measured), key=lambda costs: costs.core_seconds)
    rows = [row for row, _ in measured]
    rows += [plan_for(rate, costliest) for rate in PLANNED_RATES]
    return Report(
        benchmark="capacity",
        machine=description,
        rows=rows,
        notes=(
            f"no-op jobs a second, enqueue included: {shown(measured[-1][0]['jobs_per_second'])}",
            f"worker processes: {most}",
            f"idle p95 from enqueue to start: {shown(idle['p95_ms'])} ms",
            f"enqueued a second by one caller: {shown(one_by_one['jobs_per_second'])}",
            f"Rows with target_per_second plan for {SENSIBLE_LOAD:.0%} load; what your tasks need",
            "themselves comes on top.",
        ),
    )


def measure(postgres: Postgres, jobs: int, workers: int, repeats: int) -> tuple[Row, Costs]:
    """Return the median row with so many workers, and what a job cost in it."""
    rows = []
    for _ in range(repeats):
        with TaskForgeContender().install(postgres) as system:
            life = live(postgres, system, jobs=jobs, workers=workers)
            stored = stored_bytes(system.url)
        used = sum(
            spent.seconds.get("workers", 0.0) for spent in (life.enqueue_spent, life.work_spent)
        )
        row = life.row(is_cpu_known=True)
        rows.append(
            {
                "workers": workers,
                **{key: row[key] for key in _SHOWN},
                "worker_core_seconds": used / jobs,
                "core_seconds": life.core_seconds / jobs,
                "stored_bytes": round(stored / jobs),
            }
        )
    row = median_row(rows, "core_seconds")
    costs = Costs(
        core_seconds=float(row.pop("core_seconds") or 0.0),
        worker_core_seconds=float(row.pop("worker_core_seconds") or 0.0),
        stored_bytes=float(row["stored_bytes"] or 0.0),
    )
    return row, costs


_SHOWN: Final = ("jobs", "jobs_per_second", "jobs_per_core_second", "lost", "doubled")


def plan_for(jobs_per_second: int, costs: Costs) -> Row:
    """Return what a rate of no-op jobs needs: cores, worker processes, connections, disk."""
    busy = jobs_per_second * costs.core_seconds / SENSIBLE_LOAD
    workers = max(1, math.ceil(jobs_per_second * costs.worker_core_seconds / SENSIBLE_LOAD))
    disk = jobs_per_second * _SECONDS_PER_DAY * costs.stored_bytes / _GIB
    return {
        "target_per_second": jobs_per_second,
        "cores": round(busy, 2),
        "worker_processes": workers,
        "connections": workers * CONNECTIONS_PER_WORKER,
        "disk_gib_per_day": round(disk, 1),
    }


def stored_bytes(url: str) -> int:
    """Return how much disk bodies and history take, indexes included."""
    with connect(url) as connection:
        row = connection.execute(
            "select sum(pg_total_relation_size(inhrelid)) from pg_inherits where inhparent in"
            " ('taskforge.job'::regclass, 'taskforge.outcome'::regclass)"
        ).fetchone()
    return int(row[0]) if row else 0
