"""The road between an application and TaskForge: one method a verb, wire values in and out, no policy of its own."""

from collections.abc import Sequence
from typing import Protocol

from attrs import define

from taskforge_client.wire.jobs import CancelAnswer, Encoding, Enqueued, JobOptions, JobView


@define(eq=False)
class OutgoingJob:
    """One encoded job on its way out. Plain and slotted because bulk sends make hundreds of thousands a second.

    `options` is shared by all jobs sent alike, so that a transport may prepare it once and look it up by identity.
    """

    task: str
    payload: bytes
    options: JobOptions
    encoding: Encoding = Encoding.MSGPACK


class Transport(Protocol):
    """What every road offers. All calls raise errors of `taskforge_client.errors`, never of the medium."""

    async def enqueue(self, job: OutgoingJob) -> Enqueued:
        """Store one job durably; calls made at the same time may share one transaction, each failing alone."""
        ...

    async def enqueue_many(self, jobs: Sequence[OutgoingJob]) -> Sequence[Enqueued]:
        """Store one chunk of jobs (at most a few thousand) in one transaction and answer in the same order."""
        ...

    async def view(self, job_id: str) -> JobView:
        """Return a job as it stands now; raises `NotFound`."""
        ...

    async def join(self, job_id: str, timeout_seconds: float | None) -> JobView:
        """Wait until a job is final and return it; raises `ResultTimeout` when the time is over first."""
        ...

    async def cancel(self, job_id: str, reason: str) -> CancelAnswer:
        """Cancel a job that has not started, or ask its worker to stop it; a final job stays as it is."""
        ...

    async def retry(self, job_id: str, payload: bytes | None = None) -> Enqueued:
        """Run a job that ended otherwise than it should once more.

        With `payload` (MessagePack) a new job is made that remembers the old one; without it the same job goes on.
        Raises `Conflict` for a job that is not final or succeeded.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections; sends in flight are completed first."""
        ...
