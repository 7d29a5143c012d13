"""Child processes: real ones, crashing and hanging; the jobs come from a source in memory."""

import os
from collections.abc import Callable
from typing import Any

import msgspec
import psutil
import pytest
from attrs import evolve

from taskforge_client.wire.states import JobState
from taskforge_client.worker import outcome
from taskforge_client.worker.settings import ChildLimits, WorkerSettings
from taskforge_client.worker.worker import Worker
from tests.support.job_source import MemorySource
from tests.support.polling import wait_until_async
from tests.support.worker_app import app

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]
SETTINGS = WorkerSettings(app_path="tests.support.worker_app:app", children=2)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def source() -> MemorySource:
    return MemorySource()


async def aeventually(what: Callable[[], object]) -> None:
    async def condition() -> object:
        return what()

    await wait_until_async(condition, 30)


async def finished(source: MemorySource, number: int, settings: WorkerSettings = SETTINGS) -> None:
    async with Worker(app, source, settings):
        await aeventually(lambda: len(source.finished) >= number)


def result(source: MemorySource, number: int) -> Any:
    encoded = source.outcome(number).result
    assert encoded is not None
    return msgspec.msgpack.decode(encoded)


async def test_a_child_is_warm_has_its_own_resources_and_leaves_with_its_worker(
    source: MemorySource,
) -> None:
    numbers = [source.put("where") for _ in range(8)]
    await finished(source, 8)
    found = [result(source, number) for number in numbers]
    processes = {process for process, _marker in found}
    assert os.getpid() not in processes
    assert len(processes) <= 2
    assert all(marker == f"opened in {process}" for process, marker in found)
    assert not any(psutil.pid_exists(process) for process in processes)


async def test_what_a_child_reports_logs_and_spawns_arrives(source: MemorySource) -> None:
    number = source.put("report")
    failing = source.put("fail")
    on_loop = source.put("async_in_process")
    await finished(source, 3)
    reported = source.outcome(number)
    assert reported.state is JobState.SUCCEEDED
    assert reported.log == "INFO at work"
    assert [job.task for job in reported.spawned] == ["noop"]  # type: ignore[attr-defined]
    failed = source.outcome(failing)
    assert (failed.state, failed.delay_seconds) == (JobState.SCHEDULED, 9.0)
    assert failed.error is not None
    assert failed.error.type == "ValueError"
    assert "worker_app.py" in failed.error.traceback
    assert "taskforge_client/worker" not in failed.error.traceback
    assert result(source, on_loop) != os.getpid()


@pytest.mark.fault
@pytest.mark.parametrize("task,how", [("segfault", "SIGSEGV"), ("leave", "status 3")])
async def test_f8_a_crash_ends_one_attempt_and_in_the_end_the_job(
    source: MemorySource, task: str, how: str
) -> None:
    first = source.put(task, max_attempts=2)
    last = source.put(task, max_attempts=2)
    source.ready[-1].attempt = 1
    neighbour = source.put("tick", msgspec.msgpack.encode({"seconds": 1.0}))
    await finished(source, 3)
    once = source.outcome(first)
    assert (once.state, once.reason) == (JobState.SCHEDULED, outcome.WORKER_CRASHED)
    assert once.burns_attempt
    assert once.error is not None
    assert how in once.error.message
    assert source.outcome(last).state is JobState.DEAD
    assert source.outcome(last).reason == outcome.WORKER_CRASHED
    assert source.outcome(neighbour).state is JobState.SUCCEEDED


@pytest.mark.fault
@pytest.mark.parametrize("task", ["hang", "hang_in_c"])
async def test_f7_what_hangs_is_dead_within_5_seconds_of_its_deadline(
    source: MemorySource, task: str
) -> None:
    settings = evolve(SETTINGS, children=1)
    hanging = source.put(task, timeout_seconds=0.5, max_attempts=2)
    after = source.put("where")
    beside = source.put("tick", msgspec.msgpack.encode({"seconds": 2.0}))
    await finished(source, 3, settings)
    hung = source.outcome(hanging)
    assert (hung.state, hung.reason) == (JobState.SCHEDULED, outcome.TIMEOUT)
    assert hung.burns_attempt
    assert hung.duration_us < 5_500_000
    assert source.outcome(after).state is JobState.SUCCEEDED
    assert result(source, beside) > 50


async def test_a_running_child_is_told_of_a_cancellation(
    source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskforge_client.worker.heartbeat.RENEW_SECONDS", 0.05)
    number = source.put("wait_for_cancel")
    source.cancelled = {number: "enough"}
    await finished(source, 1)
    assert source.outcome(number).state is JobState.CANCELLED
    assert source.outcome(number).reason == "enough"


@pytest.mark.fault
async def test_f9_a_child_is_replaced_between_jobs_by_count_and_by_size(
    source: MemorySource,
) -> None:
    by_count = evolve(SETTINGS, children=1, child_limits=ChildLimits(jobs=2))
    numbers = [source.put("where") for _ in range(6)]
    await finished(source, 6, by_count)
    processes = [result(source, number)[0] for number in numbers]
    assert [processes.count(process) for process in dict.fromkeys(processes)] == [2, 2, 2]

    by_size = evolve(SETTINGS, children=1, child_limits=ChildLimits(memory_mib=300))
    payload = msgspec.msgpack.encode({"mib": 150})
    leaks = [source.put("leak", payload) for _ in range(4)]
    await finished(source, 10, by_size)
    leaking = [result(source, number) for number in leaks]
    assert len(set(leaking)) == 2
    assert all(source.outcome(number).state is JobState.SUCCEEDED for number in leaks)
