"""The direct transport: four connections at most, each opened when first needed."""

from collections.abc import Sequence
from typing import Any

from taskforge_client.errors import Conflict, NotFound, Refused
from taskforge_client.transport.base import EnqueuedBatch, OutgoingJob
from taskforge_client.transport.postgres.arrays import Int8Array
from taskforge_client.transport.postgres.batcher import Batcher
from taskforge_client.transport.postgres.directory import Directory
from taskforge_client.transport.postgres.doorbell import Doorbell
from taskforge_client.transport.postgres.link import AsyncLink, Link
from taskforge_client.transport.postgres.queueing import QueueDesk
from taskforge_client.transport.postgres.refusals import refusal
from taskforge_client.transport.postgres.sending import RETRY_SECONDS, Sender
from taskforge_client.transport.postgres.statements import (
    CANCEL,
    RETRY,
    RETRY_EDITED,
    WAKE_WORKER,
)
from taskforge_client.transport.postgres.viewing import Viewer
from taskforge_client.wire.ids import job_id, job_number
from taskforge_client.wire.jobs import CancelAnswer, Encoding, Enqueued, JobView
from taskforge_client.wire.queues import QueueView
from taskforge_client.wire.states import STATES_BY_NUMBER, JobState


class PostgresTransport:
    """`Transport` over a PostgreSQL URL.

    Args:
        url: a `postgresql://` URL or any connection string of libpq.
        project: the project's name.
        retry_seconds: how long a send goes on trying while the database is away.
    """

    def __init__(
        self, url: str, project: str = "default", *, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        directory = Directory(project)
        self._directory = directory
        self._singles = Link(url, "taskforge enqueue")
        self._bulk = Link(url, "taskforge bulk")
        self._verbs = Link(url, "taskforge client")
        self._doorbell = Doorbell(Link(url, "taskforge doorbell"))
        self._single_sender = Sender(self._singles, directory, retry_seconds)
        self._bulk_sender = Sender(self._bulk, directory, retry_seconds)
        self._batcher = Batcher(self._send_gathered)
        self._viewer = Viewer(self._verbs, directory)
        self._queues = QueueDesk(self._verbs, directory)

    async def enqueue(self, job: OutgoingJob) -> Enqueued:
        """Store one job durably."""
        return await self._batcher.put(job)

    async def enqueue_many(self, jobs: Sequence[OutgoingJob]) -> EnqueuedBatch:
        """Store a chunk; a job that is refused leaves its problem in its place.

        The others stand.
        """
        answers, rung = await self._bulk_sender.send(jobs)
        self._doorbell.ring(rung)
        return answers

    async def view(self, job_id: str) -> JobView:
        """Return a job as it stands now."""
        return await self._viewer.view(job_id)

    async def join(self, job_id: str, timeout_seconds: float | None) -> JobView:
        """Wait until a job is final and return it."""
        return await self._viewer.join(job_id, timeout_seconds)

    async def cancel(self, job_id: str, reason: str) -> CancelAnswer:
        """Cancel a job that has not started, or ask its worker to stop it."""
        row = await self._one(CANCEL, Int8Array([job_number(job_id)]), reason)
        if row is None:
            raise refusal(NotFound, f"there is no job {job_id}")
        state, requested, worker = row
        if worker is not None:

            async def wake(connection: AsyncLink) -> None:
                await connection.execute(WAKE_WORKER, (str(worker),))

            await self._verbs.call(wake)
        return CancelAnswer(id=job_id, state=STATES_BY_NUMBER[state], requested=bool(requested))

    async def retry(self, job_id: str, payload: bytes | None = None) -> Enqueued:
        """Run a job that ended otherwise than it should once more; with `payload` as a new job."""
        if payload is not None:
            return await self._retry_edited(job_id, payload)
        row = await self._one(RETRY, Int8Array([job_number(job_id)]))
        if row is None:
            raise _not_retryable(await self.view(job_id))
        self._doorbell.ring([row[1]])
        return Enqueued(id=job_id)

    async def queue(self, name: str) -> QueueView:
        """Return a queue as it stands now."""
        return await self._queues.view(name)

    async def pause(self, name: str) -> None:
        """Let nothing more be claimed from a queue."""
        await self._queues.pause(name)

    async def resume(self, name: str) -> None:
        """Let jobs be claimed from a queue again, and wake those who claim."""
        self._doorbell.ring([await self._queues.resume(name)])

    async def aclose(self) -> None:
        """Complete sends in flight and close the connections."""
        await self._batcher.aclose()
        await self._viewer.aclose()
        await self._doorbell.aclose()
        for link in (self._singles, self._bulk, self._verbs):
            await link.aclose()

    async def _send_gathered(self, jobs: Sequence[OutgoingJob]) -> EnqueuedBatch:
        answers, rung = await self._single_sender.send(jobs)
        self._doorbell.ring(rung)
        return answers

    async def _retry_edited(self, identifier: str, payload: bytes) -> Enqueued:
        row = await self._one(
            RETRY_EDITED, job_number(identifier), payload, Encoding.MSGPACK.number
        )
        if row is None:
            raise refusal(NotFound, f"there is no job {identifier}")
        view = await self.view(job_id(row[0]))
        self._doorbell.ring([await self._queue_of(view)])
        return Enqueued(id=view.id)

    async def _queue_of(self, view: JobView) -> int:
        async def find(connection: AsyncLink) -> int:
            return await self._directory.queue(connection, view.queue, view.priority)

        return await self._verbs.call(find)

    async def _one(self, statement: str, *arguments: object) -> tuple[Any, ...] | None:
        async def ask(connection: AsyncLink) -> tuple[Any, ...] | None:
            project = await self._directory.project(connection)
            cursor = await connection.execute(statement.encode(), (project, *arguments))
            return await cursor.fetchone()

        return await self._verbs.call(ask)


def _not_retryable(view: JobView) -> Refused:
    if view.state is JobState.SUCCEEDED:
        why = "it succeeded"
    else:
        why = f"it is {view.state.value} and will end by itself"
    return refusal(
        Conflict,
        f"job {view.id} can't be run again: {why};"
        " expected a job that failed, died or was cancelled",
    )
