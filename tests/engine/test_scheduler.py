"""Schedules fire once for each time, whoever tries, and once after an absence."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from taskforge_client.wire.ids import job_number
from taskforge_client.wire.jobs import JobOptions
from taskforge_client.wire.policies import RetryPolicy
from taskforge_client.wire.schedules import ScheduleKind, ScheduleSpec
from taskforge_server.domain.errors import BadSchedule
from taskforge_server.engine.scheduler import Scheduler
from taskforge_server.storage import schedules
from taskforge_server.storage.pool import Pool
from taskforge_server.telemetry.events import ScheduleBroken, ScheduleFired
from tests.engine.conftest import Heard
from tests.support.protocol import Protocol

pytestmark = [pytest.mark.engine, pytest.mark.anyio]

HOURLY = ScheduleSpec(
    name="hourly",
    kind=ScheduleKind.CRON,
    expression="0 * * * *",
    timezone="Europe/Berlin",
    task="m:f",
)


async def put(pool: Pool, spec: ScheduleSpec = HOURLY) -> datetime:
    async with pool.transaction() as connection:
        return await schedules.put(connection, 1, spec)


def make_due(protocol: Protocol, ago: str) -> None:
    protocol.rows(
        "update taskforge.schedule set next_fire_at = date_trunc('hour', now()) - %s::interval", ago
    )


@pytest.fixture
def scheduler(pool: Pool, heard: Heard) -> Scheduler:
    return Scheduler(pool=pool, bus=heard.bus)


async def test_a_due_schedule_makes_one_job_and_moves_on(
    protocol: Protocol, pool: Pool, scheduler: Scheduler, heard: Heard
) -> None:
    first = await put(pool)
    assert first.minute == 0
    assert (await scheduler.step()).did == 0
    make_due(protocol, "0 hours")
    assert [(await scheduler.step()).did for _ in range(3)] == [1, 0, 0]
    ((task, fire_at, schedule),) = protocol.rows(
        "select task, fire_at, schedule_id from taskforge.job"
    )
    assert (task, fire_at.minute) == ("m:f", 0)
    ((next_at, last_at),) = protocol.rows(
        "select next_fire_at, last_fire_at from taskforge.schedule"
    )
    assert (last_at, next_at) == (fire_at, fire_at + timedelta(hours=1))
    assert protocol.rows("select schedule_id, fire_at from taskforge.schedule_fire") == [
        (schedule, fire_at)
    ]
    (event,) = heard.of(ScheduleFired)
    assert isinstance(event, ScheduleFired)
    assert event.late_seconds >= 0


async def test_after_an_absence_one_job_stands_for_all_missed_times(
    protocol: Protocol, pool: Pool, scheduler: Scheduler
) -> None:
    await put(pool)
    make_due(protocol, "50 hours")
    assert [(await scheduler.step()).did for _ in range(2)] == [1, 0]
    ((fire_at, hour),) = protocol.rows(
        "select fire_at, date_trunc('hour', now()) from taskforge.job"
    )
    assert fire_at == hour


async def test_many_schedulers_never_double(protocol: Protocol, pool: Pool, heard: Heard) -> None:
    for number in range(5):
        await put(
            pool,
            ScheduleSpec(
                name=f"s{number}", kind=ScheduleKind.EVERY, interval_seconds=60, task="m:f"
            ),
        )
    racers = [Scheduler(pool=pool, bus=heard.bus, batch=2) for _ in range(6)]
    for _ in range(10):
        protocol.rows(
            "update taskforge.schedule set next_fire_at = next_fire_at - interval '1 minute'"
            " where next_fire_at > now()"
        )
        await asyncio.gather(*(racer.step() for racer in racers for _ in range(3)))
    doubled = protocol.rows(
        "select schedule_id, fire_at from taskforge.job group by 1, 2 having count(*) > 1"
    )
    assert doubled == []
    fires = protocol.value("select count(*) from taskforge.schedule_fire")
    assert protocol.value("select count(*) from taskforge.job") == fires >= 5


async def test_a_time_that_was_used_is_never_used_again(
    protocol: Protocol, pool: Pool, scheduler: Scheduler
) -> None:
    await put(pool)
    for _ in range(2):
        make_due(protocol, "0 hours")
        await scheduler.step()
    assert protocol.value("select count(*) from taskforge.job") == 1


async def test_a_schedule_that_can_no_longer_be_read_stops_alone(
    protocol: Protocol, pool: Pool, scheduler: Scheduler, heard: Heard
) -> None:
    await put(pool)
    await put(
        pool, ScheduleSpec(name="z", kind=ScheduleKind.EVERY, interval_seconds=60, task="m:g")
    )
    protocol.rows(
        "update taskforge.schedule set next_fire_at = now(), specification = case name"
        " when 'hourly' then specification || '{\"timezone\": \"Mars/Olympus\"}'"
        " else specification end"
    )
    assert (await scheduler.step()).did == 1
    (broken,) = heard.of(ScheduleBroken)
    assert isinstance(broken, ScheduleBroken)
    assert "Mars/Olympus" in broken.problem
    assert (await scheduler.step()).did == 0
    assert await put(pool) > datetime.now(UTC)  # noqa: TID251 - against the database's clock


async def test_putting_the_same_again_changes_nothing(protocol: Protocol, pool: Pool) -> None:
    first = await put(pool)
    protocol.rows("update taskforge.schedule set next_fire_at = next_fire_at - interval '3 hours'")
    assert await put(pool) == first - timedelta(hours=3)
    other = ScheduleSpec(name="hourly", kind=ScheduleKind.CRON, expression="30 * * * *", task="m:f")
    assert (await put(pool, other)).minute == 30
    with pytest.raises(BadSchedule):
        await put(pool, ScheduleSpec(name="x", kind=ScheduleKind.CRON, expression="x", task="m:f"))


async def test_what_is_shown_is_what_was_put(
    protocol: Protocol, pool: Pool, scheduler: Scheduler
) -> None:
    spec = ScheduleSpec(
        name="full",
        kind=ScheduleKind.EVERY,
        interval_seconds=90,
        task="m:f",
        payload=b"\x81\xa1n\x07",
        options=JobOptions(
            queue="mail",
            priority=5,
            retry=RetryPolicy(attempts=7),
            tags=("a",),
            meta={"k": "v"},
            expires_seconds=600,
            dead_letters=False,
        ),
    )
    await put(pool, spec)
    async with pool.connection() as connection:
        (view,) = await schedules.list_schedules(connection, 1)
    assert (view.spec, view.paused, view.last_job) == (spec, False, None)
    make_due(protocol, "0 hours")
    await scheduler.step()
    async with pool.connection() as connection:
        (view,) = await schedules.list_schedules(connection, 1, "full")
    assert view.last_job is not None
    row = protocol.rows(
        "select j.tags, j.meta, j.max_attempts, j.expires_at is not null, r.flags, r.priority"
        " from taskforge.job j join taskforge.ready r on r.job_id = j.id where j.id = %s",
        job_number(view.last_job),
    )
    assert row == [(["a"], {"k": "v"}, 7, True, 32 | 16, 5)]


async def test_pause_resume_trigger_and_orphans(
    protocol: Protocol, pool: Pool, scheduler: Scheduler
) -> None:
    await put(pool)
    async with pool.connection() as connection:
        assert await schedules.pause(connection, 1, "hourly")
        assert not await schedules.pause(connection, 1, "nothing")
        make_due(protocol, "0 hours")
        assert (await scheduler.step()).did == 0
        made = await schedules.trigger(connection, 1, "hourly")
        assert made is not None
        assert protocol.place(made[0]) == {"ready"}
        assert await schedules.trigger(connection, 1, "nothing") is None
        now = datetime(2030, 1, 1, tzinfo=UTC)
        assert await schedules.resume(connection, 1, "hourly", now)
        assert not await schedules.resume(connection, 1, "nothing", now)
        (view,) = await schedules.list_schedules(connection, 1)
        assert view.next_at == now + timedelta(hours=1)
        gone = await schedules.mark_orphaned(connection, 1, tasks=["m:f"], names=["other"])
        assert gone == ["hourly"]
        make_due(protocol, "0 hours")
        assert (await scheduler.step()).did == 0
    await put(pool)
    make_due(protocol, "0 hours")
    assert (await scheduler.step()).did == 1
