"""Elections: one leader, terms that grow, and trust that a slow answer never lengthens."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from taskforge_server.domain.lease import LeaseTerms
from taskforge_server.engine.leader import NAME, Leader, LeaderOnly
from taskforge_server.engine.pruner import Pruner
from taskforge_server.storage import leadership
from taskforge_server.storage.pool import Pool
from taskforge_server.telemetry.events import LeadershipChanged
from tests.engine.conftest import Half, Heard, SetClock
from tests.support.protocol import Protocol

pytestmark = [pytest.mark.engine, pytest.mark.anyio]

TERMS = LeaseTerms(lease_seconds=15, renew_seconds=5, margin_seconds=2)


def leader(
    pool: Pool, heard: Heard, clock: SetClock, rng: Half, holder: UUID | None = None
) -> Leader:
    return Leader(
        pool=pool, bus=heard.bus, clock=clock, rng=rng, holder=holder or uuid4(), terms=TERMS
    )


async def test_one_of_many_leads(pool: Pool, heard: Heard, clock: SetClock, rng: Half) -> None:
    nodes = [leader(pool, heard, clock, rng) for _ in range(6)]
    await asyncio.gather(*(node.step() for node in nodes))
    assert sum(node.is_leading() for node in nodes) == 1
    assert heard.events == [LeadershipChanged(leading=True, term=1)]


async def test_who_resigns_makes_room_at_once(
    pool: Pool, heard: Heard, clock: SetClock, rng: Half
) -> None:
    first, second = leader(pool, heard, clock, rng), leader(pool, heard, clock, rng)
    await first.step()
    await second.step()
    assert (first.is_leading(), second.is_leading()) == (True, False)
    await first.resign()
    await first.resign()
    await second.step()
    assert (first.is_leading(), second.is_leading()) == (False, True)
    now = await leadership.current(pool, name=NAME)
    assert now is not None
    assert (now.holder, now.term, now.held) == (second.holder, 2, True)
    assert await leadership.current(pool, name="nobody") is None


async def test_a_lease_that_ran_out_is_lost_even_if_nobody_took_it(
    protocol: Protocol, pool: Pool, heard: Heard, clock: SetClock, rng: Half
) -> None:
    node = leader(pool, heard, clock, rng)
    await node.step()
    protocol.rows("update taskforge.leader set expires_at = now() - interval '1 second'")
    await node.step()
    terms = [
        (event.leading, event.term)
        for event in heard.events
        if isinstance(event, LeadershipChanged)
    ]
    assert terms == [(True, 1), (False, 1), (True, 2)]


async def test_a_term_that_was_replaced_is_lost(
    protocol: Protocol, pool: Pool, heard: Heard, clock: SetClock, rng: Half
) -> None:
    node = leader(pool, heard, clock, rng)
    await node.step()
    protocol.rows("update taskforge.leader set term = term + 1")
    await node.step()
    assert not node.is_leading()


async def test_trust_ends_before_the_lease_and_counts_from_the_request(
    pool: Pool, heard: Heard, clock: SetClock, rng: Half
) -> None:
    node = leader(pool, heard, clock, rng)
    step = await node.step()
    assert step.again_in_seconds == pytest.approx(4.75)
    clock.advance(12.9)
    assert node.is_leading()
    clock.advance(0.2)
    assert not node.is_leading()
    await node.step()
    assert node.is_leading()


async def test_housekeeping_is_the_leaders_alone(
    pool: Pool, heard: Heard, clock: SetClock, rng: Half
) -> None:
    node = leader(pool, heard, clock, rng)
    keeper = LeaderOnly(service=Pruner(pool=pool, bus=heard.bus, clock=clock), leader=node)
    assert (keeper.name, keeper.interval_seconds) == ("pruner", 60.0)
    won: list[bool] = []
    node.gained = lambda: won.append(node.is_leading())
    assert (await keeper.step()).did == 0
    await node.step()
    assert won == [True]
    await keeper.step()
