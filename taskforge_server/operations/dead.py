"""Dead letters: list, group, retry and purge, a bounded transaction at a time."""

from collections.abc import Callable
from typing import Final

from attrs import evolve

from taskforge_client.errors import InvalidRequest
from taskforge_client.wire.dead import BulkAnswer, DeadFilter, DeadGroup, DeadPage
from taskforge_client.wire.lists import PAGE_LIMIT
from taskforge_client.wire.problems import MalformedValue
from taskforge_server.operations.caller import Caller
from taskforge_server.operations.jobs import check_id, check_limit
from taskforge_server.storage import dead, queues

_STEP: Final = 500
Progress = Callable[[int], None]


async def list_dead(
    caller: Caller, wanted: DeadFilter, *, limit: int = PAGE_LIMIT, cursor: str | None = None
) -> DeadPage:
    """Return one page of dead letters, the newest job first."""
    check_limit(limit)
    try:
        return await dead.list_dead(
            caller.database, caller.project, wanted, limit=limit, cursor=cursor
        )
    except MalformedValue as error:
        raise InvalidRequest(evolve(error.as_problem(), field="cursor")) from None


async def groups(
    caller: Caller, *, queue: str | None = None, limit: int = PAGE_LIMIT
) -> list[DeadGroup]:
    """Return groups of like errors, the largest first."""
    check_limit(limit)
    return await dead.dead_groups(caller.database, caller.project, queue=queue, limit=limit)


async def count(caller: Caller, wanted: DeadFilter) -> int:
    """Return how many dead letters a filter chooses: what a bulk act would touch."""
    _check(wanted)
    return await dead.count_dead(caller.database, caller.project, wanted)


async def retry(caller: Caller, wanted: DeadFilter, progress: Progress) -> BulkAnswer:
    """Run the chosen dead letters once more; `progress` is told how many were looked at so far."""
    _check(wanted)
    asked = changed = above = 0
    while jobs := await _next(caller, wanted, above):
        started = await dead.retry_jobs(caller.database, caller.project, jobs)
        await queues.ring_queues(caller.database, sorted({row["queue_id"] for row in started}))
        above = jobs[-1]
        asked += len(jobs)
        changed += len(started)
        progress(asked)
    return BulkAnswer(asked=asked, changed=changed)


async def purge(caller: Caller, wanted: DeadFilter, progress: Progress) -> BulkAnswer:
    """Take the chosen jobs out of the dead letters; their history stays."""
    _check(wanted)
    asked = changed = above = 0
    while jobs := await _next(caller, wanted, above):
        changed += await dead.purge_dead(caller.database, caller.project, jobs)
        above = jobs[-1]
        asked += len(jobs)
        progress(asked)
    return BulkAnswer(asked=asked, changed=changed)


async def _next(caller: Caller, wanted: DeadFilter, above: int) -> list[int]:
    return await dead.choose_dead(caller.database, caller.project, wanted, above=above, limit=_STEP)


def _check(wanted: DeadFilter) -> None:
    for identifier in wanted.jobs or ():
        check_id(identifier)
