"""The doorbell: hears what is rung on the channel `taskforge`, on a direct connection of its own.

Hearing is only ever faster than looking: a missed ring costs a poll's delay, nothing else. The
connection is asked every ten seconds whether it still listens, since behind a transaction pooler
LISTEN is accepted and nothing arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import psycopg
from attrs import define, field
from psycopg import AsyncConnection

from taskforge_server.domain.clock import Rng
from taskforge_server.storage.pool import connection_options

CHANNEL: Final = "taskforge"
_LISTEN: Final = b"listen taskforge"
_CHECK: Final = (
    b"select exists (select from pg_listening_channels() channel where channel = 'taskforge')"
)
_CHECK_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 5.0
_LONGEST_PAUSE_SECONDS: Final = 10.0


@define(eq=False, kw_only=True)
class Doorbell:
    """Calls `heard` with each payload, such as ``ready 7``.

    Reconnects for ever. `listening` tells whether it hears now.
    """

    url: str
    heard: Callable[[str], None]
    rng: Rng
    listening: bool = field(default=False, init=False)

    async def run(self) -> None:
        """Listen until cancelled."""
        failures = 0
        while True:
            try:
                async with await AsyncConnection.connect(
                    connection_options(self.url, "taskforge-doorbell"), autocommit=True
                ) as connection:
                    await connection.execute(_LISTEN)
                    failures = 0
                    await self._listen(connection)
            except (psycopg.Error, OSError, TimeoutError):
                failures += 1
            finally:
                self.listening = False
            pause = min(_LONGEST_PAUSE_SECONDS, 0.1 * 2 ** min(failures, 10))
            await asyncio.sleep(pause * self.rng.random())

    async def _listen(self, connection: AsyncConnection) -> None:
        while True:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = await (await connection.execute(_CHECK)).fetchone()
            self.listening = answer == (True,)
            with contextlib.suppress(TimeoutError):
                async for notice in connection.notifies(timeout=_CHECK_SECONDS):
                    self.heard(notice.payload)
