"""The whole loop over a source in memory: what becomes of each job, whatever its task does."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from taskforge_client.app import TaskForge
from taskforge_client.context import CurrentJob, current_job
from taskforge_client.control import Bury, Cancel, RetryIn, Snooze
from taskforge_client.retry import Retry
from taskforge_client.wire.jobs import EXPIRED
from taskforge_client.wire.states import JobState
from taskforge_client.wire.workers import Finished
from taskforge_client.worker import outcome
from taskforge_client.worker.drain import Grace
from taskforge_client.worker.settings import WorkerSettings
from taskforge_client.worker.worker import Worker
from tests.support.job_source import MemorySource
from tests.support.polling import wait_until_async

pytestmark = [pytest.mark.unit, pytest.mark.anyio]

QUICK = WorkerSettings(grace=Grace(soft_seconds=0.05, hard_seconds=0.1))


@pytest.fixture
def app() -> TaskForge:
    return TaskForge()


async def say(word: str) -> str:
    await anyio.lowlevel.checkpoint()
    return word


def payload(**arguments: Any) -> bytes:
    return msgspec.msgpack.encode(arguments)


@asynccontextmanager
async def working(
    app: TaskForge, source: MemorySource, settings: WorkerSettings | None = None
) -> AsyncIterator[Worker]:
    async with Worker(app, source, settings) as worker:
        yield worker


async def aeventually(what: Callable[[], object]) -> None:
    async def condition() -> object:
        return what()

    await wait_until_async(condition)


async def outcomes(
    app: TaskForge, source: MemorySource, number: int, settings: WorkerSettings | None = None
) -> list[Finished]:
    """Run a worker until `number` outcomes are recorded."""
    async with Worker(app, source, settings):
        await aeventually(lambda: len(source.finished) >= number)
    return source.finished


async def test_runs_an_async_task_and_records_its_result(
    app: TaskForge, source: MemorySource
) -> None:
    @app.task(name="double")
    async def double(n: int) -> int:
        return 2 * n

    numbers = [source.put("double", payload(n=n)) for n in range(700)]
    await outcomes(app, source, 700)
    found = {o.number: msgspec.msgpack.decode(o.result or b"") for o in source.finished}
    assert found == {number: 2 * n for n, number in enumerate(numbers)}
    assert {o.state for o in source.finished} == {JobState.SUCCEEDED}
    assert source.resigned
    assert not source.running


async def test_runs_a_plain_function_in_a_thread(app: TaskForge, source: MemorySource) -> None:
    @app.task(name="where")
    def where() -> str:
        return threading.current_thread().name

    for _ in range(30):
        source.put("where")
    found = await outcomes(app, source, 30)
    names = {msgspec.msgpack.decode(o.result or b"") for o in found}
    assert all(name.startswith("taskforge-thread") for name in names)


async def test_a_job_sees_itself_and_nothing_of_the_job_before(
    app: TaskForge, source: MemorySource
) -> None:
    leak: contextvars.ContextVar[int] = contextvars.ContextVar("leak", default=0)

    @app.task(name="look")
    async def look() -> list[Any]:
        before = leak.get()
        leak.set(1)
        if current_job().attempt > 0:
            await anyio.lowlevel.checkpoint()
        return [before, leak.get(), current_job().task, current_job().id]

    for _ in range(20):
        source.put("look")
    found = await outcomes(app, source, 20)
    results = [msgspec.msgpack.decode(o.result or b"") for o in found]
    assert {tuple(r[:3]) for r in results} == {(0, 1, "look")}
    assert len({r[3] for r in results}) == 20


async def test_timeouts_groups_and_scopes_inside_a_task_work_as_in_any_task(
    app: TaskForge, source: MemorySource
) -> None:
    @app.task(name="careful")
    async def careful() -> list[object]:
        seen: list[object] = []
        task = asyncio.current_task()
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            seen.append("timeout")
        with anyio.move_on_after(0.01) as scope:
            await anyio.Event().wait()
        seen.append(scope.cancelled_caught)
        async with asyncio.TaskGroup() as group:
            child = group.create_task(say("child"))
        seen.append(child.result())
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(anyio.lowlevel.checkpoint)
        seen.append(asyncio.current_task() is task)
        return seen

    for _ in range(5):
        source.put("careful")
    found = await outcomes(app, source, 5)
    for ended in found:
        assert msgspec.msgpack.decode(ended.result or b"") == ["timeout", True, "child", True]


async def test_a_task_that_cancels_itself_harms_no_other(
    app: TaskForge, source: MemorySource
) -> None:
    @app.task(name="selfish", retry=Retry.never())
    async def selfish() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    @app.task(name="patient")
    async def patient() -> str:
        await anyio.lowlevel.checkpoint()
        return "done"

    for _ in range(10):
        source.put("selfish")
        source.put("patient")
    found = await outcomes(app, source, 20)
    assert [o.state for o in found] == [JobState.SUCCEEDED] * 20


async def test_steering(app: TaskForge, source: MemorySource) -> None:
    @app.task(name="steer")
    async def steer(how: str) -> None:
        raise {
            "retry": RetryIn(7),
            "snooze": Snooze(8),
            "cancel": Cancel("no need"),
            "bury": Bury("hopeless"),
        }[how]

    numbers = {
        how: source.put("steer", payload(how=how)) for how in ("retry", "snooze", "cancel", "bury")
    }
    await outcomes(app, source, 4)
    retried, snoozed, cancelled, buried = (source.outcome(n) for n in numbers.values())
    assert (retried.state, retried.delay_seconds, retried.burns_attempt) == (
        JobState.SCHEDULED,
        7.0,
        True,
    )
    assert (snoozed.state, snoozed.delay_seconds, snoozed.burns_attempt) == (
        JobState.SCHEDULED,
        8.0,
        False,
    )
    assert (cancelled.state, cancelled.reason) == (JobState.CANCELLED, "no need")
    assert (buried.state, buried.reason) == (JobState.DEAD, "hopeless")


async def test_jobs_that_cannot_run_block_nobody(app: TaskForge, source: MemorySource) -> None:
    @app.task(name="typed")
    async def typed(n: int) -> int:
        return n

    unknown = source.put("nobody:knows")
    garbled = source.put("typed", b"\xc1")
    misfit = source.put("typed", payload(n="seven"))
    late = source.put("typed", payload(n=1), expired=True)
    good = source.put("typed", payload(n=1))
    old_unknown = source.put("nobody:knows")
    source.ready[-1].attempt = outcome.UNKNOWN_TASK_ATTEMPTS - 1
    await outcomes(app, source, 6)
    assert source.outcome(unknown).state is JobState.SCHEDULED
    assert source.outcome(old_unknown).state is JobState.DEAD
    assert source.outcome(old_unknown).reason == outcome.UNKNOWN_TASK
    for number in (garbled, misfit):
        assert source.outcome(number).state is JobState.DEAD
        assert source.outcome(number).reason == outcome.UNDECODABLE_ARGUMENTS
    assert (source.outcome(late).state, source.outcome(late).reason) == (
        JobState.CANCELLED,
        EXPIRED,
    )
    assert source.outcome(good).state is JobState.SUCCEEDED


async def test_a_result_that_cannot_be_kept_fails_at_once(
    app: TaskForge, source: MemorySource
) -> None:
    @app.task(name="large")
    async def large() -> bytes:
        return bytes(5_000_000)

    @app.task(name="odd")
    async def odd() -> object:
        return object()

    @app.task(name="dropped", store_result=False)
    async def dropped() -> object:
        return object()

    numbers = [source.put(name) for name in ("large", "odd", "dropped")]
    await outcomes(app, source, 3)
    too_large, unencodable, kept_not = (source.outcome(n) for n in numbers)
    assert (too_large.state, too_large.reason) == (JobState.DEAD, outcome.RESULT_TOO_LARGE)
    assert (unencodable.state, unencodable.reason) == (JobState.DEAD, outcome.UNENCODABLE_RESULT)
    assert (kept_not.state, kept_not.result) == (JobState.SUCCEEDED, None)


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
