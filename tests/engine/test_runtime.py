"""A node as a whole: it starts, is woken, outlives failures, and lets go when it stops."""

from __future__ import annotations

import asyncio

import pytest
from attrs import Factory, define

from taskforge_server.config.model import Config
from taskforge_server.engine.leader import NAME
from taskforge_server.engine.probe import NoProbe
from taskforge_server.engine.service import Loop, Stepped
from taskforge_server.storage import leadership
from taskforge_server.storage.errors import DatabaseUnreachable
from taskforge_server.storage.pool import Pool
from taskforge_server.telemetry.events import ServiceFailed, ServiceStepped
from taskforge_server.wiring import run_node
from tests.engine.conftest import Half, Heard, SetClock
from tests.support.polling import wait_until_async
from tests.support.postgres import Database
from tests.support.protocol import Protocol

pytestmark = [pytest.mark.engine, pytest.mark.anyio]


@define
class Signals:
    """A probe that counts what it hears."""

    steps: dict[str, int] = Factory(dict)
    failures: list[str] = Factory(list)

    def stepped(self, service: str, did: int) -> None:
        assert did >= 0
        self.steps[service] = self.steps.get(service, 0) + 1

    def failed(self, service: str, error: BaseException) -> None:
        assert str(error)
        self.failures.append(service)


@define
class Scripted:
    """A service that does what it is told, step by step."""

    script: list[Stepped | Exception]
    name: str = "scripted"
    interval_seconds: float = 3600.0

    async def step(self) -> Stepped:
        turn = self.script.pop(0) if self.script else Stepped()
        if isinstance(turn, Exception):
            raise turn
        return turn


async def run_until(loop: Loop, signals: Signals, steps: int) -> None:
    task = asyncio.create_task(loop.run())

    async def done() -> bool:
        return signals.steps.get("scripted", 0) >= steps

    try:
        await wait_until_async(done)
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_a_loop_steps_again_when_told_and_outlives_failures(
    heard: Heard, clock: SetClock
) -> None:
    @define
    class Never:
        def random(self) -> float:
            return 0.0

    signals = Signals()
    script: list[Stepped | Exception] = [
        Stepped(did=1, again_in_seconds=0.0),
        ValueError("no"),
        DatabaseUnreachable("gone"),
        Stepped(again_in_seconds=0.001),
        Stepped(),
    ]
    loop = Loop(service=Scripted(script), bus=heard.bus, clock=clock, rng=Never(), probe=signals)
    await run_until(loop, signals, 3)
    failed = [event for event in heard.of(ServiceFailed) if isinstance(event, ServiceFailed)]
    assert [(event.failures, event.error) for event in failed] == [
        (1, "ValueError: no"),
        (2, "DatabaseUnreachable: gone"),
    ]
    assert len(heard.of(ServiceStepped)) == 3
    assert signals.failures == ["scripted", "scripted"]


async def test_a_loop_that_sleeps_is_woken(heard: Heard, clock: SetClock, rng: Half) -> None:
    signals = Signals()
    loop = Loop(service=Scripted([]), bus=heard.bus, clock=clock, rng=rng, probe=signals)
    task = asyncio.create_task(loop.run())
    for steps in (1, 2, 3):

        async def stepped(steps: int = steps) -> bool:
            return signals.steps.get("scripted", 0) >= steps

        await wait_until_async(stepped)
        loop.wake()
    task.cancel()
    await asyncio.wait((task,))


async def test_a_node_stages_rescues_and_resigns(database: Database, protocol: Protocol) -> None:
    signals = Signals()
    due = protocol.enqueue(delay_ms=200)
    held = protocol.enqueue()
    worker = protocol.register(600)
    protocol.claim(worker)
    async with run_node(database.url, config=Config(pool_connections=4), probe=signals) as node:

        async def leads() -> bool:
            return node.runtime.leader.is_leading() and node.runtime.doorbell.listening

        await wait_until_async(leads)

        async def staged() -> bool:
            return protocol.place(due) == {"ready"}

        await wait_until_async(staged)
        # Nobody looks for orphans so soon: the end of the lease rings.
        protocol.rows("select taskforge.end_lease(%s)", worker)

        async def rescued() -> bool:
            return protocol.place(held) == {"ready"}

        await wait_until_async(rescued)

        async def all_stepped() -> bool:
            node.runtime.wake_all()
            return set(signals.steps) == set(node.runtime.loops)

        await wait_until_async(all_stepped)
        async with await Pool.open(database.url) as pool:
            before = await leadership.current(pool, name=NAME)
            assert before is not None
            assert before.held
    async with await Pool.open(database.url) as pool:
        after = await leadership.current(pool, name=NAME)
        assert after is not None
        assert not after.held
    assert signals.failures == []


async def test_only_some_services(database: Database) -> None:
    async with run_node(database.url, services=["stager"], probe=NoProbe()) as node:
        assert list(node.runtime.loops) == ["stager"]
        node.runtime.wake("stager")


async def test_no_database_is_said_at_once() -> None:
    with pytest.raises(DatabaseUnreachable, match="can't be reached"):
        async with run_node("postgresql://nobody@127.0.0.1:1/none"):
            pass
