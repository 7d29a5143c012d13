from __future__ import annotations

import inspect
from collections.abc import Generator
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from taskforge_client import Retry, SyncTask, TaskForge, Unique, cron, every, task
from taskforge_client.errors import InvalidRequest, NotConfigured, TaskWithoutApp, TooLarge
from taskforge_client.options import Execution
from taskforge_client.transport.base import OutgoingJob
from taskforge_client.wire.jobs import Encoding, JobOptions
from taskforge_client.wire.policies import Backoff
from taskforge_client.wire.schedules import ScheduleKind
from taskforge_client.wire.states import OnParentFailure

pytestmark = pytest.mark.unit
app = TaskForge()


@app.task(queue="Mail", priority=3, retry=Retry.linear(attempts=8), timeout=30, tags="red")
def charge(order_id: int, *, language: str = "en") -> str:
    """Charge an order."""
    return f"{order_id} {language}"


@app.task
async def greet(name: str) -> str:
    return f"hello {name}"


class Shop:
    @staticmethod
    @app.task
    def close(day: str) -> str:
        return day

    @app.task
    @staticmethod
    def open(day: str) -> str:
        return day


def payload_of(job: OutgoingJob, made: Any) -> dict[str, Any]:
    decoded: dict[str, Any] = made.decode_arguments(job.payload, job.encoding)
    return decoded


# -- what a decorator makes --------------------------------------------------------------------


def test_a_task_is_still_its_function() -> None:
    assert charge(order_id=1, language="de") == "1 de"
    assert charge.__doc__ == "Charge an order."
    assert getattr(charge, "__name__", None) == "charge"
    assert str(inspect.signature(charge)) == "(order_id: 'int', *, language: 'str' = 'en') -> 'str'"
    assert repr(charge) == f"<task {charge.name}>"


async def test_an_async_task_gives_its_coroutine() -> None:
    assert await greet("you") == "hello you"
    assert (greet.is_async, charge.is_async) == (True, False)


def test_a_task_is_named_by_module_and_function() -> None:
    assert charge.name.endswith("test_task:charge")
    assert Shop.close.name.endswith("test_task:Shop.close")
    assert Shop.open.name.endswith("test_task:Shop.open")
    assert Shop.open("mo") == "mo"


def test_options_of_the_decorator_are_shared_by_all_its_jobs() -> None:
    options = charge.options
    assert (options.queue, options.priority, options.tags) == ("mail", 3, ("red",))
    assert (options.timeout_seconds, options.max_attempts, options.retry) == (30.0, 8, None)
    assert charge.bind(1).encode().options is charge.bind(2).encode().options


def test_using_makes_a_copy_with_more_options() -> None:
    copy = charge.using(
        delay=timedelta(minutes=5),
        key="receipt-42",
        meta={"who": "me"},
        retry=Retry.fixed(attempts=2),
        after=["job_0000000000001", charge_handle()],
        on_parent_failure="run_anyway",
    ).using(priority=9)
    assert isinstance(copy, SyncTask)
    options = copy.options
    assert (options.priority, options.queue, options.delay_seconds) == (9, "mail", 300.0)
    assert (options.key, options.meta) == ("receipt-42", {"who": "me"})
    assert options.retry is not None
    assert (options.retry.backoff, options.retry.attempts) == (Backoff.FIXED, 2)
    assert options.after == ("job_0000000000001", "job_0000000000002")
    assert options.on_parent_failure is OnParentFailure.RUN_ANYWAY
    assert charge.options.priority == 3
    moved = copy.using(run_at=datetime.fromisoformat("2030-01-01T00:00:00+00:00"))
    assert (moved.options.delay_seconds, moved.options.run_at is None) == (None, False)


def charge_handle() -> Any:
    return charge.job("job_0000000000002")


def test_a_job_is_the_name_the_arguments_and_the_options() -> None:
    job = charge.bind(7, language="de").encode()
    assert (job.task, job.encoding) == (charge.name, Encoding.MSGPACK)
    assert payload_of(job, charge) == {"order_id": 7, "language": "de"}
    assert repr(charge.bind(7)) == f"<invocation of {charge.name}>"


