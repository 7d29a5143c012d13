"""The whole loop over a source in memory: what stops a job, a lease or the worker itself."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator

import anyio
import msgspec
import pytest

from taskforge_client.app import TaskForge
from taskforge_client.context import CurrentJob, current_job
from taskforge_client.retry import Retry
from taskforge_client.wire.states import JobState
from taskforge_client.worker import outcome
from taskforge_client.worker.drain import Grace
from taskforge_client.worker.settings import WorkerSettings
from taskforge_client.worker.worker import Worker
from tests.support.job_source import MemorySource
from tests.support.worker_loop import aeventually, outcomes, payload, working

pytestmark = [pytest.mark.unit, pytest.mark.anyio]

QUICK = WorkerSettings(grace=Grace(soft_seconds=0.05, hard_seconds=0.1))


@pytest.fixture
def app() -> TaskForge:
    return TaskForge()


async def test_what_overruns_is_stopped_and_its_slot_is_back(
    app: TaskForge, source: MemorySource
) -> None:
    release = threading.Event()

    @app.task(name="slow", retry=Retry.fixed(first=3, jitter=0))
    async def slow() -> None:
        await asyncio.Event().wait()

    @app.task(name="busy", retry=Retry.never(), dead_letters=False)
    def busy() -> None:
        while not release.is_set():
            pass

    first = source.put("slow", timeout_seconds=0.02)
    second = source.put("busy", timeout_seconds=0.02, max_attempts=1)
    third = source.put("slow", timeout_seconds=0.02)
    try:
        await outcomes(app, source, 3, WorkerSettings(concurrency=1, threads=1))
    finally:
        release.set()
    for number in (first, third):
        ended = source.outcome(number)
        assert (ended.state, ended.reason, ended.delay_seconds) == (
            JobState.SCHEDULED,
            "timeout",
            3.0,
        )
        assert ended.burns_attempt
    assert source.outcome(second).state is JobState.FAILED
    assert not source.running


async def test_a_task_that_swallows_its_cancellation_is_given_up(
    app: TaskForge, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskforge_client.worker.deadlines.GRACE_SECONDS", 0.02)
    release = asyncio.Event()
    ended_at_last = []

    @app.task(name="deaf")
    async def deaf() -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        ended_at_last.append(True)
        return "late"

    @app.task(name="next")
    async def following() -> str:
        return "ran"

    number = source.put("deaf", timeout_seconds=0.02)
    try:
        async with working(app, source, WorkerSettings(concurrency=1, grace=QUICK.grace)):
            await aeventually(lambda: source.finished)
            then = source.put("next")
            await aeventually(lambda: len(source.finished) == 2)
            release.set()
            await aeventually(lambda: ended_at_last)
    finally:
        release.set()
    assert source.outcome(number).reason == "timeout"
    assert source.outcome(then).state is JobState.SUCCEEDED
    assert not source.lost


async def test_a_running_job_is_cancelled_by_the_heartbeats_answer(
    app: TaskForge, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskforge_client.worker.heartbeat.RENEW_SECONDS", 0.02)

    @app.task(name="endless")
    async def endless() -> None:
        await asyncio.Event().wait()

    @app.task(name="polite")
    def polite() -> None:
        current_job().progress(1, 2, "half")
        while True:
            current_job().raise_if_cancelled()

    numbers = [source.put("endless"), source.put("polite")]
    async with working(app, source):
        await aeventually(lambda: any(beat.progress for beat in source.beats))
        source.cancelled = dict.fromkeys(numbers, "changed my mind")
        await aeventually(lambda: len(source.finished) == 2)
    for number in numbers:
        ended = source.outcome(number)
        assert (ended.state, ended.reason) == (JobState.CANCELLED, "changed my mind")
    (reported,) = [beat.progress for beat in source.beats if beat.progress]
    assert reported[numbers[1]].note == "half"


async def test_a_drain_gives_back_what_has_not_started_and_stops_the_rest(
    app: TaskForge, source: MemorySource
) -> None:
    @app.task(name="endless")
    async def endless() -> None:
        await asyncio.Event().wait()

    @app.task(name="limited", concurrency=1)
    async def limited() -> None:
        await asyncio.Event().wait()

    running = source.put("endless")
    held = [source.put("limited") for _ in range(5)]
    settings = WorkerSettings(concurrency=50, grace=QUICK.grace)
    async with working(app, source, settings):
        await aeventually(lambda: len(source.running) == 6)
    assert sorted(source.released) == held[1:]
    for number in (running, held[0]):
        ended = source.outcome(number)
        assert (ended.state, ended.burns_attempt) == (JobState.SCHEDULED, False)
        assert ended.reason == outcome.WORKER_DRAINED
    assert source.resigned


async def test_a_lost_lease_stops_everything_and_begins_anew(
    app: TaskForge, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskforge_client.worker.heartbeat.RENEW_SECONDS", 0.02)
    stopped = []

    @app.task(name="long")
    async def long() -> str:
        if current_job().attempt > 1:
            return "second"
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(True)
        return "first"

    number = source.put("long")
    async with working(app, source):
        await aeventually(lambda: number in source.running)
        source.take_back(number)
        source.lease_lost = True
        await aeventually(lambda: source.finished)
    assert stopped
    assert not source.lost  # what the first attempt came to was not even sent
    assert len(source.registrations) == 2
    assert source.registrations[0].incarnation != source.registrations[1].incarnation
    assert msgspec.msgpack.decode(source.outcome(number).result or b"") == "second"


async def test_an_unreachable_source_loses_no_outcome(app: TaskForge, source: MemorySource) -> None:
    @app.task(name="ok")
    async def ok() -> None:
        source.unreachable = 3

    numbers = [source.put("ok") for _ in range(5)]
    await outcomes(app, source, 5)
    assert sorted(o.number for o in source.finished) == numbers


async def test_one_outcome_the_source_cannot_take_holds_up_no_other(
    app: TaskForge, source: MemorySource
) -> None:
    @app.task(name="echo")
    async def echo(n: int) -> int:
        return n

    numbers = [source.put("echo", payload(n=n)) for n in range(20)]
    source.refuse_results = {msgspec.msgpack.encode(7)}
    await outcomes(app, source, 20)
    assert source.outcome(numbers[7]).state is JobState.DEAD
    assert sum(o.state is JobState.SUCCEEDED for o in source.finished) == 19


async def test_resources_open_once_and_hooks_go_round_each_attempt(
    app: TaskForge, source: MemorySource
) -> None:
    steps: list[str] = []

    @app.resource
    async def pool() -> AsyncGenerator[str, None]:
        steps.append("open")
        yield "a pool"
        steps.append("close")

    @app.around
    def timed(job: CurrentJob) -> Generator[None, None, None]:
        steps.append(f"before {job.task}")
        yield
        steps.append("after")

    @app.task(name="use")
    async def use() -> str:
        return pool.get()

    @app.task(name="plain")
    def plain() -> str:
        return pool.get()

    source.put("use")
    await outcomes(app, source, 1)
    assert steps == ["open", "before use", "after", "close"]
    source.put("plain")
    await outcomes(app, source, 2)
    assert {o.result for o in source.finished} == {msgspec.msgpack.encode("a pool")}


async def test_concurrency_of_a_task_holds(app: TaskForge, source: MemorySource) -> None:
    at_once = 0
    most = 0

    @app.task(name="narrow", concurrency=3)
    async def narrow() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await anyio.lowlevel.checkpoint()
        at_once -= 1

    for _ in range(100):
        source.put("narrow")
    await outcomes(app, source, 100)
    assert most == 3


async def test_a_drain_request_that_comes_with_every_heartbeat_is_no_haste(
    app: TaskForge, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskforge_client.worker.heartbeat.RENEW_SECONDS", 0.01)
    may_end = asyncio.Event()

    @app.task(name="long")
    async def long() -> str:
        await may_end.wait()
        return "done"

    number = source.put("long")
    async with working(app, source) as worker:
        await aeventually(lambda: number in source.running)
        source.drain = True
        beats = len(source.beats)
        await aeventually(lambda: len(source.beats) > beats + 5)
        assert not source.finished
        may_end.set()
        await aeventually(lambda: source.resigned)
        assert not worker.is_worn
    assert source.outcome(number).state is JobState.SUCCEEDED


async def test_a_defect_of_the_workers_own_ends_it_instead_of_leaving_half_of_it(
    app: TaskForge, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: object, _unstarted: int) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("taskforge_client.worker.pool.Slots.room", broken)
    with pytest.raises(ZeroDivisionError):
        await Worker(app, source).run()
