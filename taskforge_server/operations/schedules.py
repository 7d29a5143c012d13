"""Schedules: list, show, trigger, declare."""

from collections.abc import Sequence

from taskforge_client.errors import InvalidRequest
from taskforge_client.wire.ids import job_id
from taskforge_client.wire.jobs import Enqueued
from taskforge_client.wire.schedules import ScheduleSpec, ScheduleView
from taskforge_server.domain.errors import BadSchedule
from taskforge_server.operations.caller import Caller
from taskforge_server.operations.names import nothing_named
from taskforge_server.storage import queues, schedules
from taskforge_server.storage.pool import Connection


async def list_schedules(caller: Caller) -> list[ScheduleView]:
    """Return the project's schedules by name."""
    return await caller.database.call(
        lambda connection: schedules.list_schedules(connection, caller.project)
    )


async def show(caller: Caller, name: str) -> ScheduleView:
    """Return one schedule; raises `NotFound` naming the nearest."""
    found = await caller.database.call(
        lambda connection: schedules.list_schedules(connection, caller.project, name)
    )
    if not found:
        known = [schedule.spec.name for schedule in await list_schedules(caller)]
        raise nothing_named("schedule", name, known)
    return found[0]


async def trigger(caller: Caller, name: str) -> Enqueued:
    """Make a schedule's job now, beside its times; raises `NotFound` naming the nearest."""
    made = await caller.database.call(
        lambda connection: schedules.trigger(connection, caller.project, name)
    )
    if made is None:
        known = [schedule.spec.name for schedule in await list_schedules(caller)]
        raise nothing_named("schedule", name, known)
    number, queue = made
    await queues.ring_queues(caller.database, [queue])
    return Enqueued(id=job_id(number))


async def declare(caller: Caller, tasks: Sequence[str], specs: Sequence[ScheduleSpec]) -> None:
    """Store the schedules that an app declares; stop those of its tasks that it dropped.

    Raises:
        InvalidRequest: a schedule's times can't be read, or never come.
    """

    async def work(connection: Connection) -> None:
        async with connection.transaction():
            for spec in specs:
                await schedules.put(connection, caller.project, spec)
            names = [spec.name for spec in specs]
            await schedules.mark_orphaned(connection, caller.project, tasks=tasks, names=names)

    try:
        await caller.database.call(work)
    except BadSchedule as error:
        raise InvalidRequest.because(error.field, error.problem, error.right) from None
