"""The road between an application and TaskForge.

One method a verb, wire values in and out, no policy of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, overload, runtime_checkable

from attrs import define, field

from taskforge_client.wire.ids import job_id
from taskforge_client.wire.jobs import CancelAnswer, Encoding, Enqueued, JobOptions, JobView
from taskforge_client.wire.problems import Problem
from taskforge_client.wire.queues import QueueView


@define(eq=False)
class OutgoingJob:
    """One encoded job on its way out.

    Plain and slotted because bulk sends make hundreds of thousands a second.

    `options` is shared by all jobs sent alike, so that a transport may prepare it once and look it
    up by identity.
    """

    task: str
    payload: bytes
    options: JobOptions
    encoding: Encoding = Encoding.MSGPACK


@define(eq=False)
class EnqueuedBatch(Sequence[Enqueued | Problem]):
    """The answers to one chunk in compact form: numbers, and what is special by position.

    Objects on demand.

    At the positions of `problems` the number is 0.
    """

    numbers: Sequence[int]
    deduplicated: frozenset[int] = frozenset()
    problems: Mapping[int, Problem] = field(factory=dict)

    @overload
    def __getitem__(self, index: int) -> Enqueued | Problem: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Enqueued | Problem]: ...
    def __getitem__(self, index: int | slice) -> Enqueued | Problem | Sequence[Enqueued | Problem]:
        if isinstance(index, slice):
            return [self[position] for position in range(len(self))[index]]
        position = range(len(self))[index]
        problem = self.problems.get(position)
        if problem is not None:
            return problem
        return Enqueued(
            id=job_id(self.numbers[position]), deduplicated=position in self.deduplicated
        )

    def __len__(self) -> int:
        return len(self.numbers)


class Transport(Protocol):
    """What every road offers.

    All calls raise errors of `taskforge_client.errors`, never of the medium.
    """

    async def enqueue(self, job: OutgoingJob) -> Enqueued:
        """Store one job durably.

        Calls made at the same time may share one transaction, each failing alone.
        """
        ...

    async def enqueue_many(self, jobs: Sequence[OutgoingJob]) -> Sequence[Enqueued | Problem]:
        """Store at most a few thousand jobs in one transaction and answer in the same order.

        A job that is refused by itself, such as one whose key is reused, is answered with its
        problem; the others are stored. `EnqueuedBatch` answers without making an object a job.
        """
        ...

    async def view(self, job_id: str) -> JobView:
        """Return a job as it stands now; raises `NotFound`."""
        ...

    async def join(self, job_id: str, timeout_seconds: float | None) -> JobView:
        """Wait until a job is final and return it.

        Raises `ResultTimeout` when the time is over first.
        """
        ...

    async def cancel(self, job_id: str, reason: str) -> CancelAnswer:
        """Cancel a job that has not started, or ask its worker to stop it.

        A final job stays as it is.
        """
        ...

    async def retry(self, job_id: str, payload: bytes | None = None) -> Enqueued:
        """Run a job that ended otherwise than it should once more.

        With `payload` (MessagePack) a new job is made that remembers the old one; without it the
        same job goes on. Raises `Conflict` for a job that is not final or succeeded.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections; sends in flight are completed first."""
        ...


@runtime_checkable
class QueueControl(Protocol):
    """What a transport offers besides where it reaches queues."""

    async def queue(self, name: str) -> QueueView:
        """Return a queue as it stands now; raises `NotFound`."""
        ...

    async def pause(self, name: str) -> None:
        """Let nothing more be claimed from a queue."""
        ...

    async def resume(self, name: str) -> None:
        """Let jobs be claimed from a queue again."""
        ...
