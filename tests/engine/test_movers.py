"""Each service's one step: what it moves, what it tells, and when it wants to step again."""

from __future__ import annotations

import asyncio
from functools import partial

import psycopg
import pytest

from taskforge_server.engine.expirer import Expirer
from taskforge_server.engine.lookout import Lookout
from taskforge_server.engine.rescuer import Rescuer
from taskforge_server.engine.resolver import Resolver
from taskforge_server.engine.sampler import Sampler
from taskforge_server.engine.stager import Stager
from taskforge_server.engine.vacuumer import Vacuumer
from taskforge_server.storage.pool import Pool
from taskforge_server.telemetry.events import JobsMoved, QueueSampled, TableVacuumed
from tests.engine.conftest import Heard, SetClock
from tests.support.polling import wait_until_async
from tests.support.postgres import Database
from tests.support.protocol import DEAD, Protocol

pytestmark = [pytest.mark.engine, pytest.mark.anyio]


def rings(database: Database) -> psycopg.Connection:
    connection = psycopg.connect(database.url, autocommit=True)
    connection.execute("listen taskforge")
    return connection


async def test_the_stager_moves_a_batch_rings_and_goes_on(
    database: Database, protocol: Protocol, pool: Pool, heard: Heard
) -> None:
    for _ in range(3):
        protocol.enqueue(delay_ms=60_000)
    protocol.enqueue(delay_ms=3_600_000)
    protocol.rows("update taskforge.scheduled set run_at = run_at - interval '2 minutes'")
    stager = Stager(pool=pool, bus=heard.bus, batch=2)
    with rings(database) as doorbell:
        first, second, third = [await stager.step() for _ in range(3)]
        assert [step.did for step in (first, second, third)] == [2, 1, 0]
        assert (first.again_in_seconds, second.again_in_seconds) == (0.0, None)
        notices = [notice.payload for notice in doorbell.notifies(timeout=5, stop_after=2)]
        assert notices == [f"ready {protocol.queue}"] * 2
    assert heard.events == [JobsMoved(move="stage", jobs=2), JobsMoved(move="stage", jobs=1)]


async def test_two_stagers_share_the_work_without_doubling_it(
    protocol: Protocol, pool: Pool, heard: Heard
) -> None:
    for _ in range(40):
        protocol.enqueue(delay_ms=60_000)
    protocol.rows("update taskforge.scheduled set run_at = now() - interval '1 second'")
    stagers = [Stager(pool=pool, bus=heard.bus, batch=7) for _ in range(4)]
    steps = [await asyncio.gather(*(stager.step() for stager in stagers)) for _ in range(8)]
    assert sum(step.did for turn in steps for step in turn) == 40
    assert protocol.value("select count(distinct job_id) from taskforge.ready") == 40


async def test_the_rescuer_takes_back_and_buries(
    protocol: Protocol, pool: Pool, heard: Heard
) -> None:
    again, last = protocol.enqueue(max_attempts=2), protocol.enqueue(max_attempts=1)
    worker = protocol.register()
    protocol.claim(worker)
    rescuer = Rescuer(pool=pool, bus=heard.bus)
    assert (await rescuer.step()).did == 0
    protocol.rows("delete from taskforge.worker")
    assert (await rescuer.step()).did == 2
    assert (protocol.place(again), protocol.place(last)) == ({"ready"}, {"dead"})
    assert heard.events == [JobsMoved(move="rescue", jobs=1), JobsMoved(move="bury", jobs=1)]


async def test_the_expirer_ends_what_waited_too_long(
    protocol: Protocol, pool: Pool, heard: Heard
) -> None:
    job = protocol.enqueue(expires_ms=60_000)
    expirer = Expirer(pool=pool, bus=heard.bus)
    assert (await expirer.step()).did == 0
    protocol.due_now("expiring", "expires_at", job)
    assert (await expirer.step()).did == 1
    assert protocol.state(job) == "cancelled"
    assert heard.events == [JobsMoved(move="expire", jobs=1)]


