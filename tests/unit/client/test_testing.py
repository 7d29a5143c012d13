from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest

from taskforge_client import (
    Bury,
    Cancel,
    Retry,
    RetryIn,
    Snooze,
    TaskForge,
    current_job,
    task,
)
from taskforge_client.errors import (
    Conflict,
    InvalidRequest,
    JobCancelled,
    JobDead,
    JobFailed,
    KeyReused,
    NotFound,
    ResultTimeout,
    UseAwait,
)
from taskforge_client.testing import Recorded, arun_now, run_now
from taskforge_client.wire.states import JobState

pytestmark = pytest.mark.unit
app = TaskForge()


@dataclass
class Receipt:
    order_id: int
    attempt: int


@app.task(queue="shop", retry=Retry.exponential(attempts=3, first=3600))
def charge(order_id: int, *, fail_until: int = 1) -> Receipt:
    job = current_job()
    if job.attempt < fail_until:
        raise ConnectionError(f"attempt {job.attempt}")
    return Receipt(order_id, job.attempt)


@app.task(dead_letters=False, retry=Retry.fixed(attempts=2, on=OSError))
async def steer(how: str) -> str:
    job = current_job()
    match how:
        case "cancel":
            raise Cancel("not wanted")
        case "bury":
            raise Bury("hopeless")
        case "again" if job.attempt == 1:
            raise RetryIn(3600)
        case "for ever":
            raise Snooze(3600)
        case "odd":
            raise KeyError(how)
        case "spawn":
            job.spawn(charge.bind(7), charge.bind(8))
    return f"{how} at {job.attempt}"


@app.task(retry=Retry.never())
def return_nonsense() -> object:
    return object()


# -- recorded ----------------------------------------------------------------------------------


def test_what_was_sent_is_recorded(recorded: Recorded) -> None:
    handle = charge.enqueue(42)
    charge.using(priority=3, key="k").enqueue(order_id=43, fail_until=2)
    assert recorded.sent(charge, order_id=42)
    assert recorded.sent(charge, order_id=43, fail_until=2)[0].job.options.priority == 3
    assert not recorded.sent(charge, order_id=42, fail_until=2)
    assert not recorded.sent(steer)
    assert recorded.jobs[0].id == handle.id
    assert len(recorded.sent(charge)) == 2


def test_every_way_of_sending_is_recorded(recorded: Recorded) -> None:
    app.enqueue_many(charge.bind(number) for number in range(3_000))
    charge.within(object()).enqueue(1)
    charge.bind(2).enqueue(within=object())
    app.enqueue_many([charge.bind(3)], within=object())
    app.named("billing:charge").enqueue(amount=1)
    assert len(recorded.jobs) == 3_004


async def test_awaited_sends_are_recorded(recorded: Recorded) -> None:
    handle = await charge.aenqueue(1)
    await app.aenqueue_many(charge.bind(number) for number in range(3))
    await charge.within(object()).aenqueue(1)
    await app.aenqueue_many([charge.bind(3)], within=object())
    assert (await handle.aview()).task == charge.name
    assert len(recorded.jobs) == 6
    with pytest.raises(UseAwait):
        charge.enqueue(1)
    with pytest.raises(UseAwait):
        app.enqueue_many([])
    await app.aclose()


def test_handles_of_recorded_jobs_answer(recorded: Recorded) -> None:
    handle = charge.using(tags=["red"], meta={"who": "me"}).enqueue(1)
    view = handle.view()
    assert (view.state, view.queue, view.max_attempts) == (JobState.READY, "shop", 3)
    with pytest.raises(ResultTimeout, match="only recorded"):
        handle.result(timeout=60)
    with pytest.raises(Conflict):
        handle.retry()
    handle.cancel("enough")
    assert handle.cancel("again").state is JobState.CANCELLED
    with pytest.raises(JobCancelled, match="enough"):
        handle.result()
    assert handle.retry().view().state is JobState.READY
    delayed = charge.using(delay=timedelta(hours=1)).enqueue(1)
    assert delayed.view().state is JobState.SCHEDULED
    assert charge.using(after=[handle, delayed.id]).enqueue(1).view().state is JobState.BLOCKED
    with pytest.raises(NotFound):
        app.job("job_000000000zzzz").view()
    assert len(recorded.jobs) == 3
    app.close()


def test_recorded_keys_deduplicate(recorded: Recorded) -> None:
    keyed = charge.using(key="once")
    first = keyed.enqueue(1)
    assert (keyed.enqueue(1).id, keyed.enqueue(1).deduplicated) == (first.id, True)
    with pytest.raises(KeyReused):
        keyed.enqueue(2)
    receipt = app.enqueue_many([keyed.bind(1), keyed.bind(2), charge.bind(3)])
    assert (receipt.count, receipt.deduplicated, receipt.failed) == (3, 1, 1)
    assert len(recorded.jobs) == 2


def test_wrong_arguments_are_refused_as_ever(recorded: Recorded) -> None:
    with pytest.raises(InvalidRequest, match="order_id"):
        charge.enqueue("42")  # type: ignore[arg-type]
    assert not recorded.jobs


# -- run_now -----------------------------------------------------------------------------------


def test_a_plain_task_runs_here_through_codec_and_retries() -> None:
    assert run_now(charge.bind(42)) == Receipt(42, 1)
    assert run_now(charge.bind(42, fail_until=3)) == Receipt(42, 3)


def test_used_up_attempts_end_as_in_a_worker() -> None:
    with pytest.raises(JobDead, match="dead after 3 attempts: ConnectionError: attempt 3") as ended:
        run_now(charge.bind(42, fail_until=9))
    assert isinstance(ended.value.__cause__, ConnectionError)
    with pytest.raises(JobDead, match="after 2 attempts"):
        run_now(charge.using(retry=Retry.fixed(attempts=2)).bind(42, fail_until=9))


def test_an_async_task_runs_here_and_steers() -> None:
    assert run_now(steer.bind("on")) == "on at 1"
    assert run_now(steer.bind("again")) == "again at 2"
    with pytest.raises(JobCancelled, match="not wanted"):
        run_now(steer.bind("cancel"))
    with pytest.raises(JobDead, match="hopeless"):
        run_now(steer.bind("bury"))
    with pytest.raises(JobFailed, match="after 1 attempt: KeyError") as ended:
        run_now(steer.bind("odd"))
    assert type(ended.value) is JobFailed
    with pytest.raises(ResultTimeout, match="put itself off"):
        run_now(steer.bind("for ever"))


def test_what_is_spawned_is_sent_on_success(recorded: Recorded) -> None:
    assert run_now(steer.bind("spawn")) == "spawn at 1"
    assert [bool(recorded.sent(charge, order_id=number)) for number in (7, 8)] == [True, True]


def test_what_can_not_be_sent_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="order_id"):
        run_now(charge.bind("42"))  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="result"):
        run_now(return_nonsense.bind())


def test_a_task_without_an_app_runs_too() -> None:
    @task(name="lonely", store_result=False)
    def lonely(number: int) -> int | None:
        return number

    assert run_now(lonely.bind(1)) is None


async def test_on_a_running_loop_it_is_awaited(recorded: Recorded) -> None:
    with pytest.raises(UseAwait, match="arun_now"):
        run_now(charge.bind(1))
    assert await arun_now(charge.bind(1, fail_until=2)) == Receipt(1, 2)
    assert await arun_now(steer.bind("spawn")) == "spawn at 1"
    assert recorded.sent(charge, order_id=8)
