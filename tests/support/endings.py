"""Brings jobs to an end as a worker does, over the worker conversation."""

from __future__ import annotations

from uuid import uuid4

from taskforge_client.wire.jobs import ErrorView
from taskforge_client.wire.states import JobState
from taskforge_client.wire.workers import Finished, Registration
from taskforge_client.worker.postgres_source import PostgresSource


async def end_jobs(
    url: str,
    state: JobState,
    *,
    queue: str = "default",
    error: ErrorView | None = None,
    log: str | None = None,
    result: bytes | None = None,
    limit: int = 1000,
) -> int:
    """Claim what is ready in a queue and finish it in `state`; return how many there were."""
    source = PostgresSource(url)
    try:
        await source.register(
            Registration(
                incarnation=str(uuid4()),
                host="test",
                process_id=1,
                queues={queue: 1},
                concurrency=limit,
            )
        )
        jobs = await source.claim(limit)
        await source.finish(
            [
                Finished(
                    job.number,
                    job.attempt,
                    job.token,
                    state,
                    duration_us=1000,
                    error=error,
                    reason="attempts_used_up" if state is JobState.DEAD else None,
                    log=log,
                    result=result,
                )
                for job in jobs
            ]
        )
        await source.resign()
        return len(jobs)
    finally:
        await source.aclose()
