"""Where a worker's jobs come from and where their outcomes go, in wire terms.

Roads implement it.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from taskforge_client.wire.workers import (
    ClaimedJob,
    Fate,
    Finished,
    Heartbeat,
    HeartbeatAnswer,
    Lease,
    Registration,
)


class JobSource(Protocol):
    """One worker incarnation's side of the conversation.

    Every method may raise `taskforge_client.errors.Unreachable`; the caller repeats it: all are
    safe to repeat. `heartbeat` is a blocking call on a connection of its own, made from a thread
    that shares nothing with the event loop, so that a busy loop can't starve the lease. The rest is
    awaited on the loop.
    """

    def on_notice(self, callback: Callable[[], None]) -> None:
        """Have `callback` called on the loop when a cancellation or a drain request may wait.

        A heartbeat sent then learns of it at once instead of with the next regular one.
        """
        ...

    async def register(self, registration: Registration) -> Lease:
        """Open a lease for a new incarnation."""
        ...

    async def claim(self, limit: int) -> list[ClaimedJob]:
        """Take up to `limit` ready jobs of the registered queues, at once, possibly none."""
        ...

    async def wait(self, timeout_seconds: float) -> None:
        """Return when there may be something to claim, or when the time is over.

        A ring of the doorbell since the last claim began counts. May be cancelled at any time; no
        other call is.
        """
        ...

    async def finish(self, outcomes: Sequence[Finished]) -> list[Fate]:
        """Record how attempts ended, durably, and answer in the same order.

        Repeating a batch is harmless.
        """
        ...

    async def release(self, jobs: Sequence[ClaimedJob]) -> None:
        """Give back claimed jobs that never started; their attempts are not counted."""
        ...

    def heartbeat(self, beat: Heartbeat) -> HeartbeatAnswer:
        """Extend the lease; learn of cancellations and drain requests.

        Blocks; called from the heartbeat's thread.
        """
        ...

    async def resign(self) -> None:
        """End the lease after everything was finished or released."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
