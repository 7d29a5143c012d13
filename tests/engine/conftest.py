"""One node's parts over a fresh database, with a clock and a log of events that the test holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from attrs import Factory, define

from taskforge_server.storage.pool import Pool
from taskforge_server.telemetry.bus import Bus
from taskforge_server.telemetry.events import Event
from tests.support.postgres import Database
from tests.support.protocol import Protocol


@define
class SetClock:
    """A clock that stands until the test moves it."""

    at: datetime = datetime(2026, 11, 24, 12, tzinfo=UTC)
    ticks: float = 1_000.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.ticks

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.ticks += seconds


@define
class Half:
    """Dice that always show the middle."""

    def random(self) -> float:
        return 0.5


@define
class Heard:
    """A bus that keeps what it hears."""

    events: list[Event] = Factory(list)
    bus: Bus = Factory(lambda self: Bus((self.events.append,)), takes_self=True)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def rng() -> Half:
    return Half()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def protocol(database: Database) -> Iterator[Protocol]:
    with Protocol.connect(database.url) as made:
        yield made


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    async with await Pool.open(database.url) as made:
        yield made
