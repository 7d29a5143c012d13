"""The rate at a million ready and ten million finished jobs, in turn with that on empty tables."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from attrs import define, field

from benchmarks import machine
from benchmarks.arguments import Options
from benchmarks.contenders.taskforge import TaskForgeContender, TaskForgeSystem
from benchmarks.crew import BenchmarkFailed, start_crew
from benchmarks.database import Postgres, connect, open_postgres
from benchmarks.figures import Row, median_row, rate
from benchmarks.history import fill_history
from benchmarks.horizon import compared
from benchmarks.processor_time import CpuMeter
from benchmarks.report import Report

DEFAULT_JOBS: Final = 1_000_000
# Of `--jobs` ready ones: so many times more finished, and so many measured in each run.
FINISHED_FACTOR: Final = 10
MEASURED_SHARE: Final = 10
_KEY: Final = "jobs_per_core_second"
NOTES: Final = (
    "Each run sends `measured` jobs and works off as many, the oldest first; the backlog stays.",
    "ratio: jobs per core-second on full tables to those on empty ones.",
)


@define(eq=False)
class Tables:
    """An installation with a backlog of ready jobs and a history.

    Attributes:
        system: The installation.
        after: Ids above it belong to jobs that the benchmark sent.
        finished: How many jobs the history holds.
        next_number: The number of the next job to be sent.
    """

    system: TaskForgeSystem
    after: int
    finished: int
    next_number: int = 0
    numbers: set[int] = field(factory=set)

    def send(self, count: int) -> None:
        """Send the next jobs."""
        self.system.enqueue_bulk(self.next_number, count)
        self.next_number += count


def run(options: Options) -> Report:
    """Fill one database, then measure on it and on fresh ones in turn."""
    ready = options.jobs or DEFAULT_JOBS
    measured = max(ready // MEASURED_SHARE, 1)
    workers = options.workers or 1
    description = machine.describe()
    with open_postgres() as postgres:
        description |= postgres.description
        empty: list[Row] = []
        full: list[Row] = []
        with filled(postgres, ready=ready, finished=ready * FINISHED_FACTOR) as tables:
            for _ in range(options.repeats):
                # What is left over at the end of a run is left on empty tables as well.
                with filled(postgres, ready=measured // 10, finished=0) as few:
                    empty.append(measure(postgres, few, measured, workers))
                full.append(measure(postgres, tables, measured, workers))
    rows = compared(median_row(empty, _KEY), median_row(full, _KEY))
    return Report(benchmark="scale", machine=description, rows=rows, notes=NOTES)


@contextmanager
def filled(postgres: Postgres, *, ready: int, finished: int) -> Iterator[Tables]:
    """A fresh installation with so many ready and finished jobs, vacuumed and analysed."""
    with TaskForgeContender().install(postgres) as system:
        made = fill_history(system.url, finished) if finished else 0
        with connect(system.url) as connection:
            (after,) = connection.execute("select taskforge.mint()").fetchone() or (0,)
        tables = Tables(system=system, after=after, finished=made)
        if ready:
            tables.send(ready)
        system.analyse()
        yield tables


def measure(postgres: Postgres, tables: Tables, jobs: int, workers: int) -> Row:
    """Send jobs and work off as many; count all CPU of both."""
    system = tables.system
    ready_before = system.unfinished()
    with start_crew(system.worker, workers) as crew:
        postgres.settle()
        meter = CpuMeter({**postgres.parts, **system.parts, "workers": crew.pids})
        began = time.perf_counter()
        with meter.measure() as sending:
            tables.send(jobs)
        with meter.measure() as working:
            crew.go()
            if not crew.wait_until_ran(jobs):
                raise BenchmarkFailed(f"jobs stopped running after {crew.ran:,} of {jobs:,}")
            ran = crew.ran
        seconds = time.perf_counter() - began
        runs = crew.stop()
    ledger = system.ledger(tables.after)
    again = tables.numbers.intersection(runs.numbers)
    tables.numbers.update(runs.numbers)
    core_seconds_per_job = sending.total_seconds / jobs + working.total_seconds / ran
    is_cpu_known = postgres.postmaster_pid is not None
    return {
        "ready": ready_before,
        "finished": tables.finished,
        "workers": workers,
        "measured": jobs,
        "jobs_per_second": rate(jobs, seconds),
        "jobs_per_core_second": rate(1, core_seconds_per_job) if is_cpu_known else None,
        "lost": tables.next_number - ledger.ended - system.unfinished(),
        "doubled": max(ledger.doubled, runs.repeated() + len(again)),
    }
