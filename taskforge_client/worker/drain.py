"""Leaving in good order, within two deadlines.

Claim no more, give back what has not started, finish what runs.

The heartbeat goes on to the end, so that nothing is taken from a worker that is still at it. At the
soft deadline what still runs is asked to stop; its jobs go back without counting the attempt. At
the hard deadline it is given up: the jobs go back all the same, and the process leaves without
waiting for code that does not listen.
"""

import asyncio
from typing import Protocol, Self

from attrs import frozen

from taskforge_client.wire.workers import ClaimedJob


@frozen(kw_only=True)
class Grace:
    """How long a drain may take.

    Running attempts are asked to stop after `soft_seconds`, given up at `hard_seconds`.
    """

    soft_seconds: float = 20.0
    hard_seconds: float = 25.0

    @classmethod
    def within(cls, seconds: float) -> Self:
        """Return a grace of `seconds`; after four fifths what still runs is asked to stop."""
        return cls(soft_seconds=0.8 * seconds, hard_seconds=seconds)


class Drainable(Protocol):
    """What `drain` does with a worker."""

    async def stop_claiming(self) -> None:
        """Claim no more, and return when no claim is in flight."""
        ...

    def take_back(self) -> list[ClaimedJob]:
        """Return the claimed jobs that have not started and will not."""
        ...

    async def release(self, jobs: list[ClaimedJob]) -> None:
        """Give jobs back."""
        ...

    async def settled(self) -> None:
        """Return when nothing runs and every outcome was acknowledged."""
        ...

    def stop_running(self) -> None:
        """Ask everything that runs to stop."""
        ...

    def give_up(self) -> None:
        """End everything that runs, whatever its code does."""
        ...


async def drain(
    worker: Drainable, grace: Grace, hasten: asyncio.Event, flush_seconds: float = 2.0
) -> bool:
    """Empty a worker; return whether all went well within the grace.

    `hasten` (a second signal) makes the soft deadline be now and the hard one soon after.
    `flush_seconds` is what may pass beyond the hard deadline for the last outcomes to be recorded.
    """
    await worker.stop_claiming()
    await worker.release(worker.take_back())
    settled = asyncio.ensure_future(worker.settled())
    hurried = asyncio.ensure_future(hasten.wait())
    try:
        await asyncio.wait(
            (settled, hurried),
            timeout=grace.soft_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not settled.done():
            worker.stop_running()
            await asyncio.wait(
                (settled,), timeout=max(0.0, grace.hard_seconds - grace.soft_seconds)
            )
        if not settled.done():
            worker.give_up()
            await asyncio.wait((settled,), timeout=flush_seconds)
        return settled.done()
    finally:
        settled.cancel()
        hurried.cancel()
