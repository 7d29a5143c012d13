"""A steady flow: jobs are sent while workers run, with a short backlog between them."""

import time
from collections.abc import Callable
from typing import Final

from attrs import frozen

from benchmarks.contenders.taskforge import TaskForgeSystem
from benchmarks.crew import BenchmarkFailed, Crew, start_crew
from benchmarks.database import Postgres
from benchmarks.figures import Row, rate
from benchmarks.life import faults
from benchmarks.processor_time import CpuMeter
from benchmarks.tasks import noop

CHUNK_JOBS: Final = 2_000
BACKLOG_JOBS: Final = 4_000


@frozen(kw_only=True)
class Passed:
    """What is true after a chunk was sent: jobs sent so far, and the workers."""

    sent: int
    crew: Crew


def nothing(_passed: Passed) -> None:
    """Look at nothing."""


def flow(
    postgres: Postgres,
    system: TaskForgeSystem,
    *,
    jobs: int,
    workers: int,
    recording: bool = True,
    look: Callable[[Passed], None] = nothing,
) -> Row:
    """Let jobs flow through workers and return their figures.

    Args:
        postgres: The server that `system` is installed on.
        system: A fresh installation.
        jobs: How many.
        workers: How many worker processes.
        recording: Whether the tasks note every run, which takes 16 bytes each of their memory.
        look: Called before the first chunk and after each.

    Raises:
        BenchmarkFailed: jobs stopped running half-way.
    """
    with start_crew(system.worker, workers, recording=recording) as crew:
        postgres.settle()
        meter = CpuMeter({**postgres.parts, **system.parts, "workers": crew.pids})
        with meter.measure() as spent, system.app() as app:
            task = noop.via(app)
            began = time.perf_counter()
            crew.go()
            look(Passed(sent=0, crew=crew))
            for first in range(0, jobs, CHUNK_JOBS):
                chunk = range(first, min(first + CHUNK_JOBS, jobs))
                _wait(crew, chunk.stop - BACKLOG_JOBS)
                app.enqueue_many(task.bind(number) for number in chunk)
                look(Passed(sent=chunk.stop, crew=crew))
            _wait(crew, jobs)
            seconds = time.perf_counter() - began
        runs = crew.stop()
    lost, doubled = faults_of(system, jobs) if not recording else faults(system, runs, range(jobs))
    row: Row = {
        "workers": workers,
        "jobs": jobs,
        "jobs_per_second": rate(jobs, seconds),
        "jobs_per_core_second": None,
        "lost": lost,
        "doubled": doubled,
    }
    if postgres.postmaster_pid is not None:
        row["jobs_per_core_second"] = rate(jobs, spent.total_seconds)
        row |= dict(spent.per_job_us(jobs))
    return row


def faults_of(system: TaskForgeSystem, jobs: int) -> tuple[int, int]:
    """Return what was lost and doubled by the database alone."""
    ledger = system.ledger()
    return max(ledger.without_end, jobs - ledger.jobs), max(ledger.doubled, ledger.jobs - jobs)


def _wait(crew: Crew, count: int) -> None:
    if not crew.wait_until_ran(count):
        raise BenchmarkFailed(f"jobs stopped running after {crew.ran:,}; {count:,} were expected")
