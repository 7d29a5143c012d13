"""Housekeeping by the days of a set clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from taskforge_server.domain.partitions import MOST_ATTACHED
from taskforge_server.engine.pruner import Pruner
from taskforge_server.storage import retention
from taskforge_server.storage.pool import Pool
from taskforge_server.telemetry.events import PartitionsChanged
from tests.engine.conftest import Heard, SetClock
from tests.support.postgres import Database
from tests.support.protocol import DEAD, Protocol

pytestmark = [pytest.mark.engine, pytest.mark.anyio]


def today(protocol: Protocol) -> date:
    day: date = protocol.value("select (now() at time zone 'UTC')::date")
    return day


def pruner(pool: Pool, heard: Heard, protocol: Protocol, keep_days: int | None) -> Pruner:
    noon = datetime.combine(today(protocol), datetime.min.time(), UTC) + timedelta(hours=12)
    return Pruner(
        pool=pool, bus=heard.bus, clock=SetClock(at=noon), keep_days=keep_days, deadline_seconds=1.0
    )


def add_days(protocol: Protocol, first: int) -> None:
    for ago in range(1, first + 1):
        protocol.rows(
            "select taskforge.ensure_partition(%s)", today(protocol) - timedelta(days=ago)
        )


async def test_missing_partitions_are_made_a_week_ahead(
    protocol: Protocol, pool: Pool, heard: Heard
) -> None:
    for ahead in (7, 8):
        day = today(protocol) + timedelta(days=ahead)
        for parent in ("job", "outcome"):
            protocol.rows(f"drop table taskforge.{parent}_{day:%Y%m%d}")
    assert (await pruner(pool, heard, protocol, 30).step()).did == 2
    spans = [one.span for one in await retention.attached(pool)]
    assert max(span.high for span in spans) == today(protocol) + timedelta(days=9)
    assert (await pruner(pool, heard, protocol, 30).step()).did == 0


async def test_old_history_goes_and_few_partitions_stay(
    protocol: Protocol, pool: Pool, heard: Heard
) -> None:
    add_days(protocol, 60)
    keeper = pruner(pool, heard, protocol, 50)
    await keeper.step()
    spans = [one.span for one in await retention.attached(pool)]
    assert min(span.low for span in spans) == today(protocol) - timedelta(days=50)
    assert len(spans) <= MOST_ATTACHED
    assert {
        event.action
        for event in heard.of(PartitionsChanged)
        if isinstance(event, PartitionsChanged)
    } == {"dropped", "merged"}
    heard.events.clear()
    assert (await keeper.step()).did == 0


async def test_a_reader_only_delays_it(
    database: Database, protocol: Protocol, pool: Pool, heard: Heard
) -> None:
    add_days(protocol, 12)
    keeper = pruner(pool, heard, protocol, 10)
    oldest = today(protocol) - timedelta(days=12)
    with psycopg.connect(database.url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("select count(*) from taskforge.job")
        await keeper.step()
        assert oldest in {one.span.low for one in await retention.attached(pool)}
    await keeper.step()
    spans = [one.span for one in await retention.attached(pool)]
    assert min(span.low for span in spans) == today(protocol) - timedelta(days=10)


async def test_leftovers_go_and_what_is_needed_stays(
    protocol: Protocol, pool: Pool, heard: Heard
) -> None:
    running, ended = protocol.enqueue(), protocol.enqueue(unique_key="aa", unique_ms=1)
    worker = protocol.register()
    claims = {claim.job: claim for claim in protocol.claim(worker)}
    protocol.cancel(running, ended)
    protocol.rows(
        "select taskforge.report_progress(%s, '{1,1}', '{2,2}', '{a,b}')", [running, ended]
    )
    protocol.finish([claims[ended]], DEAD)
    protocol.rows("update taskforge.cancel_request set requested_at = now() - interval '1 day'")
    protocol.rows("update taskforge.progress set reported_at = now() - interval '1 day'")
    protocol.due_now("unique_work", "until", ended)
    protocol.rows("update taskforge.unique_work set until = now() - interval '1 day'")
    protocol.rows(
        "insert into taskforge.schedule_fire select 7, now() - n * interval '20 days', 1"
        " from generate_series(2, 4) n"
    )
    assert (await pruner(pool, heard, protocol, 30).step()).did == 5
    for table in ("cancel_request", "progress"):
        left = protocol.rows(f"select job_id from taskforge.{table}")  # noqa: S608 - our tables
        assert left == [(running,)]
    assert protocol.value("select count(*) from taskforge.schedule_fire") == 1
    assert protocol.value("select count(*) from taskforge.unique_work") == 0
