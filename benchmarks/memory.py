"""Resident memory of the server node and of each worker while a million jobs flow through."""

from typing import Final

import psutil
from attrs import define, field

from benchmarks import machine
from benchmarks.arguments import Options
from benchmarks.contenders.taskforge import TaskForgeContender, TaskForgeSystem
from benchmarks.database import open_postgres
from benchmarks.figures import Row, slope
from benchmarks.flow import Passed, flow
from benchmarks.report import Report

DEFAULT_JOBS: Final = 1_000_000
SAMPLES: Final = 10
_MIB: Final = 2**20
_UNIT_JOBS: Final = 100_000
# Caches, pools and Python's arenas fill during the first tenths.
_WARM_UP_SAMPLES: Final = 3
PARTS: Final = ("server", "worker")
NOTES: Final = ("*_growth_mib: the trend after warm-up, in MiB per 100,000 jobs.",)


@define(eq=False)
class Samples:
    """Takes a sample each time that so many jobs were sent."""

    system: TaskForgeSystem
    every_jobs: int
    rows: list[Row] = field(factory=list)

    def look(self, passed: Passed) -> None:
        """Take a sample when one is due."""
        if passed.sent >= len(self.rows) * self.every_jobs:
            self.rows.append(
                {
                    "jobs": passed.sent,
                    "server_mib": resident_mib(self.system.parts["server"]),
                    "worker_mib": resident_mib(passed.crew.pids),
                }
            )


def run(options: Options) -> Report:
    """Let jobs flow and take memory ten times on the way."""
    jobs = options.jobs or DEFAULT_JOBS
    workers = options.workers or 1
    description = machine.describe()
    with open_postgres() as postgres:
        description |= postgres.description
        with TaskForgeContender().install(postgres) as system:
            samples = Samples(system, max(jobs // SAMPLES, 1))
            total = flow(
                postgres, system, jobs=jobs, workers=workers, recording=False, look=samples.look
            )
    rows: list[Row] = [
        {**row, "lost": total["lost"], "doubled": total["doubled"]} for row in samples.rows
    ]
    rows[-1] |= {f"{part}_growth_mib": growth_mib(rows, f"{part}_mib") for part in PARTS}
    return Report(benchmark="memory", machine=description, rows=rows, notes=NOTES)


def growth_mib(rows: list[Row], key: str) -> float:
    """Return the trend in MiB per 100,000 jobs, the first samples left out."""
    points = [(float(row["jobs"] or 0), float(row[key] or 0.0)) for row in rows[_WARM_UP_SAMPLES:]]
    return round(slope(points) * _UNIT_JOBS, 2)


def resident_mib(pids: list[int]) -> float:
    """Return the resident memory of the largest of these processes."""
    return round(max(psutil.Process(pid).memory_info().rss for pid in pids) / _MIB, 1)
