"""Sends that join the caller's own transaction, whatever the app's transport.

They go straight to its connection.

The code for psycopg is loaded with the first such send, so that the client starts without it.
"""

from collections.abc import Sequence

from taskforge_client.errors import NotConfigured
from taskforge_client.transport.base import OutgoingJob
from taskforge_client.wire.jobs import Enqueued

EXTRA = "pip install 'taskforge-client[postgres]'"


def enqueue_within(connection: object, jobs: Sequence[OutgoingJob]) -> Sequence[Enqueued]:
    """Store jobs in the open transaction of a blocking connection and answer in the same order."""
    try:
        from taskforge_client.transport import postgres_within
    except ImportError as error:
        raise missing_extra(error) from None
    return postgres_within.enqueue_within(connection, jobs)


async def aenqueue_within(connection: object, jobs: Sequence[OutgoingJob]) -> Sequence[Enqueued]:
    """Store jobs in the open transaction of an awaited connection and answer in the same order."""
    try:
        from taskforge_client.transport import postgres_within
    except ImportError as error:
        raise missing_extra(error) from None
    return await postgres_within.aenqueue_within(connection, jobs)


def missing_extra(error: ImportError) -> NotConfigured:
    """Return the error that names what to install for a road over PostgreSQL."""
    return NotConfigured(f"PostgreSQL needs psycopg, which can't be imported ({error}): {EXTRA}")
