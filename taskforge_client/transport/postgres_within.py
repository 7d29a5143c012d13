"""Sends jobs inside a transaction of the caller's.

Psycopg's own connections, SQLAlchemy's and Django's.

The jobs exist when that transaction commits and never did when it rolls back. Nobody rings the
doorbell: the sender doesn't know when the commit comes, so a worker finds such jobs when it next
looks by itself.
"""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection, Connection

from taskforge_client.errors import NotConfigured, Refused, TaskForgeError, from_problem
from taskforge_client.transport.base import OutgoingJob
from taskforge_client.transport.postgres.arrays import register_arrays
from taskforge_client.transport.postgres.prepared import OptionsCache, PreparedOptions
from taskforge_client.transport.postgres.refusals import translate
from taskforge_client.transport.postgres.sending import answer_of, columns, features_of
from taskforge_client.transport.postgres.statements import ENQUEUE_EACH, ENSURE_LANE
from taskforge_client.wire.ids import job_id
from taskforge_client.wire.jobs import Enqueued

_PROJECT = "select taskforge.current_project()"
Row = tuple[Any, ...]


def enqueue_within(connection: object, jobs: Sequence[OutgoingJob]) -> Sequence[Enqueued]:
    """Store `jobs` in the open transaction of a blocking connection.

    Raises:
        Refused: one of the jobs is refused; the caller's transaction should be rolled back.
        NotConfigured: `connection` is none that is known, or the database has no TaskForge schema.
    """
    opened = _psycopg_connection(connection)
    if not isinstance(opened, Connection):
        raise _unknown(connection)
    try:
        register_arrays(opened)
        project = _first(opened.execute(_PROJECT).fetchone())
        lanes = {
            lane: _first(opened.execute(ENSURE_LANE, (project, *lane)).fetchone())
            for lane in _lanes(jobs)
        }
        options = _prepared(jobs, lanes, project)
        rows = opened.execute(
            ENQUEUE_EACH, _parameters(project, jobs, options), binary=True
        ).fetchall()
    except psycopg.Error as error:
        raise translate(error) from error
    return _answers(rows)


async def aenqueue_within(connection: object, jobs: Sequence[OutgoingJob]) -> Sequence[Enqueued]:
    """Do the same in the open transaction of an awaited connection."""
    opened = _psycopg_connection(connection)
    if not isinstance(opened, AsyncConnection):
        raise _unknown(connection)
    try:
        register_arrays(opened)
        project = _first(await (await opened.execute(_PROJECT)).fetchone())
        lanes = {}
        for lane in _lanes(jobs):
            cursor = await opened.execute(ENSURE_LANE, (project, *lane))
            lanes[lane] = _first(await cursor.fetchone())
        options = _prepared(jobs, lanes, project)
        cursor = await opened.execute(
            ENQUEUE_EACH, _parameters(project, jobs, options), binary=True
        )
        rows = await cursor.fetchall()
    except psycopg.Error as error:
        raise translate(error) from error
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


def _lanes(jobs: Sequence[OutgoingJob]) -> list[tuple[str, int]]:
    return sorted({(job.options.queue, job.options.priority) for job in jobs})


def _prepared(
    jobs: Sequence[OutgoingJob], lanes: dict[tuple[str, int], int], project: int
) -> list[PreparedOptions]:
    cache = OptionsCache()  # many jobs of one call share their options
    return [
        cache.get(job) or cache.put(job, lanes[job.options.queue, job.options.priority], project)
        for job in jobs
    ]


def _parameters(
    project: int, jobs: Sequence[OutgoingJob], options: Sequence[PreparedOptions]
) -> tuple[object, ...]:
    # No numbers: the database mints them.
    _, *rest = columns(jobs, options, [])
    return (project, None, *rest, features_of(options))


def _answers(rows: Sequence[Row]) -> Sequence[Enqueued]:
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


def _first(row: Row | None) -> int:
    if row is None:
        raise TaskForgeError("the database answered a function's call without a row")
    return int(row[0])
