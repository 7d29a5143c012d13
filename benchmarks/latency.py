"""From the call of enqueue to the task's first line, in another process; idle and at half load."""

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from attrs import define, field

from benchmarks import machine
from benchmarks.arguments import Options
from benchmarks.contenders.base import SendOne, System
from benchmarks.contenders.taskforge import TaskForgeContender
from benchmarks.crew import BenchmarkFailed, Crew, start_crew
from benchmarks.database import Postgres, open_postgres
from benchmarks.enqueue import CALLERS, send_by
from benchmarks.event_loop import run_on_loop
from benchmarks.figures import Row, percentiles_ms, rate
from benchmarks.life import faults
from benchmarks.report import Report
from benchmarks.run_record import Runs

DEFAULT_JOBS: Final = 1_000
# Half load needs enough jobs that its own start and end don't show.
HALF_LOAD_FACTOR: Final = 20
CALIBRATION_FACTOR: Final = 10
# Pauses between idle jobs: longer than the doorbell's 20 ms, and random so that nothing that
# polls is met in step.
SHORTEST_PAUSE_SECONDS: Final = 0.03
LONGEST_PAUSE_SECONDS: Final = 0.08
# Arrivals at half load are drawn for such a slice of time; fine beside the milliseconds measured.
_SLICE_SECONDS: Final = 0.001
_WARM_UP_JOBS: Final = 50
NOTES: Final = (
    "idle: one job at a time, with pauses. half: single sends at random moments, at half the rate",
    f"that {CALLERS} callers and the workers together reach on this machine.",
)


@define(eq=False)
class Calls:
    """When each job's enqueue was called, on the clock that worker processes share."""

    called_ns: dict[int, int] = field(factory=dict)
    next_number: int = 0

    async def send(self, send: SendOne) -> None:
        """Send the next job."""
        number = self.next_number
        self.next_number += 1
        self.called_ns[number] = time.monotonic_ns()
        await send(number)


def run(options: Options) -> Report:
    """Measure both loads with one or as many worker processes as asked."""
    jobs = options.jobs or DEFAULT_JOBS
    workers = options.workers or 1
    description = machine.describe()
    with open_postgres() as postgres:
        description |= postgres.description
        rows = [
            measure_idle(postgres, TaskForgeContender(), jobs=jobs, workers=workers),
            measure_half_load(postgres, jobs=jobs, workers=workers),
        ]
    return Report(benchmark="latency", machine=description, rows=rows, notes=NOTES)


def measure_idle(
    postgres: Postgres, contender: TaskForgeContender, *, jobs: int, workers: int
) -> Row:
    """Measure a system with nothing else to do."""
    with contender.install(postgres) as system:
        return {"load": "idle", "workers": workers, **idle(system, jobs=jobs, workers=workers)}


def idle(system: System, *, jobs: int, workers: int) -> Row:
    """Send one job at a time, wait a little, and return the percentiles."""
    with working(system, workers) as crew:
        calls = Calls()
        began = time.perf_counter()
        run_on_loop(send_with_pauses(system, calls, _WARM_UP_JOBS + jobs))
        seconds = time.perf_counter() - began
        runs = finish(crew, calls)
    return figures(system, runs, calls, leaving_out=_WARM_UP_JOBS, seconds=seconds)


async def send_with_pauses(system: System, calls: Calls, jobs: int) -> None:
    """Send jobs one after the other, pausing a random while after each."""
    async with system.sender() as send:
        for _ in range(jobs):
            await calls.send(send)
            await asyncio.sleep(random.uniform(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))  # noqa: S311 - no secret


def measure_half_load(postgres: Postgres, *, jobs: int, workers: int) -> Row:
    """Find the rate that single sends and the workers reach together, then offer half of it."""
    with TaskForgeContender().install(postgres) as system, working(system, workers) as crew:
        calls = Calls()
        began = time.perf_counter()
        run_on_loop(saturate(system, calls, jobs * CALIBRATION_FACTOR))
        wait_for(crew, calls)
        offered = calls.next_number / (time.perf_counter() - began) / 2
        warm = calls.next_number
        began = time.perf_counter()
        run_on_loop(send_at_rate(system, calls, jobs * HALF_LOAD_FACTOR, offered))
        seconds = time.perf_counter() - began
        runs = finish(crew, calls)
        row = figures(system, runs, calls, leaving_out=warm, seconds=seconds)
    return {"load": "half", "workers": workers, **row}


async def saturate(system: System, calls: Calls, jobs: int) -> None:
    """Send by fifty callers as fast as they are answered."""
    async with system.sender() as send:
        await send_by(lambda _number: calls.send(send), jobs, callers=CALLERS)


async def send_at_rate(system: System, calls: Calls, jobs: int, per_second: float) -> None:
    """Send jobs on their own at random moments (a Poisson process) of a mean rate."""
    async with system.sender() as send, asyncio.TaskGroup() as group:
        due = asyncio.get_running_loop().time()
        for _ in range(jobs):
            due += random.expovariate(per_second)
            left = due - asyncio.get_running_loop().time()
            if left > _SLICE_SECONDS / 2:
                await asyncio.sleep(left)
            group.create_task(calls.send(send))


@contextmanager
def working(system: System, workers: int) -> Iterator[Crew]:
    """Worker processes that run."""
    with start_crew(system.worker, workers) as crew:
        crew.go()
        yield crew


def wait_for(crew: Crew, calls: Calls) -> None:
    """Wait until everything sent has run.

    Raises:
        BenchmarkFailed: it doesn't.
    """
    if not crew.wait_until_ran(calls.next_number):
        raise BenchmarkFailed(f"only {crew.ran:,} of {calls.next_number:,} jobs ran")


def finish(crew: Crew, calls: Calls) -> Runs:
    """Wait until everything sent has run, let the workers leave, return what the tasks noted."""
    wait_for(crew, calls)
    return crew.stop()


def figures(system: System, runs: Runs, calls: Calls, *, leaving_out: int, seconds: float) -> Row:
    """Return percentiles over all jobs but the first few, and what was lost or doubled of all."""
    started_ns = runs.first_start_ns()
    durations_ns = [
        started_ns[number] - called_ns
        for number, called_ns in calls.called_ns.items()
        if number >= leaving_out and number in started_ns
    ]
    lost, doubled = faults(system, runs, range(calls.next_number))
    return {
        "jobs": len(durations_ns),
        "jobs_per_second": rate(len(durations_ns), seconds),
        **percentiles_ms(durations_ns),
        "lost": lost,
        "doubled": doubled,
    }
