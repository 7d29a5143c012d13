"""A road that leads nowhere: it keeps what was sent, for users' tests. Nothing ever runs.

Keys are honoured as the real roads do, so that a test sees a repeated send answered with the first
job.
"""

from collections.abc import Sequence
from datetime import datetime

from attrs import evolve, frozen

from taskforge_client.errors import Conflict, KeyReused, NotFound, Refused, ResultTimeout
from taskforge_client.transport.base import OutgoingJob
from taskforge_client.wire.ids import job_id
from taskforge_client.wire.jobs import CancelAnswer, Enqueued, JobView
from taskforge_client.wire.policies import DEFAULT_ATTEMPTS
from taskforge_client.wire.problems import Problem
from taskforge_client.wire.states import JobState


@frozen(kw_only=True)
class RecordedJob:
    """One job that was sent.

    Its id, its encoded form, and its state, which only `cancel` changes.
    """

    id: str
    job: OutgoingJob
    state: JobState
    reason: str | None = None


class RecordingTransport:
    """`Transport` into memory; `now` is when all its jobs are said to be created."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._jobs: dict[str, RecordedJob] = {}
        self._by_key: dict[str, RecordedJob] = {}

    @property
    def jobs(self) -> tuple[RecordedJob, ...]:
        """All jobs in the order sent; what was deduplicated is not there twice."""
        return tuple(self._jobs.values())

    async def enqueue(self, job: OutgoingJob) -> Enqueued:
        """Keep one job."""
        key = job.options.key
        present = None if key is None else self._by_key.get(key)
        if present is not None:
            if (present.job.task, present.job.payload) != (job.task, job.payload):
                raise KeyReused
            return Enqueued(id=present.id, deduplicated=True)
        identifier = job_id(len(self._jobs) + 1)
        recorded = RecordedJob(id=identifier, job=job, state=_first_state(job))
        self._jobs[identifier] = recorded
        if key is not None:
            self._by_key[key] = recorded
        return Enqueued(id=identifier)

    async def enqueue_many(self, jobs: Sequence[OutgoingJob]) -> Sequence[Enqueued | Problem]:
        """Keep a chunk."""
        answers: list[Enqueued | Problem] = []
        for job in jobs:
            try:
                answers.append(await self.enqueue(job))
            except Refused as refused:
                answers.append(refused.problem)
        return answers

    async def view(self, job_id: str) -> JobView:
        """Return a job as it was sent."""
        recorded = self._get(job_id)
        options = recorded.job.options
        budget = options.max_attempts if options.retry is None else options.retry.attempts
        return JobView(
            id=recorded.id,
            task=recorded.job.task,
            queue=options.queue,
            state=recorded.state,
            priority=options.priority,
            attempt=0,
            max_attempts=budget or DEFAULT_ATTEMPTS,
            created_at=self._now,
            run_at=options.run_at,
            key=options.key,
            tags=options.tags,
            meta=options.meta,
            after=options.after,
            payload=recorded.job.payload,
            encoding=recorded.job.encoding,
            reason=recorded.reason,
        )

    async def join(self, job_id: str, timeout_seconds: float | None) -> JobView:
        """Return a cancelled job; any other never ends, so the time is over at once."""
        view = await self.view(job_id)
        if view.state.is_final:
            return view
        asked = "for ever" if timeout_seconds is None else f"{timeout_seconds:g} s"
        raise ResultTimeout(f"{job_id} is only recorded and never runs (asked to wait {asked})")

    async def cancel(self, job_id: str, reason: str) -> CancelAnswer:
        """Mark a job as cancelled."""
        recorded = self._get(job_id)
        if not recorded.state.is_final:
            recorded = evolve(recorded, state=JobState.CANCELLED, reason=reason)
            self._jobs[job_id] = recorded
        return CancelAnswer(id=job_id, state=recorded.state)

    async def retry(self, job_id: str, payload: bytes | None = None) -> Enqueued:
        """Send a cancelled job once more."""
        recorded = self._get(job_id)
        if not recorded.state.is_final:
            raise Conflict
        if payload is not None:
            return await self.enqueue(evolve(recorded.job, payload=payload))
        self._jobs[job_id] = evolve(recorded, state=_first_state(recorded.job), reason=None)
        return Enqueued(id=job_id)

    async def aclose(self) -> None:
        """Keep everything: there is nothing to close."""

    def _get(self, identifier: str) -> RecordedJob:
        recorded = self._jobs.get(identifier)
        if recorded is None:
            raise NotFound
        return recorded


def _first_state(job: OutgoingJob) -> JobState:
    options = job.options
    if options.after:
        return JobState.BLOCKED
    return JobState.SCHEDULED if options.delay_seconds or options.run_at else JobState.READY
