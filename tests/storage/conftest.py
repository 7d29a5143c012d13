"""Connections to a fresh database, for the tests of storage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from taskforge_server.storage.pool import Pool
from tests.support.postgres import Database
from tests.support.protocol import Protocol


@pytest.fixture
def protocol(database: Database) -> Iterator[Protocol]:
    """One connection to a fresh database."""
    with Protocol.connect(database.url) as made:
        yield made


@pytest.fixture
def anyio_backend() -> str:
    """The server runs on asyncio."""
    return "asyncio"


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    """A pool of connections to the same database."""
    async with await Pool.open(database.url) as made:
        yield made
