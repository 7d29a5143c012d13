"""Lists of jobs and dead letters: every job once, the newest first, page by page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from taskforge_client.wire.ids import job_id, minted_at_ms
from taskforge_client.wire.lists import JobFilter
from taskforge_client.wire.states import JobState
from taskforge_server.storage import dead, job_list
from taskforge_server.storage.database import PooledDatabase
from taskforge_server.storage.pool import Pool
from tests.support.protocol import DEAD, Protocol

pytestmark = [pytest.mark.storage, pytest.mark.anyio]


@pytest.fixture
def reading(pool: Pool) -> PooledDatabase:
    return PooledDatabase(pool)


async def pages(reading: PooledDatabase, **wanted: object) -> list[list[str]]:
    """All pages of a list, as ids."""
    found: list[list[str]] = []
    cursor: str | None = None
    while True:
        page = await job_list.list_jobs(
            reading,
            1,
            JobFilter(**{"limit": 30, "cursor": cursor, **wanted}),  # type: ignore[arg-type]
        )
        found.append([job.id for job in page.jobs])
        cursor = page.cursor
        if cursor is None:
            return found


async def test_pages_hold_every_job_once_the_newest_first(
    protocol: Protocol, reading: PooledDatabase
) -> None:
    jobs = protocol.enqueue_plain(95)
    worker = protocol.register()
    claims = protocol.claim(worker, limit=40)
    protocol.finish(claims[:20])
    protocol.finish(claims[20:30], DEAD)
    everything = await pages(reading)
    assert [len(page) for page in everything] == [30, 30, 30, 5]
    assert [one for page in everything for one in page] == [job_id(job) for job in jobs[::-1]]
    for state, expected in (
        (JobState.READY, jobs[40:]),
        (JobState.RUNNING, jobs[30:40]),
        (JobState.DEAD, jobs[20:30]),
        (JobState.SUCCEEDED, jobs[:20]),
        (JobState.BLOCKED, []),
    ):
        found = [one for page in await pages(reading, state=state) for one in page]
        assert found == [job_id(job) for job in expected[::-1]]


async def test_filters_by_task_tag_queue_and_time(
    protocol: Protocol, reading: PooledDatabase
) -> None:
    plain, tagged = protocol.enqueue(), protocol.enqueue(task="m:other", tags=["a", "b"])
    assert await pages(reading, task="m:other") == [[job_id(tagged)]]
    assert await pages(reading, tag="b") == [[job_id(tagged)]]
    assert await pages(reading, queue="default") == [[job_id(tagged), job_id(plain)]]
    assert await pages(reading, queue="nowhere") == [[]]
    minted = datetime.fromtimestamp(minted_at_ms(tagged) / 1000, UTC)
    assert await pages(reading, created_after=minted + timedelta(seconds=1)) == [[]]


async def test_a_filter_that_fits_little_gives_short_pages_that_go_on(
    protocol: Protocol, reading: PooledDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = protocol.enqueue(task="m:rare")
    for _ in range(2):
        protocol.enqueue_plain(900)
    monkeypatch.setattr(job_list, "_MOST_SCANNED", 300)
    found = await pages(reading, task="m:rare")
    assert len(found) > 1
    assert [one for page in found for one in page] == [job_id(first)]


async def test_dead_letters_are_grouped_with_an_example(
    protocol: Protocol, reading: PooledDatabase
) -> None:
    worker = protocol.register()
    for group, count in (("g1", 5), ("g2", 3)):
        protocol.enqueue_plain(count)
        error = {"type": "KeyError", "message": f"in {group}", "group": group}
        protocol.finish(protocol.claim(worker), DEAD, detail={"error": error})
    groups = await dead.dead_groups(reading, 1, queue=None, limit=10)
    assert [(one.group, one.count) for one in groups] == [("g1", 5), ("g2", 3)]
    assert groups[1].sample.error is not None
    assert groups[1].sample.error.message == "in g2"
    assert groups[0].first_at <= groups[0].last_at
    assert await dead.dead_groups(reading, 1, queue="nowhere", limit=10) == []
