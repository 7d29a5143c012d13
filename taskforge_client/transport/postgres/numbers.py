"""Numbers for new jobs, minted on this side from blocks that the database handed out.

Because the sender knows a job's number before the job is stored, a send whose answer was lost can
be repeated without storing anything twice.
"""

import time
from collections.abc import Callable
from typing import Final

from taskforge_client.transport.postgres.link import AsyncLink
from taskforge_client.wire.ids import BLOCK_SIZE, mint_base

# A block's number returns after 4,096 further blocks were handed out; nobody may still be minting
# from it then.
_HOLD_SECONDS: Final = 5.0
_RESERVE: Final = "select base, now_us from taskforge.reserve_blocks(%s)"


class NumberMint:
    """Mints numbers that carry the database's time, asking it for a block of 1,024 now and then.

    `monotonic` is the clock that tells how long ago the database was asked.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._block = 0
        self._used = BLOCK_SIZE
        self._database_ms = 0
        self._asked_at = 0.0
        self._newest_ms = 0

    async def mint(self, connection: AsyncLink, count: int) -> list[int]:
        """Return `count` numbers that nobody else gets, in rising order."""
        age = self._monotonic() - self._asked_at
        if self._used + count > BLOCK_SIZE or age > _HOLD_SECONDS:
            return await self._mint_anew(connection, count)
        # Never earlier than a number already given: the order of numbers is the order of minting.
        self._newest_ms = max(self._newest_ms, self._database_ms + int(age * 1000))
        first = mint_base(self._newest_ms, self._block) + self._used
        self._used += count
        return list(range(first, first + count))

    async def _mint_anew(self, connection: AsyncLink, count: int) -> list[int]:
        blocks = -(-count // BLOCK_SIZE)
        cursor = connection.cursor(binary=True)
        await cursor.execute(_RESERVE, (blocks,), prepare=True)
        rows = await cursor.fetchall()
        self._asked_at = self._monotonic()
        numbers: list[int] = []
        for base, _ in rows:
            numbers.extend(range(base, base + min(BLOCK_SIZE, count - len(numbers))))
        last_base, now_us = rows[-1]
        self._database_ms = now_us // 1000
        self._newest_ms = max(self._newest_ms, self._database_ms)
        self._block = last_base >> 10
        self._used = count - (blocks - 1) * BLOCK_SIZE
        return numbers
