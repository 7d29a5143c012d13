"""History goes by the partition: under load, with held readers, and never with a live job in it."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from taskforge_client.wire.ids import mint_base
from taskforge_server.domain.partitions import Span
from taskforge_server.storage import retention
from taskforge_server.storage.errors import Busy
from taskforge_server.storage.pool import Pool
from tests.support.postgres import Database
from tests.support.protocol import Protocol

pytestmark = [pytest.mark.storage, pytest.mark.anyio]

LONG_AGO = date(2025, 3, 3)  # a Monday


def day_span(offset: int) -> Span:
    low = LONG_AGO + timedelta(days=offset)
    return Span(low=low, high=low + timedelta(days=1))


def add_history(protocol: Protocol, offset: int, jobs: int = 3) -> list[int]:
    """Make the partitions of an old day and ended jobs in them."""
    day = LONG_AGO + timedelta(days=offset)
    protocol.rows("select taskforge.ensure_partition(%s)", day)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    base = mint_base(int(midnight.timestamp() * 1000), 1)
    numbers = list(range(base, base + jobs))
    protocol.rows(
        "insert into taskforge.job select n, 1, %s, 0, 3, 1000, 2, 0, 'm:f', '\\x80'"
        " from unnest(%s::bigint[]) n",
        *(protocol.queue, numbers),
    )
    protocol.rows(
        "insert into taskforge.outcome select n, 1, 1, now(), 5, 1, 7 from unnest(%s::bigint[]) n",
        numbers,
    )
    protocol.rows(
        "insert into taskforge.job_key select 1, n::text, n, '' from unnest(%s::bigint[]) n",
        numbers,
    )
    return numbers


async def test_drop_takes_the_bodies_the_history_and_the_keys(
    protocol: Protocol, pool: Pool
) -> None:
    gone, kept = add_history(protocol, 0), add_history(protocol, 1)
    assert await retention.drop(pool, day_span(0), deadline_seconds=10)
    spans = [one.span for one in await retention.attached(pool)]
    assert day_span(0) not in spans
    assert day_span(1) in spans
    for table, column in (("job", "id"), ("outcome", "job_id"), ("job_key", "job_id")):
        left = {row[0] for row in protocol.rows(f"select {column} from taskforge.{table}")}  # noqa: S608
        assert not left & set(gone)
        assert left >= set(kept)


@pytest.mark.parametrize("place", ["ready", "dead"])
async def test_a_span_with_a_live_job_is_never_dropped(
    protocol: Protocol, pool: Pool, place: str
) -> None:
    numbers = add_history(protocol, 0)
    if place == "ready":
        assert protocol.retry(numbers[1]) == [numbers[1]]
    else:
        protocol.rows(
            "insert into taskforge.dead values (%s, now(), 1, 0, 1, 3, 0, 'x', 'g')", numbers[1]
        )
    assert not await retention.drop(pool, day_span(0), deadline_seconds=10)
    assert day_span(0) in [one.span for one in await retention.attached(pool)]
    assert protocol.value("select count(*) from taskforge.job where id = any (%s)", numbers) == 3


async def test_a_held_reader_makes_the_drop_wait_and_nobody_else(
    database: Database, protocol: Protocol, pool: Pool
) -> None:
    add_history(protocol, 0)
    with psycopg.connect(database.url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert reader.execute("select count(*) from taskforge.job").fetchone() == (3,)
        with pytest.raises(Busy):
            await retention.drop(pool, day_span(0), deadline_seconds=1)
        # Meanwhile the hot path goes on, and so does the making of partitions.
        (job,) = protocol.enqueue_plain(1)
        worker = protocol.register()
        assert protocol.finish(protocol.claim(worker)) == [job]
        protocol.rows("select taskforge.ensure_partitions(20)")
        assert reader.execute("select count(*) from taskforge.job").fetchone() == (3,)
    (pending,) = [one for one in await retention.attached(pool) if one.span == day_span(0)]
    assert await retention.drop(pool, pending.span, deadline_seconds=10, pending=pending.pending)
    assert protocol.value("select count(*) from taskforge.job where id < %s", job) == 0
    assert await retention.drop_left_over(pool) == []


async def test_dropping_and_merging_under_load_loses_nothing(
    database: Database, protocol: Protocol, pool: Pool
) -> None:
    for offset in range(10):
        add_history(protocol, offset)
    stop = threading.Event()
    done: list[int] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with Protocol.connect(database.url) as mine:
                worker = mine.register()
                while not stop.is_set():
                    sent = mine.enqueue_plain(20)
                    finished: list[int] = []
                    while len(finished) < len(sent):
                        finished += mine.finish(mine.claim(worker))
                    done.extend(finished)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(1)]
    for thread in threads:
        thread.start()
    try:
        for offset in range(3):
            assert await retention.drop(pool, day_span(offset), deadline_seconds=20)
        whole = await retention.merge(pool, [day_span(offset) for offset in range(3, 7)])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert whole == Span(low=LONG_AGO + timedelta(days=3), high=LONG_AGO + timedelta(days=7))
    spans = [one.span for one in await retention.attached(pool)]
    assert whole in spans
    assert not {day_span(offset) for offset in range(7)} & set(spans)
    assert protocol.value("select count(*) from taskforge.job where not id = any (%s)", done) == 21
    ended = protocol.value(
        "select count(*) from taskforge.outcome where job_id = any (%s) and state = 5", done
    )
    assert ended == len(done)


async def test_merged_history_is_found_and_can_be_run_again(protocol: Protocol, pool: Pool) -> None:
    numbers = add_history(protocol, 0) + add_history(protocol, 1)
    await retention.merge(pool, [day_span(0), day_span(1)])
    assert protocol.state(numbers[0]) == "cancelled"
    assert protocol.retry(*numbers) == numbers
    worker = protocol.register()
    assert sorted(protocol.finish(protocol.claim(worker))) == numbers
    assert protocol.outcomes(numbers[-1]) == [(1, 7), (2, 5)]
