"""How much to claim and when: slots, an adaptive prefetch, and the loop that fills them.

`concurrency` bounds how many attempts run at once. Claimed and not yet acknowledged are at most
that many and a prefetch: what the worker has lately got through in 50 ms, at most 1,000, so that
jobs of microseconds come in large batches and jobs of seconds one by one, as slots become free. A
slot is free only when the flush that carries its outcome was acknowledged: while the source is away
nothing piles up.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from attrs import define

from taskforge_client.errors import Conflict, Unreachable
from taskforge_client.wire.workers import ClaimedJob
from taskforge_client.worker.backoff import Backoff
from taskforge_client.worker.clock import Seconds
from taskforge_client.worker.source import JobSource

CLAIM_LIMIT: Final = 500
PREFETCH_LIMIT: Final = 1000
PREFETCH_SECONDS: Final = 0.05
FIRST_POLL_SECONDS: Final = 0.02
POLL_CAP_SECONDS: Final = 2.0
_RATE_WINDOW_SECONDS: Final = 0.02

_log = logging.getLogger(__name__)


@define(eq=False)
class Slots:
    """How many jobs are in hand and how many more may be."""

    concurrency: int
    monotonic: Seconds
    in_hand: int = 0
    prefetch: int = 0
    done: int = 0
    _acknowledged: int = 0
    _since: float = 0.0

    def take(self, number: int) -> None:
        """Count claimed jobs."""
        self.in_hand += number

    def free(self, number: int) -> None:
        """Count jobs whose outcome was acknowledged, or that were given back."""
        self.in_hand -= number
        self.done += number
        self._acknowledged += number
        now = self.monotonic()
        elapsed = now - self._since
        if elapsed >= _RATE_WINDOW_SECONDS:
            expected = int(self._acknowledged / elapsed * PREFETCH_SECONDS)
            self.prefetch = min(PREFETCH_LIMIT, (self.prefetch + expected) // 2)
            self._acknowledged = 0
            self._since = now

    def room(self, unstarted: int) -> int:
        """Return how many to claim now.

        None while enough lies unstarted and little has become free.
        """
        capacity = self.concurrency + self.prefetch
        free = capacity - self.in_hand
        if free <= 0 or (unstarted and free * 4 < capacity):
            return 0
        return min(free, CLAIM_LIMIT)


class Claimer:
    """Claims jobs and hands them to `deliver` until told to stop.

    `unstarted` says how many delivered jobs have not begun; `refused` is told of a claim that the
    source refused.
    """

    def __init__(
        self,
        source: JobSource,
        slots: Slots,
        *,
        deliver: Callable[[list[ClaimedJob]], None],
        unstarted: Callable[[], int],
        refused: Callable[[], None],
        spread: Callable[[], float],
    ) -> None:
        self._source = source
        self._slots = slots
        self._deliver = deliver
        self._unstarted = unstarted
        self._refused = refused
        self._spread = spread
        self._backoff = Backoff(spread)
        self._roomy = asyncio.Event()
        self._is_stopping = False
        self._pause: asyncio.Task[None] | None = None
        self._idle_seconds = FIRST_POLL_SECONDS

    def nudge(self) -> None:
        """Look again whether there is room."""
        self._roomy.set()

    def stop(self) -> None:
        """Claim no more; a claim in flight is awaited, for its jobs are ours."""
        self._is_stopping = True
        self._roomy.set()
        if self._pause is not None:
            self._pause.cancel()

    async def run(self) -> None:
        """Claim until stopped."""
        while not self._is_stopping:
            limit = self._slots.room(self._unstarted())
            if not limit:
                self._roomy.clear()
                await self._roomy.wait()
                continue
            try:
                jobs = await self._source.claim(limit)
            except Unreachable:
                await self._rest(asyncio.sleep(self._backoff.next_seconds()))
                continue
            except Conflict:
                # The lease is gone: the heartbeat finds out at once and ends the shift.
                _log.warning("a claim was refused: this worker's lease has ended")
                self._refused()
                await self._rest(asyncio.sleep(self._backoff.next_seconds()))
                continue
            except Exception:  # noqa: BLE001 - nothing may end the loop that claims
                _log.exception("a claim was refused; trying again")
                self._refused()
                await self._rest(asyncio.sleep(self._backoff.next_seconds()))
                continue
            self._backoff.reset()
            if jobs:
                self._idle_seconds = FIRST_POLL_SECONDS
                self._slots.take(len(jobs))
                self._deliver(jobs)
            if len(jobs) < limit:
                await self._wait_for_more()

    async def _wait_for_more(self) -> None:
        timeout_seconds = self._idle_seconds * (0.75 + 0.5 * self._spread())
        self._idle_seconds = min(POLL_CAP_SECONDS, 2.0 * self._idle_seconds)
        try:
            await self._rest(self._source.wait(timeout_seconds))
        except Unreachable:
            await self._rest(asyncio.sleep(self._backoff.next_seconds()))

    async def _rest(self, pause: Coroutine[Any, Any, None]) -> None:
        """Await `pause`, which `stop` cuts short."""
        if self._is_stopping:
            pause.close()
            return
        self._pause = asyncio.ensure_future(pause)
        try:
            await self._pause
        except asyncio.CancelledError:
            if not self._is_stopping:
                raise
        finally:
            self._pause.cancel()
            self._pause = None
