"""Tells workers that there is something to claim: at once the first time, then at most every 20 ms.

A ring is a hint. It travels on its own connection after the enqueue has committed, and nothing
waits for it.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Final

from taskforge_client.errors import TaskForgeError
from taskforge_client.transport.postgres.arrays import Int4Array
from taskforge_client.transport.postgres.link import AsyncLink, Link
from taskforge_client.transport.postgres.statements import RING

_QUIET_SECONDS: Final = 0.02


class Doorbell:
    """Rings for queues over `link`."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._pending: set[int] = set()
        self._ringing: asyncio.Task[None] | None = None

    def ring(self, queues: Iterable[int]) -> None:
        """Ring for queues by number, soon; returns at once."""
        self._pending.update(queues)
        if self._pending and (self._ringing is None or self._ringing.done()):
            self._ringing = asyncio.create_task(self._ring_all())

    async def aclose(self) -> None:
        """Let a ring under way end, and close the connection."""
        if self._ringing is not None:
            await asyncio.wait((self._ringing,))
        await self._link.aclose()

    async def _ring_all(self) -> None:
        while self._pending:
            queues = Int4Array(sorted(self._pending))
            self._pending.clear()

            async def notify(connection: AsyncLink, queues: Int4Array = queues) -> None:
                await connection.execute(RING, (queues,), prepare=True)

            # Workers look by themselves every now and then, so a lost ring costs a moment, no job.
            with contextlib.suppress(TaskForgeError):
                await self._link.call(notify)
            await asyncio.sleep(_QUIET_SECONDS)
