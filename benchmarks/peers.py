"""TaskForge beside other queues, each in its fastest documented settings, in turn in one run.

A peer that is not installed is left out, and the report says how to install it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from benchmarks import machine
from benchmarks.arguments import Options
from benchmarks.contenders.base import Contender, System
from benchmarks.contenders.celery import CeleryContender
from benchmarks.contenders.graphile_worker import GraphileWorkerContender
from benchmarks.contenders.pgqueuer import PgQueuerContender
from benchmarks.contenders.procrastinate import ProcrastinateContender
from benchmarks.contenders.taskforge import TaskForgeContender
from benchmarks.crew import BenchmarkFailed
from benchmarks.database import Postgres, open_postgres
from benchmarks.enqueue import CALLERS, Sent, send_by
from benchmarks.event_loop import run_on_loop
from benchmarks.figures import Row, median_row, percentiles_ms, rate, ratio
from benchmarks.latency import idle
from benchmarks.life import live
from benchmarks.processor_time import CpuMeter
from benchmarks.report import Report
from benchmarks.stopwatch import Stopwatch

DEFAULT_JOBS: Final = 100_000
# Of the jobs of a lifecycle: sent by single calls, and timed for latency.
SINGLE_SHARE: Final = 10
LATENCY_SHARE: Final = 250
_LIFE_KEYS: Final = ("jobs", "jobs_per_second", "jobs_per_core_second", "lost", "doubled")
# What each measurement is compared by; the first that both know. Of latency less is better.
LATENCY: Final = "latency"
_COMPARED: Final = {LATENCY: ("p95_ms",)}
_RATES: Final = ("jobs_per_core_second", "jobs_per_second")

Measurement = Callable[[Postgres, System, int, int], Row]


def run(options: Options) -> Report:
    """Measure everything that is installed, in turn, as often as asked."""
    jobs = options.jobs or DEFAULT_JOBS
    workers = options.workers or 1
    description = machine.describe()
    present, notes = installed(chosen(options.only))
    with open_postgres() as postgres:
        description |= postgres.description
        found: dict[tuple[str, str], list[Row]] = {}
        for _ in range(options.repeats):
            for measurement, measure in MEASUREMENTS.items():
                for contender in present:
                    count = count_for(measurement, contender, jobs)
                    row = named(postgres, contender, measure, count, workers)
                    found.setdefault((measurement, contender.name), []).append(row)
    rows = [
        {"measurement": measurement, "system": name, **median_row(rows, key_of(measurement))}
        for (measurement, name), rows in found.items()
    ]
    notes += [f"{contender.name}: {contender.settings}" for contender in present]
    return Report(
        benchmark="peers",
        machine=description,
        rows=with_ratios(rows),
        notes=("ratio: how many times better TaskForge is in the same run.", *notes),
    )


def contenders() -> Sequence[Contender]:
    """Return TaskForge and its peers."""
    return (
        TaskForgeContender(),
        PgQueuerContender(),
        ProcrastinateContender(),
        CeleryContender(),
        GraphileWorkerContender(),
    )


def chosen(only: Sequence[str]) -> Sequence[Contender]:
    """Return TaskForge and the peers asked for by the start of their names; all without names.

    Raises:
        BenchmarkFailed: a name fits none.
    """
    known = contenders()
    for name in only:
        if not any(contender.name.startswith(name) for contender in known):
            names = ", ".join(contender.name.split()[0] for contender in known)
            raise BenchmarkFailed(f"there is no peer {name!r}; there are {names}")
    first, *peers = known
    return [first, *(peer for peer in peers if not only or peer.name.startswith(tuple(only)))]


def installed(wanted: Iterable[Contender]) -> tuple[list[Contender], list[str]]:
    """Return those that can run, and for each of the others what is missing."""
    present, notes = [], []
    for contender in wanted:
        missing = contender.missing()
        if missing is None:
            present.append(contender)
        else:
            notes.append(f"left out {contender.name.split()[0]}: {missing}")
    return present, notes


def named(
    postgres: Postgres, contender: Contender, measure: Measurement, jobs: int, workers: int
) -> Row:
    """Measure once; a failure says whose it was."""
    try:
        with contender.install(postgres) as system:
            return measure(postgres, system, jobs, workers)
    except BenchmarkFailed as failure:
        raise BenchmarkFailed(f"{contender.name}: {failure}") from failure


def count_for(measurement: str, contender: Contender, jobs: int) -> int:
    """Return how many jobs a system gets: fewer where a slow one would take minutes."""
    if measurement == LATENCY:
        return max(jobs // LATENCY_SHARE, 1)
    return max(int(jobs * contender.share), 1)


def life_cold(postgres: Postgres, system: System, jobs: int, workers: int) -> Row:
    """Whole lives on brand-new tables."""
    return life_row(postgres, system, jobs=jobs, workers=workers, analysed=False)


def life_analysed(postgres: Postgres, system: System, jobs: int, workers: int) -> Row:
    """Whole lives on vacuumed and analysed tables."""
    return life_row(postgres, system, jobs=jobs, workers=workers, analysed=True)


def life_row(postgres: Postgres, system: System, *, jobs: int, workers: int, analysed: bool) -> Row:
    """Return the figures of whole lives that all systems have."""
    life = live(postgres, system, jobs=jobs, workers=workers, analysed=analysed)
    row = life.row(is_cpu_known=postgres.postmaster_pid is not None)
    return {"workers": workers, "analysed": analysed, **{key: row[key] for key in _LIFE_KEYS}}


def enqueue_bulk(postgres: Postgres, system: System, jobs: int, _workers: int) -> Row:
    """Send in the fastest way for many."""
    return sent_row(postgres, system, jobs, _bulk)


def enqueue_fifty(postgres: Postgres, system: System, jobs: int, _workers: int) -> Row:
    """Send by fifty callers at once."""
    return sent_row(postgres, system, max(jobs // SINGLE_SHARE, CALLERS), _fifty)


def _bulk(system: System, jobs: int) -> Sent:
    system.enqueue_bulk(0, jobs)
    return Sent(jobs)


def _fifty(system: System, jobs: int) -> Sent:
    async def work() -> Sent:
        async with system.sender() as send:
            return await send_by(send, jobs, callers=CALLERS)

    return run_on_loop(work())


def sent_row(
    postgres: Postgres, system: System, jobs: int, way: Callable[[System, int], Sent]
) -> Row:
    """Return the figures of sending; whoever has jobs missing afterwards has lost them."""
    postgres.settle()
    meter = CpuMeter({**postgres.parts, **system.parts})
    with meter.measure() as spent, Stopwatch() as watch:
        sent = way(system, jobs)
    is_cpu_known = postgres.postmaster_pid is not None
    waiting = system.unfinished()
    return {
        "jobs": jobs,
        "jobs_per_second": rate(jobs, watch.seconds),
        "jobs_per_core_second": rate(jobs, spent.total_seconds) if is_cpu_known else None,
        "lost": max(jobs - waiting, 0),
        "doubled": max(waiting - jobs, 0),
        **{key: value for key, value in percentiles_ms(sent.durations_ns).items() if value},
    }


def idle_latency(_postgres: Postgres, system: System, jobs: int, workers: int) -> Row:
    """From the call of enqueue to the task's first line, with nothing else to do."""
    return idle(system, jobs=jobs, workers=workers)


MEASUREMENTS: Final[dict[str, Measurement]] = {
    "lifecycle": life_cold,
    "lifecycle, analysed": life_analysed,
    "enqueue in bulk": enqueue_bulk,
    f"enqueue, {CALLERS} callers": enqueue_fifty,
    LATENCY: idle_latency,
}


def key_of(measurement: str) -> str:
    """Return the key whose median is shown."""
    return _COMPARED.get(measurement, _RATES)[0]


def with_ratios(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with the ratio of TaskForge, the first of each measurement, to each."""
    ours: dict[object, Row] = {}
    compared = []
    for row in rows:
        first = ours.setdefault(row["measurement"], row)
        compared.append({**row, "ratio": times_better(first, row)})
    return compared


def times_better(ours: Row, theirs: Row) -> float | None:
    """Return how many times better the first row is, by the first figure that both have."""
    measurement = str(ours["measurement"])
    for key in _COMPARED.get(measurement, _RATES):
        one, other = ours.get(key), theirs.get(key)
        if isinstance(one, int | float) and isinstance(other, int | float):
            return ratio(other, one) if measurement in _COMPARED else ratio(one, other)
    return None
