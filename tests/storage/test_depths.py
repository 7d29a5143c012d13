"""How much queues hold: exact while it is little, sampled when it is much; and dead letters."""

from __future__ import annotations

import pytest

from taskforge_server.storage import queues
from taskforge_server.storage.pool import Pool
from tests.support.protocol import Protocol

pytestmark = [pytest.mark.storage, pytest.mark.anyio]


def depths(protocol: Protocol) -> dict[tuple[str, int], tuple[int, bool]]:
    rows = protocol.rows(
        "select q.name, d.state, d.count, d.sampled_at is not null"
        " from taskforge.queue_depths() d join taskforge.queue q on q.id = d.queue_id"
    )
    return {(name, state): (count, sampled) for name, state, count, sampled in rows}


def fill(protocol: Protocol, count: int) -> None:
    protocol.rows(
        "insert into taskforge.ready select n, n, %s, 0, 0, 1, 0 from generate_series(1, %s) n",
        *(protocol.queue, count),
    )


async def test_little_is_counted_exactly_whatever_a_sample_says(
    protocol: Protocol, pool: Pool
) -> None:
    fill(protocol, 9_999)
    protocol.enqueue(delay_ms=60_000)
    await queues.sample_queues(pool)
    protocol.enqueue()
    assert depths(protocol) == {("default", 3): (10_000, False), ("default", 2): (1, False)}


async def test_much_is_told_by_sample_with_its_time(protocol: Protocol, pool: Pool) -> None:
    fill(protocol, 20_000)
    protocol.rows("analyze taskforge.ready")
    ((count, sampled),) = depths(protocol).values()
    assert sampled
    assert count == pytest.approx(20_000, rel=0.2)
    (sample,) = await queues.sample_queues(pool)
    assert sample.depth == {"ready": 20_000}
    fill(protocol, 500)
    assert depths(protocol) == {("default", 3): (20_000, True)}
    protocol.rows("update taskforge.queue_sample set sampled_at = now() - interval '1 hour'")
    assert depths(protocol) == {("default", 3): (20_000, True)}
    protocol.rows("delete from taskforge.ready where ord > 100")
    assert depths(protocol) == {("default", 3): (200, False)}


async def test_the_oldest_ready_job_is_found_by_the_lanes(protocol: Protocol) -> None:
    assert protocol.value("select taskforge.oldest_ready(%s)", protocol.queue) is None
    protocol.enqueue()
    protocol.rows("update taskforge.ready set ord = ord - 60000000")
    waited = protocol.value("select now() - taskforge.oldest_ready(%s)", protocol.queue)
    assert 59 < waited.total_seconds() < 120


def test_many_dead_letters_are_grouped_in_one_pass(protocol: Protocol) -> None:
    protocol.rows(
        "insert into taskforge.dead select n, now(), %s, 0, 1, 1, 0, 'used_up', 'g' || n %% 7"
        " from generate_series(1, 100000) n",
        protocol.queue,
    )
    with protocol.connection.transaction():
        protocol.rows("set local statement_timeout = '2s'")
        rows = protocol.rows(
            "select error_group, count(*), min(died_at), max(died_at), max(job_id)"
            " from taskforge.dead group by error_group"
        )
    assert sum(row[1] for row in rows) == 100_000
