"""What tasks, handles and queues send through: each verb in its blocking and its awaited form.

The work is done in `taskforge_client.ways`, which is loaded with the first send together with the
event loop it needs, so that importing an application costs little.
"""

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from taskforge_client.transport.base import OutgoingJob, Transport
from taskforge_client.wire.jobs import Enqueued
from taskforge_client.wire.problems import Problem

if TYPE_CHECKING:
    from taskforge_client.ways import Ways

T = TypeVar("T")
Keep = Callable[[Sequence[OutgoingJob], Sequence[Enqueued | Problem]], None]


class Sender:
    """One app's way out; `open_transport` makes a transport, without I/O."""

    def __init__(self, open_transport: Callable[[], Transport]) -> None:
        self._open_transport = open_transport
        self._opened_ways: Ways | None = None

    def call(self, name: str, function: Callable[[Transport], Awaitable[T]]) -> T:
        """Run `function` with a transport and wait for it; `name` is the blocking method's.

        Raises:
            UseAwait: an event loop runs in this thread.
        """
        return self._ways.call(name, function)

    async def acall(self, function: Callable[[Transport], Awaitable[T]]) -> T:
        """Run `function` with a transport of the running loop."""
        return await self._ways.acall(function)

    def enqueue(self, job: OutgoingJob) -> Enqueued:
        """Send one job and wait until it is stored."""
        return self._ways.enqueue(job)

    async def aenqueue(self, job: OutgoingJob) -> Enqueued:
        """Send one job; sends made at the same time may share a transaction."""
        return await self._ways.aenqueue(job)

    def enqueue_chunks(self, chunks: Iterable[Sequence[OutgoingJob]], keep: Keep) -> None:
        """Send chunks, at most two in flight, and hand each one's answers to `keep` in order."""
        self._ways.enqueue_chunks(chunks, keep)

    async def aenqueue_chunks(
        self, chunks: AsyncIterable[Sequence[OutgoingJob]], keep: Keep
    ) -> None:
        """Send chunks from the running loop, otherwise as `enqueue_chunks`."""
        await self._ways.aenqueue_chunks(chunks, keep)

    def enqueue_within(self, connection: object, jobs: Sequence[OutgoingJob]) -> Sequence[Enqueued]:
        """Send jobs in the open transaction of a blocking connection."""
        return self._ways.enqueue_within(connection, jobs)

    async def aenqueue_within(
        self, connection: object, jobs: Sequence[OutgoingJob]
    ) -> Sequence[Enqueued]:
        """Send jobs in the open transaction of an awaited connection."""
        return await self._ways.aenqueue_within(connection, jobs)

    def close(self) -> None:
        """Close what blocking calls opened."""
        if self._opened_ways is not None:
            self._opened_ways.close()

    async def aclose(self) -> None:
        """Close what calls on the running loop opened, and what blocking calls did."""
        if self._opened_ways is not None:
            await self._opened_ways.aclose()

    @property
    def _ways(self) -> "Ways":
        if self._opened_ways is None:
            from taskforge_client.ways import Ways

            self._opened_ways = Ways(self._open_transport)
        return self._opened_ways
