"""Counts how much the queues hold, for metrics and for those who look at a long queue.

Invariant: a sample is only ever a number to look at; nothing is decided by it. It costs what
counting costs, so a long count is followed by a pause of fifty times its length.
"""

from typing import Final

from attrs import define

from taskforge_server.domain.clock import Clock
from taskforge_server.engine.service import Stepped
from taskforge_server.storage import queues
from taskforge_server.storage.pool import Pool
from taskforge_server.telemetry.bus import Bus
from taskforge_server.telemetry.events import QueueSampled

_PAUSES: Final = 50


@define(eq=False, kw_only=True)
class Sampler:
    """Live tables → depths."""

    pool: Pool
    bus: Bus
    clock: Clock
    name: str = "sampler"
    interval_seconds: float = 10.0

    async def step(self) -> Stepped:
        """Count once."""
        started = self.clock.monotonic()
        samples = await queues.sample_queues(self.pool)
        for sample in samples:
            self.bus.publish(
                QueueSampled(
                    queue=sample.name,
                    depth=sample.depth,
                    oldest_wait_seconds=sample.oldest_wait_seconds,
                )
            )
        took = self.clock.monotonic() - started
        return Stepped(
            did=len(samples), again_in_seconds=max(self.interval_seconds, _PAUSES * took)
        )
