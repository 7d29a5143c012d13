"""Schedules in storage: put idempotently, shown, found due and fired.

It does not decide when a schedule fires (`domain.cron`) nor what a missed time comes to
(`domain.verdict`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from attrs import frozen
from psycopg.types.json import Jsonb

from taskforge_client.transport.base import OutgoingJob
from taskforge_client.transport.postgres.prepared import prepare
from taskforge_client.wire.ids import job_id
from taskforge_client.wire.jobs import ENCODINGS_BY_NUMBER, JobOptions
from taskforge_client.wire.schedules import (
    Misfire,
    Overlap,
    ScheduleKind,
    ScheduleSpec,
    ScheduleView,
)
from taskforge_server.domain.cron import Timing, next_fire, parse_timing
from taskforge_server.storage.named import load_statements
from taskforge_server.storage.pool import Connection
from taskforge_server.storage.rows import fetch_rows, schedule_id, utc

_SQL: Final = load_statements("schedules.sql")


@frozen(kw_only=True)
class DueSchedule:
    """A schedule whose time has come, locked until the transaction ends."""

    number: int
    name: str
    specification: dict[str, Any]
    next_fire_at: datetime
    now: datetime

    def timing(self) -> Timing:
        """Return its times; raises BadSchedule when they can't be read any more."""
        return _timing(self.specification)

    @property
    def misfire(self) -> Misfire:
        """What becomes of times that were missed."""
        return Misfire(self.specification["misfire"])


async def put(connection: Connection, project: int, spec: ScheduleSpec) -> datetime:
    """Store a schedule under its name, new or changed, and return its next fire time.

    Raises:
        BadSchedule: its times can't be read, or never come.
        InvalidValue: the queue's name or the priority is out of range.
    """
    timing = parse_timing(spec.kind, spec.expression, spec.interval_seconds, spec.timezone)
    options = spec.options
    row = await _one(
        connection,
        "ensure_lane",
        {"project": project, "queue": options.queue, "priority": options.priority},
    )
    queue, now = row
    outgoing = OutgoingJob(spec.task, spec.payload, options, spec.encoding)
    columns = prepare(outgoing, queue, project)
    features = msgspec.json.decode(columns.features) if columns.features else {}
    stored = {
        "flags": columns.flags,
        "features": features,
        "job_options": msgspec.to_builtins(options),
    }
    row = await _one(
        connection,
        "put",
        {
            "project": project,
            "name": spec.name,
            "specification": Jsonb(_specification(spec)),
            "task": spec.task,
            "payload": spec.payload,
            "encoding": spec.encoding.number,
            "queue_id": queue,
            "priority": options.priority,
            "max_attempts": columns.max_attempts,
            "timeout_ms": columns.timeout_ms,
            "options": Jsonb(stored),
            "next_fire_at": next_fire(timing, now),
        },
    )
    next_at: datetime = row[1]
    return next_at.astimezone(UTC)


async def due(connection: Connection, limit: int) -> list[DueSchedule]:
    """Lock and return up to `limit` schedules whose time has come, the most overdue first."""
    rows = await (await connection.execute(_SQL["due"], {"limit": limit})).fetchall()
    return [
        DueSchedule(
            number=number,
            name=name,
            specification=specification,
            next_fire_at=next_fire_at.astimezone(UTC),
            now=now.astimezone(UTC),
        )
        for number, name, specification, next_fire_at, now in rows
    ]


async def fire(
    connection: Connection, schedule: int, fire_at: datetime, next_fire_at: datetime
) -> int | None:
    """Make the job of one fire time and move the schedule on.

    Return the queue, None when it was made before.
    """
    values = {"schedule": schedule, "fire_at": fire_at, "next_fire_at": next_fire_at}
    rows = await (await connection.execute(_SQL["fire"], values)).fetchall()
    return rows[0][1] if rows else None


