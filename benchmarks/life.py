"""One run of whole lives: jobs are sent, claimed, run and recorded as finished; all CPU counted."""

import time
from typing import Final

from attrs import frozen

from benchmarks.contenders.base import System
from benchmarks.contenders.taskforge import TaskForgeSystem
from benchmarks.crew import BenchmarkFailed, start_crew
from benchmarks.database import Postgres
from benchmarks.figures import Row, rate, significant
from benchmarks.processor_time import CpuMeter, Spent
from benchmarks.run_record import Runs

_POLL_SECONDS: Final = 0.02
_RECORDED_SECONDS: Final = 60.0


@frozen(kw_only=True)
class Life:
    """What one run came to.

    Attributes:
        jobs: How many were sent and ran.
        enqueue_seconds: Until all were stored.
        work_seconds: From the workers' start until all were recorded as finished.
        enqueue_spent: CPU of the sending.
        work_spent: CPU of the rest.
        lost: Jobs that never ran or have no final outcome.
        doubled: Runs and final outcomes beyond one a job.
    """

    jobs: int
    enqueue_seconds: float
    work_seconds: float
    enqueue_spent: Spent
    work_spent: Spent
    lost: int
    doubled: int

    @property
    def core_seconds(self) -> float:
        """CPU of the whole life, every process."""
        return self.enqueue_spent.total_seconds + self.work_spent.total_seconds

    def row(self, *, is_cpu_known: bool) -> Row:
        """Return the figures; CPU only where PostgreSQL's is known."""
        seconds = self.enqueue_seconds + self.work_seconds
        row: Row = {
            "jobs": self.jobs,
            "jobs_per_second": rate(self.jobs, seconds),
            "jobs_per_core_second": None,
            "lost": self.lost,
            "doubled": self.doubled,
        }
        if is_cpu_known and self.core_seconds > 0:
            row["jobs_per_core_second"] = significant(self.jobs / self.core_seconds)
            for phase, spent in (("enqueue", self.enqueue_spent), ("work", self.work_spent)):
                for part, used in spent.per_job_us(self.jobs).items():
                    row[f"{phase}_{part}"] = used
        return row


def live(
    postgres: Postgres, system: System, *, jobs: int, workers: int, analysed: bool = False
) -> Life:
    """Send jobs, run them in worker processes, and look what became of each.

    Args:
        postgres: The server that `system` is installed on.
        system: A fresh installation.
        jobs: How many.
        workers: How many worker processes.
        analysed: Vacuum and analyse the tables when they are empty and again when they are full.

    Raises:
        BenchmarkFailed: jobs stopped running half-way.
    """
    with start_crew(system.worker, workers) as crew:
        if analysed:
            system.analyse()
        postgres.settle()
        meter = CpuMeter({**postgres.parts, **system.parts, "workers": crew.pids})
        with meter.measure() as enqueue_spent:
            began = time.perf_counter()
            system.enqueue_bulk(0, jobs)
            enqueue_seconds = time.perf_counter() - began
        if analysed:
            system.analyse()
        with meter.measure() as work_spent:
            began = time.perf_counter()
            crew.go()
            if not crew.wait_until_ran(jobs):
                raise BenchmarkFailed(f"jobs stopped running after {crew.ran:,} of {jobs:,}")
            _wait_until_recorded(system)
            work_seconds = time.perf_counter() - began
        runs = crew.stop()
    lost, doubled = faults(system, runs, range(jobs))
    return Life(
        jobs=jobs,
        enqueue_seconds=enqueue_seconds,
        work_seconds=work_seconds,
        enqueue_spent=enqueue_spent,
        work_spent=work_spent,
        lost=lost,
        doubled=doubled,
    )


def faults(system: System, runs: Runs, expected: range) -> tuple[int, int]:
    """Return how many jobs were lost and how many ran or ended once too often.

    Counted from what the tasks noted and, of TaskForge, from the database as well.
    """
    lost, doubled = runs.missing(expected), runs.repeated()
    if isinstance(system, TaskForgeSystem):
        ledger = system.ledger()
        unstored = len(expected) - ledger.jobs
        lost = max(lost, ledger.without_end, unstored)
        doubled = max(doubled, ledger.doubled, -unstored)
    return lost, doubled


def _wait_until_recorded(system: System) -> None:
    deadline = time.monotonic() + _RECORDED_SECONDS
    while left := system.unfinished():
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"{left:,} jobs ran but were not recorded as finished")
        time.sleep(_POLL_SECONDS)
