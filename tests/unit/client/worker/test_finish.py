"""Outcomes on their way: when they leave, and that none is lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from taskforge_client.errors import Unreachable
from taskforge_client.wire.states import JobState
from taskforge_client.wire.workers import Fate, Finished
from taskforge_client.worker.backoff import Backoff
from taskforge_client.worker.finish import BATCH_LIMIT, UNRECORDABLE, OutcomeBuffer
from taskforge_client.worker.metrics import NoMetrics
from tests.support.job_source import MemorySource

pytestmark = [pytest.mark.unit, pytest.mark.anyio]


class Recorder(MemorySource):
    """Records batches and answers when told."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[list[Finished]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.poison: int | None = None
        self.failures = 0

    async def finish(self, outcomes: Sequence[Finished]) -> list[Fate]:
        await self.may_answer.wait()
        if self.failures:
            self.failures -= 1
            raise Unreachable
        if any(o.number == self.poison and o.reason != UNRECORDABLE for o in outcomes):
            raise TypeError
        self.recorded.append(list(outcomes))
        return [Fate.LOST if o.number < 0 else Fate.MINE for o in outcomes]


class Lost(NoMetrics):
    def __init__(self) -> None:
        self.lost = 0

    def outcomes_lost(self, number: int) -> None:
        self.lost += number


def outcome(number: int) -> Finished:
    return Finished(number, 1, 1, JobState.SUCCEEDED)


class Bench:
    def __init__(self) -> None:
        self.source = Recorder()
        self.acknowledged = 0
        self.now = 0.0
        self.metrics = Lost()
        self.buffer = OutcomeBuffer(
            self.source,
            acknowledged=self.acknowledge,
            monotonic=lambda: self.now,
            backoff=Backoff(lambda: 0.0),
            metrics=self.metrics,
        )

    def acknowledge(self, number: int) -> None:
        self.acknowledged += number

    def put(self, *numbers: int) -> None:
        self.buffer.waiting.extend(map(outcome, numbers))

    @asynccontextmanager
    async def flushing(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.buffer.run())
        try:
            yield
        finally:
            task.cancel()


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_one_outcome_leaves_at_once_when_nothing_else_will_come(bench: Bench) -> None:
    async with bench.flushing():
        bench.put(1)
        bench.buffer.nudge(quiet=True)
        await bench.buffer.emptied()
    assert [len(batch) for batch in bench.source.recorded] == [1]
    assert bench.acknowledged == 1


async def test_what_ends_while_a_batch_is_in_flight_gathers_for_the_next(bench: Bench) -> None:
    async with bench.flushing():
        bench.source.may_answer.clear()
        bench.put(1)
        bench.buffer.nudge(quiet=True)
        await asyncio.sleep(0)  # noqa: TID251 - one turn, in which the batch leaves
        bench.put(*range(2, 2 + BATCH_LIMIT + 5))
        bench.buffer.nudge(quiet=True)
        assert bench.acknowledged == 0
        bench.source.may_answer.set()
        await bench.buffer.emptied()
    assert [len(batch) for batch in bench.source.recorded] == [1, BATCH_LIMIT, 5]
    assert bench.acknowledged == BATCH_LIMIT + 6


async def test_an_unreachable_source_is_asked_until_it_answers(bench: Bench) -> None:
    bench.source.failures = 7
    async with bench.flushing():
        bench.put(1, 2, 3)
        await bench.buffer.emptied()
    assert [[o.number for o in batch] for batch in bench.source.recorded] == [[1, 2, 3]]


async def test_slots_are_free_only_once_the_source_has_answered(bench: Bench) -> None:
    bench.source.may_answer.clear()
    async with bench.flushing():
        bench.put(1, 2)
        bench.buffer.nudge(quiet=True)
        await asyncio.sleep(0)  # noqa: TID251 - one turn, in which the batch leaves
        assert bench.acknowledged == 0
        assert {o.number for o in bench.buffer.unacknowledged()} == {1, 2}
        bench.source.may_answer.set()
        await bench.buffer.emptied()
    assert bench.acknowledged == 2
    assert bench.buffer.unacknowledged() == []


async def test_one_that_the_source_refuses_is_found_and_replaced(bench: Bench) -> None:
    bench.source.poison = 5
    async with bench.flushing():
        bench.put(*range(1, 10))
        await bench.buffer.emptied()
    recorded = {o.number: o for batch in bench.source.recorded for o in batch}
    assert sorted(recorded) == list(range(1, 10))
    assert recorded[5].state is JobState.DEAD
    assert recorded[5].reason == UNRECORDABLE
    assert bench.acknowledged == 9


async def test_late_outcomes_are_counted_and_dropped(bench: Bench) -> None:
    async with bench.flushing():
        bench.put(-1, 2, -3)
        await bench.buffer.emptied()
    assert bench.metrics.lost == 2
    assert bench.acknowledged == 3
