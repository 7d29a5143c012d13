"""How jobs end, as every road tells it; one real worker runs them straight from the database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskforge_client import TaskForge
from taskforge_client.errors import (
    Conflict,
    JobCancelled,
    JobDead,
    JobExpired,
    JobFailed,
    ResultNotKept,
)
from taskforge_client.wire.states import JobState
from tests.contract import ending_tasks as tasks
from tests.contract.conftest import Road
from tests.support.polling import wait_until

pytestmark = pytest.mark.contract
PATIENCE = 20


@pytest.fixture
def workers(road: Road) -> Iterator[TaskForge]:
    """An app that runs the tasks straight from the database."""
    with TaskForge(road.database_url) as made:
        made.include(task.via(made) for task in tasks.TASKS)
        yield made


@pytest.fixture
def worked(workers: TaskForge, app: TaskForge) -> Iterator[TaskForge]:
    """An app on the road, whose jobs a worker is running."""
    with workers.worker(queues=tasks.QUEUE, concurrency=4):
        yield app


def test_a_result_comes_back_as_annotated(worked: TaskForge) -> None:
    handle = tasks.sell.via(worked).enqueue(7, lines=("tea", "milk"))
    assert handle.result(timeout=PATIENCE) == tasks.Receipt(7, ("tea", "milk"))
    assert worked.job(handle.id).result() == {"order_id": 7, "lines": ["tea", "milk"]}
    view = handle.view()
    assert (view.state, view.attempt, view.error) == (JobState.SUCCEEDED, 1, None)
    assert view.finished_at is not None
    assert len(view.attempts) == 1
    assert view.attempts[0].log == "INFO selling 7"
    with pytest.raises(Conflict):
        handle.retry()


def test_none_is_a_result_and_no_result_is_none(worked: TaskForge) -> None:
    assert tasks.give_nothing.via(worked).enqueue().result(timeout=PATIENCE) is None
    with pytest.raises(ResultNotKept, match="not stored"):
        tasks.keep_nothing.via(worked).enqueue().result(timeout=PATIENCE)


def test_used_up_attempts_end_in_the_dead_letters(worked: TaskForge) -> None:
    handle = tasks.fail.via(worked).enqueue("no luck")
    with pytest.raises(JobDead, match="dead after 2 attempts: ValueError: no luck") as ended:
        handle.result(timeout=PATIENCE)
    view = ended.value.view
    assert view.error is not None
    assert "raise ValueError(message)" in view.error.traceback
    assert [attempt.attempt for attempt in view.attempts] == [1, 2]
    again = handle.retry()
    assert again.id == handle.id
    with pytest.raises(JobDead):
        again.result(timeout=PATIENCE)


def test_without_dead_letters_a_job_fails(worked: TaskForge) -> None:
    with pytest.raises(JobFailed, match="failed after 1 attempt: KeyError") as ended:
        tasks.fail_without_letter.via(worked).enqueue().result(timeout=PATIENCE)
    assert type(ended.value) is JobFailed


def test_a_task_steers_its_job(worked: TaskForge) -> None:
    assert tasks.succeed_at.via(worked).enqueue(3).result(timeout=PATIENCE) == 3
    with pytest.raises(JobCancelled, match="not wanted"):
        tasks.cancel_itself.via(worked).enqueue().result(timeout=PATIENCE)
    with pytest.raises(JobDead, match="hopeless"):
        tasks.bury_itself.via(worked).enqueue().result(timeout=PATIENCE)
    handle = tasks.put_off.via(worked).enqueue()
    wait_until(lambda: handle.view().state is JobState.SCHEDULED)
    assert handle.view().attempt == 0


def test_what_was_not_started_in_time_is_expired(worked: TaskForge) -> None:
    expiring = tasks.sell.via(worked).using(expires=0.001)
    with pytest.raises(JobExpired):
        expiring.enqueue(1).result(timeout=PATIENCE)


def test_spawned_jobs_are_there_once_the_job_has_succeeded(worked: TaskForge) -> None:
    handle = tasks.spawn.via(worked).enqueue(3)
    assert handle.result(timeout=PATIENCE) == 3


def test_a_child_runs_after_its_parents(workers: TaskForge, app: TaskForge) -> None:
    # All are sent before a worker begins: one sent while its parent ends waits for the engine.
    parents = [tasks.sell.via(app).enqueue(number) for number in range(3)]
    child = tasks.sell.via(app).using(after=parents).enqueue(9)
    buried = tasks.bury_itself.via(app).enqueue()
    doomed = tasks.sell.via(app).using(after=buried).enqueue(1)
    stubborn = tasks.sell.via(app).using(after=buried, on_parent_failure="run_anyway").enqueue(2)
    with workers.worker(queues=tasks.QUEUE):
        assert child.result(timeout=PATIENCE).order_id == 9
        assert stubborn.result(timeout=PATIENCE).order_id == 2
        with pytest.raises(JobCancelled):
            doomed.result(timeout=PATIENCE)


async def test_results_can_be_awaited(road: Road, workers: TaskForge) -> None:
    async with road.app() as app, workers.worker(queues=tasks.QUEUE):
        handle = await tasks.sell.via(app).aenqueue(5)
        assert (await handle.aresult(timeout=PATIENCE)).order_id == 5
        with pytest.raises(JobDead):
            await (await tasks.bury_itself.via(app).aenqueue()).aresult(timeout=PATIENCE)
