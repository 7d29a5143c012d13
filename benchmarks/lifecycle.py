"""Whole lives of jobs that do nothing, on brand-new tables and on vacuumed and analysed ones."""

from collections.abc import Iterator

from attrs import frozen

from benchmarks import machine
from benchmarks.arguments import Options
from benchmarks.contenders.taskforge import TaskForgeContender
from benchmarks.database import Postgres, open_postgres
from benchmarks.figures import Row, median_row
from benchmarks.life import live
from benchmarks.report import Report

DEFAULT_JOBS = 100_000
_WORKERS = (1, 2)


def run(options: Options) -> Report:
    """Measure every combination in turn, as often as asked, and show each one's median."""
    jobs = options.jobs or DEFAULT_JOBS
    description = machine.describe()
    with open_postgres() as postgres:
        description |= postgres.description
        found: dict[Variant, list[Row]] = {}
        for _ in range(options.repeats):
            for variant in variants(options.workers):
                found.setdefault(variant, []).append(measure(postgres, variant, jobs))
    rows = [median_row(rows, "jobs_per_core_second") for rows in found.values()]
    return Report(benchmark="lifecycle", machine=description, rows=rows, notes=NOTES)


NOTES = (
    "jobs_per_core_second counts every process: this one, workers, server node and PostgreSQL.",
    "History, retries, leases, heartbeat, metrics and the fence are on.",
    "*_us: CPU microseconds a job of each part, while enqueueing and while working.",
)


@frozen(kw_only=True)
class Variant:
    """One row to measure."""

    workers: int
    analysed: bool


def variants(workers: int | None) -> Iterator[Variant]:
    """Yield one and two worker processes, or as many as asked, on both kinds of tables."""
    for count in _WORKERS if workers is None else (workers,):
        for analysed in (False, True):
            yield Variant(workers=count, analysed=analysed)


def measure(postgres: Postgres, variant: Variant, jobs: int) -> Row:
    """Measure one row once, in a database of its own."""
    with TaskForgeContender().install(postgres) as system:
        life = live(postgres, system, jobs=jobs, workers=variant.workers, analysed=variant.analysed)
    is_cpu_known = postgres.postmaster_pid is not None
    return {
        "workers": variant.workers,
        "analysed": variant.analysed,
        **life.row(is_cpu_known=is_cpu_known),
    }
