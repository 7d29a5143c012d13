"""Buffers outcomes and records them in batches; never loses one while the process lives.

A batch leaves when nothing else will come soon, when the last one left 5 ms ago, or at 1,000
outcomes. One batch is in flight at a time and what ends meanwhile gathers for the next. A batch
whose answer is lost is sent again: the source answers a repeated outcome as it did the first time.
One outcome that the source can't take (a defect, never a lost connection) is found by halving its
batch and replaced by a bare failure, so that it can't hold up the others.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from attrs import evolve

from taskforge_client.errors import Unreachable
from taskforge_client.wire.states import JobState
from taskforge_client.wire.workers import Fate, Finished
from taskforge_client.worker.backoff import Backoff
from taskforge_client.worker.clock import Seconds
from taskforge_client.worker.failure import stated_error
from taskforge_client.worker.metrics import MetricsSink
from taskforge_client.worker.source import JobSource

BATCH_LIMIT: Final = 1000
LINGER_SECONDS: Final = 0.005

_log = logging.getLogger(__name__)


class OutcomeBuffer:
    """The outcomes on their way to the source.

    The hot path appends to `waiting` itself and calls `nudge` when it pauses. `acknowledged` is
    told the number of outcomes after each flush: only then are their slots free.
    """

    def __init__(
        self,
        source: JobSource,
        *,
        acknowledged: Callable[[int], None],
        monotonic: Seconds,
        backoff: Backoff,
        metrics: MetricsSink,
    ) -> None:
        self.waiting: list[Finished] = []
        self._source = source
        self._acknowledged = acknowledged
        self._monotonic = monotonic
        self._backoff = backoff
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._last_start = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._flushing = False
        self._batch: list[Finished] = []

    def unacknowledged(self) -> list[Finished]:
        """Return all outcomes that may not be recorded yet."""
        return self._batch + self.waiting

    def nudge(self, *, quiet: bool) -> None:
        """Let the outcomes leave.

        At once when `quiet` (nothing else will come soon), else 5 ms after the last.
        """
        if not self.waiting or self._flushing:
            return
        self._emptied.clear()
        wait = self._last_start + LINGER_SECONDS - self._monotonic()
        if quiet or wait <= 0 or len(self.waiting) >= BATCH_LIMIT:
            self._wake.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait, self._timer_rang)

    def forget(self, number: int) -> None:
        """Free the slots of attempts that ended without an outcome of ours to record."""
        self._acknowledged(number)

    async def run(self) -> None:
        """Record outcomes until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._flush_all()

    async def emptied(self) -> None:
        """Return when every outcome handed in so far was acknowledged."""
        self.nudge(quiet=True)
        await self._emptied.wait()

    def _timer_rang(self) -> None:
        self._timer = None
        self._wake.set()

    async def _flush_all(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._flushing = True
        try:
            while self.waiting:
                self._batch = batch = self.waiting[:BATCH_LIMIT]
                del self.waiting[:BATCH_LIMIT]
                self._last_start = self._monotonic()
                await self._record(batch)
                self._metrics.flushed(len(batch), self._monotonic() - self._last_start)
                self._batch = []
                self._acknowledged(len(batch))
                if 0 < len(self.waiting) < BATCH_LIMIT and not await self._gathered():
                    continue
        finally:
            self._flushing = False
        self._emptied.set()

    async def _gathered(self) -> bool:
        """Wait until the linger since the last flush is over.

        Return whether it had not been over already.
        """
        wait = self._last_start + LINGER_SECONDS - self._monotonic()
        if wait <= 0:
            return False
        await asyncio.sleep(wait)
        return True

    async def _record(self, batch: Sequence[Finished]) -> None:
        while True:
            try:
                fates = await self._source.finish(batch)
            except Unreachable:
                await asyncio.sleep(self._backoff.next_seconds())
            except Exception:  # noqa: BLE001 - any other answer is about this batch
                _log.exception("the source refused %d outcomes", len(batch))
                await self._record_apart(batch)
                return
            else:
                self._backoff.reset()
                lost = fates.count(Fate.LOST)
                if lost:
                    self._metrics.outcomes_lost(lost)
                return

    async def _record_apart(self, batch: Sequence[Finished]) -> None:
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._record(batch[:middle])
            await self._record(batch[middle:])
        elif batch[0].reason != UNRECORDABLE:
            await self._record([bare_failure(batch[0])])
        else:
            self._metrics.outcomes_lost(1)


UNRECORDABLE: Final = "OUTCOME_UNRECORDABLE"


def bare_failure(outcome: Finished) -> Finished:
    """Return what is recorded in place of an outcome that the source can't take."""
    return evolve(
        outcome,
        state=JobState.DEAD,
        result=None,
        error=stated_error(UNRECORDABLE, "the outcome of this attempt could not be recorded"),
        reason=UNRECORDABLE,
        log=None,
        spawned=(),
        burns_attempt=True,
    )
