"""What every road must do alike, told through the public face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from taskforge_client import Invocation, JobHandle, Retry, SyncTask, TaskForge, Unique
from taskforge_client.errors import (
    Conflict,
    InvalidRequest,
    JobCancelled,
    KeyReused,
    NotConfigured,
    NotFound,
    ResultTimeout,
    TooLarge,
    UseAwait,
)
from taskforge_client.wire.problems import ProblemCode
from taskforge_client.wire.states import JobState
from tests.contract.conftest import Road

pytestmark = pytest.mark.contract

Add = SyncTask[..., int]
LONG_AGO = datetime(2025, 6, 1, 12, tzinfo=UTC)
FAR_AHEAD = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def add(app: TaskForge) -> Add:
    @app.task(name="sums:add", queue="Sums", timeout=30, retry=Retry.fixed(attempts=3))
    def add(left: int, right: int = 1) -> int:
        return left + right

    return add


def test_a_job_is_stored_as_it_was_sent(add: Add) -> None:
    handle = add.using(
        priority=7, tags=["red", "blue"], meta={"who": "me"}, expires=timedelta(hours=1)
    ).enqueue(1, 2)
    assert isinstance(handle, JobHandle)
    assert not handle.deduplicated
    view = handle.view()
    assert (view.id, view.task, view.queue) == (handle.id, "sums:add", "sums")
    assert (view.state, view.priority, view.attempt, view.max_attempts) == (
        JobState.READY,
        7,
        0,
        3,
    )
    assert (view.tags, view.meta) == (("red", "blue"), {"who": "me"})
    assert msgspec.msgpack.decode(view.payload) == {"left": 1, "right": 2}
    assert view.created_at.utcoffset() == timedelta(0)
    assert view.result is None
    assert view.attempts == ()


def test_a_policy_of_the_send_overrules_the_budget(add: Add) -> None:
    handle = add.using(retry=Retry.exponential(attempts=9)).enqueue(1)
    assert handle.view().max_attempts == 9


def test_later_jobs_wait_for_their_time(add: Add) -> None:
    delayed = add.using(delay=timedelta(hours=1)).enqueue(1).view()
    assert delayed.state is JobState.SCHEDULED
    assert delayed.run_at is not None
    assert delayed.run_at > delayed.created_at + timedelta(minutes=59)
    fixed = add.using(run_at=FAR_AHEAD).enqueue(1).view()
    assert (fixed.state, fixed.run_at) == (JobState.SCHEDULED, FAR_AHEAD)
    past = add.using(run_at=LONG_AGO).enqueue(1).view()
    assert past.state in {JobState.READY, JobState.SCHEDULED}


def test_a_job_after_another_is_blocked(add: Add) -> None:
    parent = add.enqueue(1)
    child = add.using(after=parent).enqueue(2)
    view = child.view()
    assert (view.state, view.after) == (JobState.BLOCKED, (parent.id,))


def test_a_job_after_an_unknown_one_is_refused(add: Add) -> None:
    with pytest.raises((NotFound, InvalidRequest)):
        add.using(after="job_0000000000001").enqueue(1)


def test_a_key_names_one_request(add: Add) -> None:
    keyed = add.using(key="order-42")
    first = keyed.enqueue(1)
    again = keyed.enqueue(left=1)
    assert not first.deduplicated
    assert (again.id, again.deduplicated) == (first.id, True)
    assert first.view().key == "order-42"
    with pytest.raises(KeyReused) as refused:
        keyed.enqueue(2)
    assert refused.value.problem.status == 409


def test_unique_work_is_done_once(app: TaskForge) -> None:
    @app.task(name="index:document", unique=Unique(by="document"))
    def index(document: int, reason: str = "") -> None:
        pass

    first = index.enqueue(1, "saved")
    again = index.enqueue(1, "saved again")
    other = index.enqueue(2)
    assert (again.id, again.deduplicated) == (first.id, True)
    assert (other.deduplicated, other.id == first.id) == (False, False)
    first.cancel()
    assert not index.enqueue(1).deduplicated


def test_what_is_unknown_is_not_found(app: TaskForge) -> None:
    handle = app.job("job_0000000000001")
    with pytest.raises(NotFound):
        handle.view()
    with pytest.raises(NotFound):
        handle.join(timeout=5)
    with pytest.raises(NotFound):
        handle.cancel()
    with pytest.raises(NotFound):
        handle.retry()


def test_a_waiting_job_is_cancelled(add: Add) -> None:
    handle = add.enqueue(1)
    answer = handle.cancel("changed my mind")
    assert (answer.id, answer.state) == (handle.id, JobState.CANCELLED)
    with pytest.raises(JobCancelled, match="changed my mind") as ended:
        handle.result(timeout=10)
    assert ended.value.view.reason == "changed my mind"
    assert handle.cancel("too late").state is JobState.CANCELLED
    assert handle.view().reason == "changed my mind"


def test_a_cancelled_job_runs_again(add: Add) -> None:
    handle = add.enqueue(1)
    with pytest.raises(Conflict):
        handle.retry()
    handle.cancel()
    again = handle.retry()
    assert again.id == handle.id
    assert again.view().state is JobState.READY


def test_waiting_ends_in_time(add: Add) -> None:
    handle = add.enqueue(1)
    with pytest.raises(ResultTimeout, match="ready"):
        handle.result(timeout=0.05)


def test_many_are_sent_in_chunks(app: TaskForge, add: Add) -> None:
    receipt = app.enqueue_many(add.bind(left=number) for number in range(4_500))
    assert (receipt.count, receipt.deduplicated, receipt.failed) == (4_500, 0, 0)
    assert len(set(receipt.ids)) == 4_500
    view = add.job(receipt.ids[4_321]).view()
    assert msgspec.msgpack.decode(view.payload) == {"left": 4_321}


def test_a_refused_job_leaves_the_others_of_its_chunk_alone(app: TaskForge, add: Add) -> None:
    keyed = add.using(key="once")
    first = keyed.enqueue(1)
    receipt = app.enqueue_many([add.bind(5), keyed.bind(1), keyed.bind(2), add.bind(6)])
    assert (receipt.count, receipt.stored, receipt.deduplicated, receipt.failed) == (4, 3, 1, 1)
    assert receipt.failures[0].position == 2
    assert receipt.failures[0].problem.code is ProblemCode.KEY_REUSED
    assert receipt.ids[1] == first.id
    assert {add.job(identifier).view().state for identifier in receipt.ids} == {JobState.READY}


def test_what_came_before_a_wrong_invocation_is_stored_and_counted(
    app: TaskForge, add: Add
) -> None:
    def invocations() -> Iterator[Invocation[int]]:
        for number in range(2_500):
            yield add.bind(number)
        yield add.bind(left="nonsense")

    with pytest.raises(InvalidRequest) as refused:
        app.enqueue_many(invocations())
    assert refused.value.__notes__ == ["2,000 jobs of this call are stored already"]


async def test_awaited_calls_do_the_same(app: TaskForge, add: Add) -> None:
    async with app:
        handles = await asyncio.gather(*(add.aenqueue(number) for number in range(60)))
        assert len({handle.id for handle in handles}) == 60
        view = await handles[7].aview()
        assert msgspec.msgpack.decode(view.payload) == {"left": 7}
        assert (await handles[7].acancel("enough")).state is JobState.CANCELLED
        with pytest.raises(JobCancelled, match="enough"):
            await handles[7].aresult(timeout=10)
        assert (await handles[7].ajoin()).state is JobState.CANCELLED
        assert (await (await handles[7].aretry()).aview()).state is JobState.READY
        with pytest.raises(UseAwait, match="aenqueue"):
            add.enqueue(1)

        async def stream() -> AsyncIterator[Invocation[int]]:
            for number in range(2_100):
                yield add.bind(number)

        assert (await app.aenqueue_many(stream())).count == 2_100
        assert (await app.aenqueue_many(add.bind(n) for n in range(10))).count == 10


async def test_awaited_sends_fail_alone(app: TaskForge, add: Add) -> None:
    async with app:
        keyed = add.using(key="mine")
        await keyed.aenqueue(1)
        answers = await asyncio.gather(
            add.aenqueue(1), keyed.aenqueue(2), add.aenqueue(3), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [JobHandle, KeyReused, JobHandle]


def test_threads_share_an_app(add: Add) -> None:
    with ThreadPoolExecutor(8) as threads:
        handles = list(threads.map(add.enqueue, range(80)))
    assert len({handle.id for handle in handles}) == 80


def test_several_loops_share_an_app(app: TaskForge, add: Add) -> None:
    async def send() -> str:
        return (await add.aenqueue(1)).id

    identifiers = {asyncio.run(send()), asyncio.run(send()), add.enqueue(1).id}
    assert len(identifiers) == 3
    assert {app.job(identifier).view().state for identifier in identifiers} == {JobState.READY}


def test_a_large_payload_arrives_whole_and_a_larger_one_is_refused(app: TaskForge) -> None:
    @app.task(name="files:keep")
    def keep(content: bytes) -> None:
        pass

    content = bytes(range(256)) * 3_000
    view = keep.enqueue(content).view()
    assert msgspec.msgpack.decode(view.payload) == {"content": content}
    with pytest.raises(TooLarge, match="1,048,576"):
        keep.enqueue(b"x" * 1_100_000)


def test_text_of_any_language_survives(app: TaskForge) -> None:
    echo = app.named("texts:echo")
    text = "Grüße, 日本, 🧵, \x00 and \u2028"
    view = echo.using(meta={"ключ": "värde"}, tags=["élan"]).enqueue(text=text).view()
    assert msgspec.msgpack.decode(view.payload) == {"text": text}
    assert (view.meta, view.tags) == ({"ключ": "värde"}, ("élan",))


def test_two_apps_see_each_others_jobs(road: Road, add: Add) -> None:
    handle = add.enqueue(1)
    with road.app() as other:
        assert other.job(handle.id).view().task == "sums:add"


def test_a_queue_is_shown_paused_and_resumed_where_the_road_reaches_it(
    road: Road, app: TaskForge, add: Add
) -> None:
    queue = app.queues["Sums"]
    if road.name == "http":
        with pytest.raises(NotConfigured, match="postgresql://"):
            queue.view()
        return
    with pytest.raises(NotFound, match="sums"):
        queue.view()
    app.enqueue_many(add.bind(number) for number in range(3))
    add.using(delay=60).enqueue(4)
    view = queue.view()
    assert (view.name, view.paused) == ("sums", False)
    assert {state: count for state, count in view.depth.items() if count} == {
        "ready": 3,
        "scheduled": 1,
    }
    assert view.oldest_ready_at is not None
    queue.pause()
    assert queue.view().paused
    queue.resume()
    assert [app.queues["sums"].view().paused, app.queues["sums"].view().depth["ready"]] == [
        False,
        3,
    ]
    with pytest.raises(NotFound):
        app.queues["elsewhere"].pause()
    with pytest.raises(InvalidRequest, match="queue"):
        app.queues["no spaces"]
