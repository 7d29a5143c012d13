"""Sending jobs, in every way there is; nobody runs them."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import psycopg
from attrs import define, field

from benchmarks import machine
from benchmarks.arguments import Options
from benchmarks.contenders.base import SendOne
from benchmarks.contenders.taskforge import TaskForgeContender, TaskForgeSystem
from benchmarks.database import Postgres, connect, open_postgres
from benchmarks.event_loop import run_on_loop
from benchmarks.figures import Row, median_row, percentiles_ms, rate
from benchmarks.processor_time import CpuMeter
from benchmarks.report import Report
from benchmarks.tasks import noop

DEFAULT_JOBS: Final = 200_000
CALLERS: Final = 50
SQL_CHUNK: Final = 1_000
_SQL_ONE: Final = "select taskforge.enqueue(%s, jsonb_build_object('number', %s::int))"
_SQL_MANY: Final = (
    "select cardinality(taskforge.enqueue_many(%s,"
    " array(select jsonb_build_object('number', n) from generate_series(%s::int, %s::int) n)))"
)
NOTES: Final = (
    "single: one caller, aenqueue. callers_50: fifty at once. bulk: enqueue_many. within: one job",
    "in a transaction of the caller's. within_bulk: enqueue_many in one. sql, sql_bulk: the SQL",
    "functions.",
)


@define
class Sent:
    """What a way of sending did: how many jobs, and how long each took that had its own call."""

    jobs: int
    durations_ns: list[int] = field(factory=list)


Way = Callable[[TaskForgeSystem, int], Sent]


def run(options: Options) -> Report:
    """Measure every way in turn, as often as asked, and show each one's median."""
    jobs = options.jobs or DEFAULT_JOBS
    description = machine.describe()
    with open_postgres() as postgres:
        description |= postgres.description
        found: dict[str, list[Row]] = {}
        for _ in range(options.repeats):
            for name, (way, share) in WAYS.items():
                row = measure(postgres, name, way, max(jobs // share, 1))
                found.setdefault(name, []).append(row)
    rows = [median_row(rows, "jobs_per_second") for rows in found.values()]
    return Report(benchmark="enqueue", machine=description, rows=rows, notes=NOTES)


def measure(postgres: Postgres, name: str, way: Way, jobs: int) -> Row:
    """Measure one way once, in a database of its own, and count what is stored."""
    with TaskForgeContender(with_server=False).install(postgres) as system:
        postgres.settle()
        meter = CpuMeter({**postgres.parts, **system.parts})
        with meter.measure() as spent:
            began = time.perf_counter()
            sent = way(system, jobs)
            seconds = time.perf_counter() - began
        stored, distinct = count_stored(system.url)
    row: Row = {
        "way": name,
        "jobs": sent.jobs,
        "jobs_per_second": rate(sent.jobs, seconds),
        "jobs_per_core_second": None,
    }
    if postgres.postmaster_pid is not None:
        row["jobs_per_core_second"] = rate(sent.jobs, spent.total_seconds)
    row |= percentiles_ms(sent.durations_ns)
    row |= {"lost": sent.jobs - distinct, "doubled": stored - distinct}
    if postgres.postmaster_pid is not None:
        row |= dict(spent.per_job_us(sent.jobs))
    return row


def count_stored(url: str) -> tuple[int, int]:
    """Return how many jobs are ready with a body, and how many different payloads these have."""
    with connect(url) as connection:
        row = connection.execute(
            "select count(*), count(distinct payload)"
            " from taskforge.ready r join taskforge.job j on j.id = r.job_id"
        ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def single(system: TaskForgeSystem, jobs: int) -> Sent:
    """One caller, who waits for each job to be stored."""

    async def work() -> Sent:
        async with system.sender() as send:
            return await send_by(send, jobs, callers=1)

    return run_on_loop(work())


def fifty_callers(system: TaskForgeSystem, jobs: int) -> Sent:
    """Fifty callers at once, each waiting for its own."""

    async def work() -> Sent:
        async with system.sender() as send:
            return await send_by(send, jobs, callers=CALLERS)

    return run_on_loop(work())


async def send_by(send: SendOne, jobs: int, *, callers: int) -> Sent:
    """Send jobs numbered from 0 by so many callers, each with one call open at a time."""
    sent = Sent(jobs)
    numbers = iter(range(jobs))

    async def call() -> None:
        for number in numbers:
            began = time.perf_counter_ns()
            await send(number)
            sent.durations_ns.append(time.perf_counter_ns() - began)

    await asyncio.gather(*(call() for _ in range(callers)))
    return sent


def bulk(system: TaskForgeSystem, jobs: int) -> Sent:
    """All of them by one call."""
    system.enqueue_bulk(0, jobs)
    return Sent(jobs)


def within(system: TaskForgeSystem, jobs: int) -> Sent:
    """A transaction of the caller's for each job."""

    async def work() -> Sent:
        async with await psycopg.AsyncConnection.connect(system.url, autocommit=True) as connection:
            task = noop.within(connection)

            async def send(number: int) -> None:
                async with connection.transaction():
                    await task.aenqueue(number)

            return await send_by(send, jobs, callers=1)

    return run_on_loop(work())


def within_bulk(system: TaskForgeSystem, jobs: int) -> Sent:
    """All of them in one transaction of the caller's."""
    with system.app() as app, psycopg.connect(system.url) as connection:
        app.enqueue_many((noop.bind(number) for number in range(jobs)), within=connection)
    return Sent(jobs)


def sql_one(system: TaskForgeSystem, jobs: int) -> Sent:
    """A statement and a commit for each job."""
    sent = Sent(jobs)
    with connect(system.url) as connection:
        for number in range(jobs):
            began = time.perf_counter_ns()
            connection.execute(_SQL_ONE, (noop.name, number))
            sent.durations_ns.append(time.perf_counter_ns() - began)
    return sent


def sql_many(system: TaskForgeSystem, jobs: int) -> Sent:
    """A statement and a commit for each thousand."""
    with connect(system.url) as connection:
        for first in range(0, jobs, SQL_CHUNK):
            last = min(first + SQL_CHUNK, jobs) - 1
            connection.execute(_SQL_MANY, (noop.name, first, last))
    return Sent(jobs)


# What waits for a commit a job gets fewer of them.
WAYS: Final[dict[str, tuple[Way, int]]] = {
    "single": (single, 40),
    "callers_50": (fifty_callers, 4),
    "bulk": (bulk, 1),
    "within": (within, 40),
    "within_bulk": (within_bulk, 4),
    "sql": (sql_one, 40),
    "sql_bulk": (sql_many, 4),
}
