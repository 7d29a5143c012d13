"""How the public face types, for mypy --strict and pyright strict; nothing here is run.

`assert_type` proves what an expression is. A line that must be refused carries both checkers'
ignores, and both report an ignore that nothing needs.
"""

# The wrong lines are the point: pyright's ignores name the rule, mypy's the code.
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any, assert_type

from taskforge_client import (
    AsyncTask,
    BulkReceipt,
    CurrentJob,
    Invocation,
    JobHandle,
    Resource,
    Retry,
    SyncTask,
    Task,
    TaskForge,
    Unique,
    cron,
    current_job,
    task,
)
from taskforge_client.context import AttemptLog
from taskforge_client.testing import Recorded, run_now
from taskforge_client.wire.jobs import CancelAnswer, JobView
from taskforge_client.worker.embedded import EmbeddedWorker

app = TaskForge()


@app.task
async def send_receipt(order_id: int, *, language: str = "en") -> str:
    current_job().progress(1, 3, "rendering")
    return f"{order_id} {language}"


@app.task(queue="mail", retry=Retry.exponential(attempts=8), timeout=timedelta(seconds=30))
async def with_options(order_id: int, *, language: str = "en") -> str:
    return f"{order_id} {language}"


@app.task
def add(left: int, right: int = 1) -> int:
    return left + right


@app.task(schedule=cron("0 3 * * *"), unique=Unique(by="left"), execution="process", concurrency=2)
def add_nightly(left: int = 0, *rest: int) -> int:
    return left + sum(rest)


@task
def shared(name: str) -> list[str]:
    return [name]


@task(name="billing:charge", aliases=["charge"])
async def shared_async(amount: float) -> None:
    del amount


class Shop:
    @staticmethod
    @app.task
    def close(day: str) -> bool:
        return bool(day)


@app.resource
def pool() -> Generator[list[int], None, None]:
    yield [1]


@app.resource
async def client() -> AsyncIterator[str]:
    yield "hello"


@app.around
def timed(job: object) -> Iterator[None]:
    del job
    yield


@app.around
async def timed_too(job: CurrentJob) -> AsyncGenerator[None, None]:
    del job
    yield


def tasks_keep_their_signatures() -> None:
    first: Coroutine[Any, Any, str] = send_receipt(order_id=1)
    second: Coroutine[Any, Any, str] = with_options(1, language="de")
    first.close()
    second.close()
    assert_type(add(1), int)
    assert_type(add_nightly(1, 2, 3), int)
    assert_type(shared("a"), list[str])
    assert_type(Shop.close("mo"), bool)
    assert_type(send_receipt.bind(order_id=1), Invocation[str])
    assert_type(send_receipt.enqueue(order_id=42), JobHandle[str])
    assert_type(add.using(delay=5, priority=10, key="k").enqueue(1), JobHandle[int])
    assert_type(add.within(object()).enqueue(1, 2), JobHandle[int])
    assert_type(shared.via(app).enqueue("x"), JobHandle[list[str]])
    assert_type(add.job("job_0000000000001"), JobHandle[int])
    assert_type(app.job("job_0000000000001"), JobHandle[Any])
    assert_type(add.bind(1).enqueue(within=object()), JobHandle[int])
    assert_type(run_now(add.bind(1)), int)
    assert_type(run_now(send_receipt.bind(1)), str)
    assert_type(pool, Resource[list[int]])
    assert_type(pool.get(), list[int])
    assert_type(client.get(), str)
    assert_type(current_job().log, AttemptLog)


def handles_know_their_results(handle: JobHandle[str]) -> None:
    assert_type(handle.result(timeout=60), str)
    assert_type(handle.join(5), JobView)
    assert_type(handle.view(), JobView)
    assert_type(handle.cancel("why"), CancelAnswer)
    assert_type(handle.retry(), JobHandle[str])
    assert_type(handle.deduplicated, bool)


async def awaited_twins_do_too(handle: JobHandle[str]) -> None:
    assert_type(await send_receipt(order_id=1), str)
    assert_type(await send_receipt.aenqueue(order_id=42), JobHandle[str])
    assert_type(await add.aenqueue(1), JobHandle[int])
    assert_type(await add.bind(1).aenqueue(), JobHandle[int])
    assert_type(await handle.aresult(), str)
    assert_type(await handle.ajoin(), JobView)
    assert_type(await app.aenqueue_many(stream()), BulkReceipt)
    async with app.worker(queues={"mail": 2}, concurrency=4) as worker:
        assert_type(worker, EmbeddedWorker)


async def stream() -> AsyncIterator[Invocation[int]]:
    yield add.bind(1)


def many_may_be_of_many_kinds(module: ModuleType, recorded: Recorded) -> None:
    assert_type(app.enqueue_many(add.bind(n) for n in range(3)), BulkReceipt)
    app.enqueue_many([add.bind(1), send_receipt.bind(2)])
    app.include(module)
    app.include(shared, [shared, shared_async])
    recorded.sent(add, left=1)


def kinds_are_told_apart() -> None:
    sync_task: SyncTask[[str], list[str]] = shared
    async_task: AsyncTask[[float], None] = shared_async
    any_task: Task[..., object] = shared
    function: Callable[[str], list[str]] = shared
    del sync_task, async_task, any_task, function


def results_are_covariant(handle: JobHandle[bool], invocation: Invocation[bool]) -> None:
    wider: JobHandle[int] = handle
    unsent: Invocation[object] = invocation
    del wider, unsent


def wrong_calls_are_refused() -> None:
    send_receipt.enqueue("42")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    send_receipt.enqueue()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    send_receipt.enqueue(1, "de")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    send_receipt.enqueue(1, langage="de")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    add.bind(1, 2, 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    add.bind(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    shared.using(priority=1).enqueue(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    add.within(object()).enqueue(left="a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def wrong_options_are_refused() -> None:
    add.using(prority=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    add.using(priority="high")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    add.using(concurrency=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    add.using(on_parent_failure="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    app.task(execution="fibre")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    app.task(delay=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    Retry.exponential(tries=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def wrong_results_are_refused(handle: JobHandle[str]) -> None:
    number: int = handle.result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    narrow: JobHandle[bool] = add.enqueue(1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    app.enqueue_many([add])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    app.enqueue_many(stream())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    del number, narrow
