"""Dead letters: listing, grouping, choosing and purging them."""

from typing import Any, Final

from taskforge_client.wire.dead import DeadFilter, DeadGroup, DeadLetter, DeadPage
from taskforge_client.wire.ids import job_id, job_number
from taskforge_client.wire.jobs import ErrorView
from taskforge_server.storage.database import Database, Row, fetch_all, fetch_one
from taskforge_server.storage.named import load_statements

_SQL: Final = load_statements("dead.sql")
_ABOVE_ALL: Final = (1 << 63) - 1


async def list_dead(
    database: Database, project: int, wanted: DeadFilter, *, limit: int, cursor: str | None
) -> DeadPage:
    """Return one page of dead letters, the newest job first."""
    values = {
        "project": project,
        "queue": wanted.queue,
        "task": wanted.task,
        "error_group": wanted.group,
        "before": _ABOVE_ALL if cursor is None else job_number(cursor),
        "limit": limit + 1,
    }
    rows = await fetch_all(database, _SQL["list_dead"], values)
    letters = tuple(_letter(row) for row in rows[:limit])
    return DeadPage(letters=letters, cursor=letters[-1].id if len(rows) > limit else None)


async def dead_groups(
    database: Database, project: int, *, queue: str | None, limit: int
) -> list[DeadGroup]:
    """Return groups of like errors, the largest first."""
    values = {"project": project, "queue": queue, "limit": limit}
    rows = await fetch_all(database, _SQL["dead_groups"], values)
    return [
        DeadGroup(
            group=row["error_group"],
            count=row["count"],
            first_at=row["first_at"],
            last_at=row["last_at"],
            sample=_letter(row),
        )
        for row in rows
    ]


async def count_dead(database: Database, project: int, wanted: DeadFilter) -> int:
    """Return how many dead letters a filter chooses."""
    row = await fetch_one(database, _SQL["count_dead"], _choice(project, wanted))
    return 0 if row is None else int(row["count"])


async def choose_dead(
    database: Database, project: int, wanted: DeadFilter, *, above: int, limit: int
) -> list[int]:
    """Return the next job numbers above `above` that a filter chooses, in order."""
    values = {**_choice(project, wanted), "above": above, "limit": limit}
    return [row["job_id"] for row in await fetch_all(database, _SQL["choose_dead"], values)]


async def retry_jobs(database: Database, project: int, jobs: list[int]) -> list[Row]:
    """Run ended jobs once more; return `job_id` and `queue_id` of those that were started."""
    return await fetch_all(database, _SQL["retry_jobs"], {"project": project, "jobs": jobs})


async def purge_dead(database: Database, project: int, jobs: list[int]) -> int:
    """Take jobs out of the dead letters; their history stays. Returns how many there were."""
    row = await fetch_one(database, _SQL["purge_dead"], {"project": project, "jobs": jobs})
    return 0 if row is None else int(row["count"])


def _choice(project: int, wanted: DeadFilter) -> dict[str, Any]:
    jobs = None if wanted.jobs is None else [job_number(text) for text in wanted.jobs]
    return {
        "project": project,
        "jobs": jobs,
        "queue": wanted.queue,
        "task": wanted.task,
        "error_group": wanted.group,
    }


def _letter(row: Row) -> DeadLetter:
    error = None
    if row["error_type"] is not None:
        error = ErrorView(
            type=row["error_type"], message=row["error_message"] or "", group=row["error_group"]
        )
    return DeadLetter(
        id=job_id(row["job_id"]),
        task=row["task"],
        queue=row["queue"],
        died_at=row["died_at"],
        reason=row["reason"],
        attempt=row["attempt"],
        error=error,
    )
