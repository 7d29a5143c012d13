"""The fixture `taskforge`, as an application's tests use it."""

from __future__ import annotations

import pytest

from taskforge_client import Retry, TaskForge, current_job
from taskforge_client.testing import Bench

pytestmark = pytest.mark.e2e
app = TaskForge("http://nowhere.invalid")
PATIENCE = 30


@app.task(queue="Shop", retry=Retry.fixed(attempts=3, first=0.05))
def charge(order_id: int) -> str:
    if current_job().attempt == 1:
        raise ConnectionError("not yet")
    return f"charged {order_id}"


@app.task
async def greet(name: str) -> str:
    return f"hello {name}"


def test_jobs_run_with_retries(taskforge: Bench) -> None:
    with taskforge.working(app):
        assert charge.enqueue(42).result(timeout=PATIENCE) == "charged 42"
        assert greet.enqueue("you").result(timeout=PATIENCE) == "hello you"


async def test_jobs_run_on_the_tests_own_loop(taskforge: Bench) -> None:
    async with taskforge.working(app, queues=["default"]):
        handle = await greet.aenqueue("me")
        assert await handle.aresult(timeout=PATIENCE) == "hello me"


def test_tests_do_not_meet(taskforge: Bench) -> None:
    greet.using(key="one").enqueue("first")
    other = Bench(taskforge.url, "default")
    assert taskforge.project != other.project
    assert not greet.using(key="two").enqueue("second").deduplicated
