"""Roads for each event loop, the portal's thread, bulk streams and forks, into memory."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime

import pytest

from taskforge_client import Invocation, SyncTask, TaskForge
from taskforge_client.bulk import CHUNK_JOBS, JobIds
from taskforge_client.errors import InvalidRequest, Unreachable, UseAwait
from taskforge_client.transport.base import EnqueuedBatch, OutgoingJob
from taskforge_client.transport.recording import RecordingTransport
from taskforge_client.wire.jobs import Enqueued
from taskforge_client.wire.problems import Problem

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Roads:
    """Makes roads into memory and tells on which thread each was opened and closed."""

    def __init__(self) -> None:
        self.made: list[Road] = []

    def __call__(self) -> Road:
        road = Road()
        self.made.append(road)
        return road


class Road(RecordingTransport):
    def __init__(self) -> None:
        super().__init__(NOW)
        self.opened_in = threading.get_ident()
        self.closed_in: int | None = None
        self.chunks: list[int] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.fails_at: int | None = None
        self.afterwards: asyncio.Task[str] | None = None

    async def enqueue_many(self, jobs: Sequence[OutgoingJob]) -> Sequence[Enqueued | Problem]:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.chunks.append(len(jobs))
        chunk = len(self.chunks)
        await asyncio.to_thread(lambda: None)
        self.in_flight -= 1
        if chunk == self.fails_at:
            raise Unreachable
        return EnqueuedBatch(range(1, len(jobs) + 1), frozenset({0}))

    async def aclose(self) -> None:
        self.closed_in = threading.get_ident()


@pytest.fixture
def roads() -> Roads:
    return Roads()


@pytest.fixture
def app(roads: Roads) -> Iterator[TaskForge]:
    with TaskForge(transport=roads) as made:
        yield made


@pytest.fixture
def add(app: TaskForge) -> SyncTask[..., int]:
    @app.task(name="add")
    def add(left: int) -> int:
        return left

    return add


def test_nothing_is_opened_before_the_first_send(roads: Roads, add: SyncTask[..., int]) -> None:
    threads = threading.enumerate()
    add.bind(1).encode()
    assert not roads.made
    assert threading.enumerate() == threads


def test_blocking_calls_share_one_road_on_a_thread_of_its_own(
    roads: Roads, app: TaskForge, add: SyncTask[..., int]
) -> None:
    for number in range(5):
        add.enqueue(number)
    (road,) = roads.made
    assert road.opened_in != threading.get_ident()
    app.close()
    assert road.closed_in == road.opened_in
    add.enqueue(6)
    assert len(roads.made) == 2


def test_each_loop_has_a_road_that_closes_with_it(roads: Roads, add: SyncTask[..., int]) -> None:
    async def send() -> None:
        await asyncio.gather(*(add.aenqueue(number) for number in range(5)))

    asyncio.run(send())
    asyncio.run(send())
    first, second = roads.made
    assert {first.opened_in, second.opened_in} == {threading.get_ident()}
    assert {first.closed_in, second.closed_in} == {threading.get_ident()}
    assert len(first.jobs) == 5


def test_a_loop_that_was_closed_rudely_is_forgotten(roads: Roads, add: SyncTask[..., int]) -> None:
    for _ in range(2):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(add.aenqueue(1))
        loop.close()
    assert len(roads.made) == 2
    assert len(add.sender._ways._state.opened) <= 1


async def test_closing_closes_what_this_loop_and_blocking_calls_opened(
    roads: Roads, app: TaskForge, add: SyncTask[..., int]
) -> None:
    await add.aenqueue(1)
    await asyncio.to_thread(add.enqueue, 2)
    await app.aclose()
    assert all(road.closed_in is not None for road in roads.made)
    assert len(roads.made) == 2
    await app.aclose()
    with pytest.raises(UseAwait, match="aclose"):
        app.close()


def test_a_blocking_close_lets_the_road_end_what_it_still_does(
    roads: Roads, app: TaskForge, add: SyncTask[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    closing = asyncio.Event()

    async def aclose(road: Road) -> None:
        assert road.afterwards is not None
        closing.set()
        ended.append(await road.afterwards)

    async def ring() -> str:
        await closing.wait()
        return "rung"

    monkeypatch.setattr(Road, "aclose", aclose)
    add.enqueue(1)
    (road,) = roads.made

    async def start_ringing(_transport: object) -> None:
        road.afterwards = asyncio.create_task(ring())

    add.sender.call("ring", start_ringing)
    app.close()
    assert ended == ["rung"]


def test_closing_what_was_never_opened_is_nothing(app: TaskForge) -> None:
    app.close()
    asyncio.run(app.aclose())


def test_threads_start_one_portal(roads: Roads, add: SyncTask[..., int]) -> None:
    threads = [threading.Thread(target=add.enqueue, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(roads.made) == 1
    assert len(roads.made[0].jobs) == 20


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_opens_its_own(roads: Roads, add: SyncTask[..., int]) -> None:
    add.enqueue(1)
    child = os.fork()
    if child == 0:
        try:
            add.enqueue(2)
            os._exit(0 if len(roads.made) == 2 and len(roads.made[1].jobs) == 1 else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    add.enqueue(3)
    assert len(roads.made) == 1


# -- bulk --------------------------------------------------------------------------------------


def test_a_stream_is_sent_in_chunks_with_few_in_flight(
    roads: Roads, app: TaskForge, add: SyncTask[..., int]
) -> None:
    receipt = app.enqueue_many(add.bind(number) for number in range(CHUNK_JOBS * 4 + 1))
    (road,) = roads.made
    assert road.chunks == [CHUNK_JOBS] * 4 + [1]
    assert road.most_in_flight <= 2
    assert (receipt.count, receipt.deduplicated, receipt.stored) == (8_001, 5, 8_001)
    assert app.enqueue_many([]).count == 0


def test_large_payloads_make_small_chunks(roads: Roads, app: TaskForge) -> None:
    @app.task(name="keep")
    def keep(content: bytes) -> None: ...

    app.enqueue_many(keep.bind(b"x" * 1_000_000) for _ in range(10))
    assert roads.made[0].chunks == [5, 5]


def test_a_failing_chunk_stops_the_stream_and_what_is_in_flight_is_counted(
    roads: Roads, app: TaskForge, add: SyncTask[..., int]
) -> None:
    add.enqueue(0)
    roads.made[0].fails_at = 1
    taken = 0

    def stream() -> Iterator[Invocation[int]]:
        nonlocal taken
        for number in range(CHUNK_JOBS * 50):
            taken += 1
            yield add.bind(number)

    with pytest.raises(Unreachable) as stopped:
        app.enqueue_many(stream())
    assert stopped.value.__notes__ == ["2,000 jobs of this call are stored already"]
    assert taken == CHUNK_JOBS * 2


async def test_awaited_streams_do_the_same(
    roads: Roads, app: TaskForge, add: SyncTask[..., int]
) -> None:
    async def stream(count: int) -> AsyncIterator[Invocation[int]]:
        for number in range(count):
            yield add.bind(number)

    receipt = await app.aenqueue_many(stream(CHUNK_JOBS * 2 + 5))
    assert roads.made[0].chunks == [CHUNK_JOBS, CHUNK_JOBS, 5]
    assert receipt.count == CHUNK_JOBS * 2 + 5
    roads.made[0].fails_at = 4
    with pytest.raises(Unreachable) as stopped:
        await app.aenqueue_many(stream(CHUNK_JOBS * 9))
    assert stopped.value.__notes__ == ["2,000 jobs of this call are stored already"]
    with pytest.raises(InvalidRequest):
        await app.aenqueue_many([add.bind("x")])
    await app.aclose()


def test_an_asynchronous_stream_needs_a_loop(app: TaskForge, add: SyncTask[..., int]) -> None:
    async def stream() -> AsyncIterator[Invocation[int]]:
        yield add.bind(1)

    with pytest.raises(UseAwait, match="aenqueue_many"):
        app.enqueue_many(stream())  # type: ignore[arg-type]


def test_ids_are_made_when_they_are_looked_at() -> None:
    ids = JobIds(range(1, 5))
    assert (len(ids), ids[0], ids[-1]) == (4, "job_0000000000001", "job_0000000000004")
    assert list(ids[1:3]) == ["job_0000000000002", "job_0000000000003"]
    assert repr(ids) == "JobIds(4)"


def test_compact_answers_are_answers() -> None:
    problem = InvalidRequest.because("a", "b", "c").problem
    batch = EnqueuedBatch([1, 0, 3], frozenset({2}), {1: problem})
    assert list(batch) == [
        Enqueued(id="job_0000000000001"),
        problem,
        Enqueued(id="job_0000000000003", deduplicated=True),
    ]
    assert batch[-1] == batch[2]
    assert batch[:1] == [batch[0]]
    with pytest.raises(IndexError):
        batch[3]
