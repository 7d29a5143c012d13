"""`app.worker()` inside this process, on a real PostgreSQL: sent, run and recorded."""

import asyncio
import threading

import pytest

from taskforge_client.app import TaskForge
from taskforge_client.context import current_job
from taskforge_client.errors import JobDead, UseAwait
from taskforge_client.retry import Retry
from tests.support.postgres import Database

pytestmark = [pytest.mark.e2e]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def app(database: Database) -> TaskForge:
    return TaskForge(database.url)


@pytest.mark.anyio
async def test_jobs_sent_from_the_same_loop_are_run_and_their_results_come_back(
    app: TaskForge,
) -> None:
    async with app:

        @app.task(name="double")
        async def double(n: int) -> int:
            return 2 * n

        @app.task(name="thread_name")
        def thread_name() -> str:
            return threading.current_thread().name

        @app.task(name="fail", retry=Retry.never())
        async def fail() -> None:
            message = "no"
            raise ValueError(message)

        async with app.worker(concurrency=20):
            handles = [await double.aenqueue(n=n) for n in range(50)]
            results = await asyncio.gather(*(handle.aresult(timeout=20) for handle in handles))
            assert results == [2 * n for n in range(50)]
            named = await thread_name.aenqueue()
            assert (await named.aresult(timeout=20)).startswith("taskforge-thread")
            failing = await fail.aenqueue()
            with pytest.raises(JobDead, match="ValueError: no"):
                await failing.aresult(timeout=20)


def test_a_plain_with_block_works_in_a_thread(app: TaskForge) -> None:
    @app.task(name="tell")
    async def tell() -> str:
        return f"{threading.current_thread().name} {current_job().attempt}"

    with app, app.worker(grace=2):
        assert tell.enqueue().result(timeout=20) == "taskforge-worker 1"
    with app, app.worker():
        assert tell.enqueue().result(timeout=20) == "taskforge-worker 1"


@pytest.mark.anyio
async def test_a_plain_with_block_would_stop_a_running_loop(app: TaskForge) -> None:
    with pytest.raises(UseAwait, match="write async with"), app.worker():
        pass


@pytest.mark.anyio
async def test_a_job_that_fails_is_tried_again(app: TaskForge) -> None:
    async with app:
        seen: list[int] = []

        @app.task(name="third_time", retry=Retry.fixed(attempts=3, first=0, jitter=0))
        async def third_time() -> int:
            seen.append(current_job().attempt)
            if len(seen) < 3:
                raise ValueError
            return len(seen)

        async with app.worker():
            handle = await third_time.aenqueue()
            assert await handle.aresult(timeout=20) == 3
    assert seen == [1, 2, 3]
