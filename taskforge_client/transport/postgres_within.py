"""Sends jobs inside a transaction of the caller's.

Psycopg's own connections, SQLAlchemy's and Django's.

The jobs exist when that transaction commits and never did when it rolls back. Nobody rings the
doorbell: the sender doesn't know when the commit comes, so a worker finds such jobs when it next
looks by itself, or when a server that runs notices them, within a quarter of a second.
"""

from collections.abc import Generator, Sequence
from typing import Any, Final, cast

import psycopg
from psycopg import AsyncConnection, Connection

from taskforge_client.errors import NotConfigured, Refused, from_problem
from taskforge_client.transport.base import OutgoingJob
from taskforge_client.transport.postgres.arrays import register_arrays
from taskforge_client.transport.postgres.prepared import OptionsCache
from taskforge_client.transport.postgres.refusals import translate
from taskforge_client.transport.postgres.sending import answer_of, columns, features_of
from taskforge_client.transport.postgres.statements import ENQUEUE_EACH, ENQUEUE_PLAIN, RESERVE
from taskforge_client.wire.ids import BLOCK_SIZE, job_id
from taskforge_client.wire.jobs import Enqueued

_LANES: Final = (
    "select p, array_agg(taskforge.ensure_lane(p, l.queue, l.priority) order by l.place)"
    " from taskforge.current_project() p,"
    " unnest(%s::text[], %s::smallint[]) with ordinality l (queue, priority, place) group by p"
)
Row = tuple[Any, ...]
Script = Generator[tuple[str, tuple[object, ...]], list[Row], list[Enqueued]]


def enqueue_within(connection: object, jobs: Sequence[OutgoingJob]) -> Sequence[Enqueued]:
    """Store `jobs` in the open transaction of a blocking connection.

    Raises:
        Refused: one of the jobs is refused; the caller's transaction should be rolled back.
        NotConfigured: `connection` is none that is known, or the database has no TaskForge schema.
    """
    opened = _psycopg_connection(connection)
    if not isinstance(opened, Connection):
        raise _unknown(connection)
    register_arrays(opened)
    script = _script(jobs)
    try:
        statement, values = next(script)
        while True:
            cursor = opened.execute(statement.encode(), values, binary=True)
            statement, values = script.send(cursor.fetchall())
    except StopIteration as end:
        return cast("list[Enqueued]", end.value)
    except psycopg.Error as error:
        raise translate(error) from error


async def aenqueue_within(connection: object, jobs: Sequence[OutgoingJob]) -> Sequence[Enqueued]:
    """Do the same in the open transaction of an awaited connection."""
    opened = _psycopg_connection(connection)
    if not isinstance(opened, AsyncConnection):
        raise _unknown(connection)
    register_arrays(opened)
    script = _script(jobs)
    try:
        statement, values = next(script)
        while True:
            cursor = await opened.execute(statement.encode(), values, binary=True)
            statement, values = script.send(await cursor.fetchall())
    except StopIteration as end:
        return cast("list[Enqueued]", end.value)
    except psycopg.Error as error:
        raise translate(error) from error


def _script(jobs: Sequence[OutgoingJob]) -> Script:
    """Yield the statements to execute, be sent their rows, and return the answers."""
    lanes = sorted({(job.options.queue, job.options.priority) for job in jobs})
    ((project, queues),) = yield _LANES, ([name for name, _ in lanes], [rank for _, rank in lanes])
    numbered = dict(zip(lanes, queues, strict=True))
    cache = OptionsCache()
    options = [
        cache.get(job) or cache.put(job, numbered[job.options.queue, job.options.priority], project)
        for job in jobs
    ]
    if all(one.copyable and one.features is None for one in options):
        blocks = yield RESERVE, (-(-len(jobs) // BLOCK_SIZE),)
        numbers = [base + offset for base, _ in blocks for offset in range(BLOCK_SIZE)][: len(jobs)]
        yield ENQUEUE_PLAIN, (project, *columns(jobs, options, numbers))
        return [Enqueued(id=job_id(number)) for number in numbers]
    # No numbers: the database mints them.
    _, *rest = columns(jobs, options, [])
    rows = yield ENQUEUE_EACH, (project, None, *rest, features_of(options))
    return _answers(rows)


def _psycopg_connection(connection: Any) -> object:
    """Return the psycopg connection inside `connection`.

    Looking through SQLAlchemy's and Django's wrappers.
    """
    if isinstance(connection, Connection | AsyncConnection):
        return connection
    if hasattr(connection, "ensure_connection"):  # Django's wrapper
        connection.ensure_connection()
        return connection.connection
    if hasattr(connection, "sync_session"):  # SQLAlchemy's AsyncSession
        connection = connection.sync_session
    if hasattr(connection, "sync_connection"):  # SQLAlchemy's AsyncConnection
        connection = connection.sync_connection
    if callable(getattr(connection, "connection", None)):  # SQLAlchemy's Session
        connection = connection.connection()
    pooled = getattr(connection, "connection", None)
    return getattr(pooled, "driver_connection", connection)


def _unknown(connection: object) -> NotConfigured:
    kind = type(connection)
    return NotConfigured(
        f"within: {kind.__module__}.{kind.__qualname__} can't carry a job; expected a psycopg (3),"
        " SQLAlchemy or Django connection over psycopg (3), blocking for enqueue and awaited for"
        " aenqueue"
    )


def _answers(rows: Sequence[Row]) -> list[Enqueued]:
    numbers = []
    deduplicated = set()
    for position, row in enumerate(sorted(rows)):
        answer = answer_of(*row[1:])
        if isinstance(answer, Refused):
            raise from_problem(answer.problem)
        numbers.append(answer[0])
        if answer[1]:
            deduplicated.add(position)
    return [
        Enqueued(id=job_id(number), deduplicated=position in deduplicated)
        for position, number in enumerate(numbers)
    ]