async def test_the_resolver_tells_a_long_line_in_bounded_steps(
    protocol: Protocol, pool: Pool, heard: Heard
) -> None:
    head = tail = protocol.enqueue(max_attempts=1)
    for _ in range(4):
        tail = protocol.enqueue(after=[tail])
    resolver = Resolver(pool=pool, bus=heard.bus, batch=1)
    protocol.finish(protocol.claim(protocol.register()), DEAD)
    turns = 0
    while (await resolver.step()).did:
        turns += 1
    assert turns >= 4
    assert (protocol.state(head), protocol.state(tail)) == ("dead", "cancelled")


async def test_the_lookout_wakes_whom_it_concerns(protocol: Protocol, pool: Pool) -> None:
    woken: list[str] = []
    names = ("stager", "scheduler", "expirer", "resolver", "rescuer")
    lookout = Lookout(pool=pool, wake={name: partial(woken.append, name) for name in names})
    step = await lookout.step()
    assert (step.did, step.again_in_seconds, woken) == (0, 0.25, [])

    soon = protocol.enqueue(delay_ms=100)
    step = await lookout.step()
    assert step.again_in_seconds is not None
    assert step.again_in_seconds < 0.25

    protocol.due_now("scheduled", "run_at", soon)
    protocol.enqueue(after=[soon])
    expiring = protocol.enqueue(expires_ms=1_000)
    protocol.due_now("expiring", "expires_at", expiring)
    protocol.register(lease_seconds=-1)
    await lookout.step()
    assert sorted(woken) == ["expirer", "rescuer", "resolver", "stager"]


async def test_the_lookout_rings_for_jobs_that_nobody_rang_for(
    protocol: Protocol, pool: Pool
) -> None:
    lookout = Lookout(pool=pool, wake={})
    protocol.rows("listen taskforge")
    await lookout.step()
    protocol.enqueue()
    protocol.rows("update taskforge.ready set ord = ord - 300000")
    await lookout.step()
    heard = [notice.payload for notice in protocol.connection.notifies(timeout=5, stop_after=1)]
    assert heard == [f"ready {protocol.queue}"]


async def test_the_sampler_counts_every_state(
    protocol: Protocol, pool: Pool, heard: Heard, clock: SetClock
) -> None:
    parent = protocol.enqueue()
    protocol.enqueue(delay_ms=60_000)
    protocol.enqueue(after=[parent])
    sampler = Sampler(pool=pool, bus=heard.bus, clock=clock)
    await sampler.step()
    (sampled,) = heard.of(QueueSampled)
    assert isinstance(sampled, QueueSampled)
    assert sampled.depth == {"ready": 1, "scheduled": 1, "blocked": 1}
    assert sampled.oldest_wait_seconds is not None
    protocol.finish(protocol.claim(protocol.register()))
    heard.events.clear()
    await sampler.step()
    (sampled,) = heard.of(QueueSampled)
    assert isinstance(sampled, QueueSampled)
    assert sampled.depth == {"ready": 1, "scheduled": 1, "blocked": 0}


async def test_the_vacuumer_vacuums_what_holds_many_dead_rows(
    protocol: Protocol, pool: Pool, heard: Heard, clock: SetClock
) -> None:
    protocol.enqueue_plain(500)
    protocol.finish(protocol.claim(protocol.register(), limit=500))
    vacuumer = Vacuumer(pool=pool, bus=heard.bus, clock=clock, dead_rows=300)

    async def vacuumed() -> bool:
        # Statistics follow late unless they are asked for.
        protocol.rows("select pg_stat_force_next_flush()")
        await vacuumer.step()
        tables = {
            event.table for event in heard.of(TableVacuumed) if isinstance(event, TableVacuumed)
        }
        return tables >= {"ready", "running"}

    assert await wait_until_async(vacuumed)
