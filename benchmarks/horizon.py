"""A flow of jobs while somebody holds a snapshot open, in turn with one where nobody does.

The snapshot keeps every dead row of the queue's tables from being vacuumed away.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

import psycopg

from benchmarks import machine
from benchmarks.arguments import Options
from benchmarks.contenders.taskforge import TaskForgeContender
from benchmarks.database import Postgres, open_postgres
from benchmarks.figures import Row, median_row, ratio
from benchmarks.flow import flow
from benchmarks.report import Report

DEFAULT_JOBS: Final = 200_000
_KEY: Final = "jobs_per_core_second"


def run(options: Options) -> Report:
    """Measure with and without a held snapshot in turn, and compare the medians."""
    jobs = options.jobs or DEFAULT_JOBS
    workers = options.workers or 1
    description = machine.describe()
    with open_postgres() as postgres:
        description |= postgres.description
        free: list[Row] = []
        held: list[Row] = []
        for _ in range(options.repeats):
            free.append(measure(postgres, jobs=jobs, workers=workers, is_held=False))
            held.append(measure(postgres, jobs=jobs, workers=workers, is_held=True))
    return Report(
        benchmark="horizon",
        machine=description,
        rows=compared(median_row(free, _KEY), median_row(held, _KEY)),
        notes=("ratio: jobs per core-second with the snapshot held to those without.",),
    )


def compared(reference: Row, measured: Row) -> list[Row]:
    """Return both rows, the second with its `ratio` to the first.

    It compares jobs per core-second; where those are not known, jobs per second.
    """
    key = _KEY if reference[_KEY] is not None else "jobs_per_second"
    one, other = reference[key], measured[key]
    if not isinstance(one, int | float) or not isinstance(other, int | float):
        return [reference, measured]
    return [{**reference, "ratio": 1.0}, {**measured, "ratio": ratio(other, one)}]


def measure(postgres: Postgres, *, jobs: int, workers: int, is_held: bool) -> Row:
    """Measure once, in a database of its own."""
    with TaskForgeContender().install(postgres) as system:
        holder = held_snapshot(system.url) if is_held else nullcontext()
        with holder:
            row = flow(postgres, system, jobs=jobs, workers=workers)
    return {"snapshot": "held" if is_held else "none", **row}


@contextmanager
def held_snapshot(url: str) -> Iterator[None]:
    """A transaction that has taken its snapshot and keeps it."""
    with psycopg.connect(url, application_name="taskforge benchmark snapshot") as connection:
        connection.execute("set transaction isolation level repeatable read")
        connection.execute("select count(*) from taskforge.ready")
        yield
        connection.rollback()
