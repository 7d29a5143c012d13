"""Schedules: list, show, trigger."""

from taskforge_client.wire.ids import job_id
from taskforge_client.wire.jobs import Enqueued
from taskforge_client.wire.schedules import ScheduleView
from taskforge_server.operations.caller import Caller
from taskforge_server.operations.names import nothing_named
from taskforge_server.storage import queues, schedules


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