def test_worker_options_are_kept_for_the_worker() -> None:
    @app.task(
        name="odd", aliases=["old", "older"], execution="process", concurrency=2,
        store_result=False, dead_letters=False,
    )  # fmt: skip
    def odd() -> int:
        return 1

    assert (odd.name, odd.aliases, odd.concurrency) == ("odd", ("old", "older"), 2)
    assert odd.execution is Execution.PROCESS
    assert (odd.store_result, odd.dead_letters, odd.retry) == (False, False, None)
    assert odd.encode_result(1) is None
    assert odd.target is odd.function
    assert charge.execution is None
    assert charge.encode_result("x") == b"\xa1x"
    assert charge.decode_result(b"\xa1x") == "x"
    with pytest.raises(InvalidRequest, match="result"):
        charge.encode_result(object())


def test_a_payload_above_the_limit_is_too_large() -> None:
    @app.task(name="large")
    def large(content: bytes) -> None:
        pass

    with pytest.raises(TooLarge, match="1,048,576") as refused:
        large.bind(b"x" * 1_048_576).encode()
    assert refused.value.problem.status == 413
    with pytest.raises(TooLarge):
        large.using(unique=Unique()).bind(b"x" * 1_048_576).encode()


# -- unique work -------------------------------------------------------------------------------


def unique_key(job: OutgoingJob) -> bytes:
    assert job.options.unique is not None
    return job.options.unique.key


def test_unique_work_is_told_apart_by_its_arguments() -> None:
    by_order = charge.using(unique=Unique(by="order_id", window=timedelta(hours=1)))
    first = by_order.bind(1).encode()
    assert first.options.unique is not None
    assert first.options.unique.window_seconds == 3600.0
    assert unique_key(first) == unique_key(by_order.bind(order_id=1, language="de").encode())
    assert unique_key(first) != unique_key(by_order.bind(2).encode())
    by_all = charge.using(unique=Unique())
    assert unique_key(by_all.bind(1).encode()) == unique_key(by_all.bind(1, language="en").encode())
    assert unique_key(by_all.bind(1).encode()) != unique_key(by_all.bind(1, language="de").encode())
    both = charge.using(unique=Unique(by=("language", "order_id")))
    swapped = charge.using(unique=Unique(by=("order_id", "language")))
    assert unique_key(both.bind(1).encode()) == unique_key(swapped.bind(1).encode())


def test_two_tasks_never_share_unique_work() -> None:
    one, other = app.named("one"), app.named("other")
    keys = {
        unique_key(made.using(unique=Unique(by="x")).bind(x=1).encode()) for made in (one, other)
    }
    assert len(keys) == 2


# -- what can't be a task ----------------------------------------------------------------------


class Methods:
    def method(self) -> None: ...

    @classmethod
    def of_the_class(cls) -> None: ...


def generator() -> Generator[int, None, None]:
    yield 1


def with_argument(day: str) -> None: ...


