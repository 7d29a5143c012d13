"""The whole loop over a source in memory: what becomes of each job, whatever its task does."""

import asyncio
import contextvars
import threading
from typing import Any

import anyio
import msgspec
import pytest

from taskforge_client.app import TaskForge
from taskforge_client.context import current_job
from taskforge_client.control import Bury, Cancel, RetryIn, Snooze
from taskforge_client.retry import Retry
from taskforge_client.wire.jobs import EXPIRED
from taskforge_client.wire.states import JobState
from taskforge_client.worker import outcome
from taskforge_client.worker.drain import Grace
from taskforge_client.worker.settings import WorkerSettings
from tests.support.job_source import MemorySource
from tests.support.worker_loop import outcomes, payload, say

pytestmark = [pytest.mark.unit, pytest.mark.anyio]

QUICK = WorkerSettings(grace=Grace(soft_seconds=0.05, hard_seconds=0.1))


@pytest.fixture
def app() -> TaskForge:
    return TaskForge()


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
