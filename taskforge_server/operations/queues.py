"""Queues: list, pause, resume."""

from taskforge_client.errors import NotFound
from taskforge_client.wire.queues import QueueView
from taskforge_server.operations.caller import Caller
from taskforge_server.operations.names import nothing_named
from taskforge_server.storage import overview, queues


async def list_queues(caller: Caller) -> list[QueueView]:
    """Return every queue with its depths."""
    return await queues.list_queues(caller.database, caller.project)


async def pause(caller: Caller, name: str, reason: str | None = None) -> None:
    """Keep workers from claiming from a queue; raises `NotFound` naming the nearest."""
    if not await queues.pause_queue(caller.database, caller.project, name.lower(), reason):
        raise await _no_queue(caller, name)


async def resume(caller: Caller, name: str) -> None:
    """Let workers claim from a queue again; raises `NotFound` naming the nearest."""
    if not await queues.resume_queue(caller.database, caller.project, name.lower()):
        raise await _no_queue(caller, name)


async def _no_queue(caller: Caller, name: str) -> NotFound:
    names = [queue.name for queue in await list_queues(caller)]
    return nothing_named("queue", name, names)


async def why_unserved(caller: Caller, name: str) -> str | None:
    """Return why nobody takes jobs from a queue now, None when somebody does."""
    for queue in await list_queues(caller):
        if queue.name == name and queue.paused:
            return f"queue {name} is paused: taskforge queues resume {name}"
    workers = await overview.list_workers(caller.database, caller.project)
    if any(name in worker.queues for worker in workers if worker.alive and not worker.draining):
        return None
    return f"no worker takes from queue {name}: taskforge worker APP --queues {name}"