@pytest.mark.parametrize(
    "function, words",
    [
        (Methods.method, "is a method"),
        (Methods().method, "not a function"),
        (Methods.of_the_class, "not a function"),
        (print, "not a function"),
        (Methods, "not a function"),
        (lambda: None, "not reachable from its module"),
        (generator, "is a generator"),
    ],
)
def test_what_a_worker_could_not_run_is_refused(function: Any, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        task(function)


def test_a_nested_function_needs_a_name() -> None:
    def nested() -> None: ...

    with pytest.raises(InvalidRequest, match="or name=…"):
        task(nested)
    assert task(name="nested")(nested).name == "nested"


@pytest.mark.parametrize(
    "options, field, words",
    [
        ({"prority": 1}, "prority", "'priority'"),
        ({"zzz": 1}, "zzz", "one of"),
        ({"delay": 1}, "delay", "no such option"),
        ({"queue": "no spaces"}, "queue", "case does not matter"),
        ({"priority": 101}, "priority", "-100 to 100"),
        ({"timeout": 0}, "timeout", "above 0"),
        ({"timeout": "1h"}, "timeout", "timedelta"),
        ({"execution": "async"}, "execution", "plain def"),
        ({"execution": "fibre"}, "execution", "'thread' or 'process'"),
        ({"concurrency": 0}, "concurrency", "1 or more"),
        ({"unique": Unique(by="colour")}, "unique.by", "day"),
        ({"unique": Unique(window=0)}, "unique.window", "above 0"),
        ({"unique": "day"}, "unique", "Unique"),
        ({"retry": 3}, "retry", "Retry."),
        ({"tags": 3}, "tags", "list of texts"),
        ({"schedule": "0 3 * * *"}, "schedule", "cron"),
        ({"schedule": cron("0 3 * * *")}, "schedule", "defaults"),
        ({"name": "a b"}, "task", "without spaces"),
    ],
)
def test_wrong_options_of_a_decorator_are_refused(options: Any, field: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        task(**options)(with_argument)
    assert refused.value.problem.field == field
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "options, field",
    [
        ({"name": "x"}, "name"),
        ({"delay": -1}, "delay"),
        ({"run_at": datetime(2026, 1, 1)}, "run_at"),  # noqa: DTZ001  naive on purpose
        ({"delay": 1, "run_at": datetime.fromisoformat("2026-01-01T00:00:00+00:00")}, "run_at"),
        ({"key": "k" * 201}, "key"),
        ({"meta": ["a"]}, "meta"),
        ({"meta": {"a": 1}}, "meta"),
        ({"on_parent_failure": "wait"}, "on_parent_failure"),
        ({"expires": 0}, "expires"),
    ],
)
def test_wrong_options_of_a_send_are_refused(options: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        charge.using(**options)
    assert refused.value.problem.field == field


def test_an_async_function_does_not_run_in_a_thread() -> None:
    async def nested() -> None: ...

    with pytest.raises(InvalidRequest, match="async def"):
        task(name="nested", execution="thread")(nested)


# -- tasks and apps ----------------------------------------------------------------------------


def test_a_task_without_an_app_can_not_be_sent() -> None:
    @task(name="lonely")
    def lonely(number: int) -> int:
        return number

    with pytest.raises(TaskWithoutApp, match=r"app\.include"):
        lonely.enqueue(1)
    with pytest.raises(TaskWithoutApp):
        lonely.job("job_0000000000001")
    assert lonely.bind(1).encode().task == "lonely"
    first, second = TaskForge(), TaskForge()
    first.include(lonely)
    second.include([lonely])
    assert lonely.sender is first.sender
    assert lonely.via(second).sender is second.sender
    assert [made.name for made in second.tasks] == ["lonely"]


def test_a_module_is_included_whole() -> None:
    module = ModuleType("shop_tasks")
    with pytest.raises(InvalidRequest, match="holds no task"):
        app.include(module)
    vars(module).update(one=task(name="one")(with_argument), two=task(name="two")(with_argument))
    other = TaskForge()
    other.include(module)
    assert [made.name for made in other.tasks] == ["one", "two"]


def test_a_name_is_taken_once() -> None:
    shop = TaskForge()
    made = task(name="shop", aliases=["store"])(with_argument)
    shop.include(made, made)
    assert len(shop.tasks) == 1
    for options in ({"name": "shop"}, {"name": "store"}, {"name": "x", "aliases": "shop"}):
        with pytest.raises(InvalidRequest, match="two tasks are called"):
            shop.task(**options)(lambda: None)  # type: ignore[call-overload]
    assert shop.tasks.get("store") is made
    assert "store" in shop.tasks
    assert shop.tasks.nearest("shp") == "shop"
    assert shop.tasks.nearest("zzzzz") is None


def test_a_task_known_by_name_sends_anything_by_name() -> None:
    named = app.named("billing:charge").using(queue="billing")
    job = named.bind(amount=1, note=None).encode()
    assert (job.task, job.options) == ("billing:charge", JobOptions(queue="billing"))
    assert payload_of(job, named) == {"amount": 1, "note": None}
    with pytest.raises(NotConfigured, match="by name alone"):
        _ = named.function
    with pytest.raises(InvalidRequest, match="task"):
        app.named("no spaces")


def test_ids_are_checked_where_a_handle_is_made() -> None:
    assert app.job("job_0000000000001").id == "job_0000000000001"
    assert repr(app.job("job_0000000000001")) == "JobHandle('job_0000000000001')"
    with pytest.raises(InvalidRequest, match="job_"):
        app.job("42")
    with pytest.raises(InvalidRequest):
        charge.job("sch_0000000000001")


def test_scheduled_tasks_tell_their_schedules() -> None:
    shop = TaskForge()

    @shop.task(name="nightly", queue="night", schedule=cron("0 3 * * *", timezone="Asia/Jakarta"))
    def nightly(day: int = 0) -> None: ...

    @shop.task(name="often", schedule=every(minutes=5))
    def often() -> None: ...

    shop.task(name="never")(with_argument)
    first, second = shop.scheduled()
    assert (first.name, first.task, first.kind) == ("nightly", "nightly", ScheduleKind.CRON)
    assert (first.expression, first.timezone) == ("0 3 * * *", "Asia/Jakarta")
    assert first.options.queue == "night"
    assert (second.kind, second.interval_seconds) == (ScheduleKind.EVERY, 300.0)