async def postpone(connection: Connection, schedule: int, next_fire_at: datetime | None) -> None:
    """Set a schedule's next fire time; None stops it until it is put again."""
    await connection.execute(_SQL["postpone"], {"schedule": schedule, "next_fire_at": next_fire_at})


async def list_schedules(
    connection: Connection, project: int, name: str | None = None
) -> list[ScheduleView]:
    """Return all schedules of a project, or the one named, by name."""
    values: dict[str, object] = {"project": project, "name": name}
    rows = await fetch_rows(connection, _StoredSchedule, _SQL["list"], values)
    return [row.view() for row in rows]


async def trigger(connection: Connection, project: int, name: str) -> tuple[int, int] | None:
    """Fire a schedule once, now.

    Return the job's number and its queue, None when there is no such schedule.
    """
    values = {"project": project, "name": name}
    rows = await (await connection.execute(_SQL["trigger"], values)).fetchall()
    return (rows[0][0], rows[0][1]) if rows else None


async def pause(connection: Connection, project: int, name: str) -> bool:
    """Stop a schedule from firing; False when there is no such schedule."""
    values = {"project": project, "name": name}
    return bool(await (await connection.execute(_SQL["pause"], values)).fetchall())


async def resume(connection: Connection, project: int, name: str, now: datetime) -> bool:
    """Let a schedule fire again from `now` on; False when there is no such schedule."""
    views = await list_schedules(connection, project, name)
    if not views:
        return False
    spec = views[0].spec
    timing = parse_timing(spec.kind, spec.expression, spec.interval_seconds, spec.timezone)
    values = {"project": project, "name": name, "next_fire_at": next_fire(timing, now)}
    return bool(await (await connection.execute(_SQL["resume"], values)).fetchall())


async def mark_orphaned(
    connection: Connection, project: int, *, tasks: Sequence[str], names: Sequence[str]
) -> list[str]:
    """Stop schedules of `tasks` that are none of `names` any more; return theirs."""
    values = {"project": project, "tasks": list(tasks), "names": list(names)}
    rows = await (await connection.execute(_SQL["mark_orphaned"], values)).fetchall()
    return [row[0] for row in rows]


async def _one(connection: Connection, query: str, values: dict[str, Any]) -> Any:
    return await (await connection.execute(_SQL[query], values)).fetchone()


def _specification(spec: ScheduleSpec) -> dict[str, Any]:
    return {
        "kind": spec.kind.value,
        "expression": spec.expression,
        "interval_seconds": spec.interval_seconds,
        "timezone": spec.timezone,
        "misfire": spec.misfire.value,
        "overlap": spec.overlap.value,
    }


def _timing(specification: dict[str, Any]) -> Timing:
    return parse_timing(
        ScheduleKind(specification["kind"]),
        specification["expression"],
        specification["interval_seconds"],
        specification["timezone"],
    )


@frozen(kw_only=True)
class _StoredSchedule:
    """A row of `list`."""

    id: int
    name: str
    specification: dict[str, Any]
    task: str
    payload: bytes
    encoding: int
    options: dict[str, Any]
    next_fire_at: datetime | None
    last_fire_at: datetime | None
    paused: bool
    orphaned: bool
    last_job: int | None

    def view(self) -> ScheduleView:
        stored = self.specification
        return ScheduleView(
            id=schedule_id(self.id),
            spec=ScheduleSpec(
                name=self.name,
                kind=ScheduleKind(stored["kind"]),
                task=self.task,
                expression=stored["expression"],
                interval_seconds=stored["interval_seconds"],
                timezone=stored["timezone"],
                misfire=Misfire(stored["misfire"]),
                overlap=Overlap(stored["overlap"]),
                payload=self.payload,
                encoding=ENCODINGS_BY_NUMBER[self.encoding],
                options=msgspec.convert(self.options["job_options"], JobOptions),
            ),
            paused=self.paused or self.orphaned,
            next_at=utc(self.next_fire_at),
            last_at=utc(self.last_fire_at),
            last_job=job_id(self.last_job) if self.last_job else None,
        )
