"""Lists of jobs, the newest first."""

from typing import Any, Final

from taskforge_client.wire.ids import job_id, job_number, mint_base
from taskforge_client.wire.jobs import ErrorView, JobView
from taskforge_client.wire.lists import JobFilter, JobPage
from taskforge_client.wire.states import STATES_BY_NUMBER, JobState
from taskforge_server.storage.database import Database, Row, fetch_all
from taskforge_server.storage.named import load_statements

_SQL: Final = load_statements("job_list.sql")
_ABOVE_ALL: Final = (1 << 63) - 1
_LIVE: Final = frozenset(
    {JobState.BLOCKED, JobState.SCHEDULED, JobState.READY, JobState.RUNNING, JobState.DEAD}
)


async def list_jobs(database: Database, project: int, wanted: JobFilter) -> JobPage:
    """Return one page of jobs; raises `MalformedValue` for a cursor that is no job's id."""
    name = "list_live_jobs" if wanted.state in _LIVE else "list_jobs"
    after = wanted.created_after
    values: dict[str, Any] = {
        "project": project,
        "state": None if wanted.state is None else wanted.state.number,
        "queue": wanted.queue,
        "task": wanted.task,
        "tag": wanted.tag,
        "before": _ABOVE_ALL if wanted.cursor is None else job_number(wanted.cursor),
        "from": 0 if after is None else max(0, mint_base(int(after.timestamp() * 1000), 0)),
        "limit": wanted.limit + 1,
    }
    rows = await fetch_all(database, _SQL[name], values)
    shown = rows[: wanted.limit]
    more = len(rows) > wanted.limit
    return JobPage(
        jobs=tuple(_job(row) for row in shown), cursor=job_id(shown[-1]["id"]) if more else None
    )


async def known_tasks(database: Database, project: int) -> list[str]:
    """Return the names of tasks among the newest jobs."""
    rows = await fetch_all(database, _SQL["known_tasks"], {"project": project})
    return [row["task"] for row in rows]


def error_view(detail: Row | None) -> ErrorView | None:
    """Return the error inside an outcome's detail, None where there is none."""
    error = (detail or {}).get("error")
    if not error:
        return None
    return ErrorView(
        type=error.get("type") or "",
        message=error.get("message") or "",
        traceback=error.get("traceback") or "",
        group=error.get("group") or "",
    )


def _job(row: Row) -> JobView:
    detail = row["detail"]
    return JobView(
        id=job_id(row["id"]),
        task=row["task"],
        queue=row["queue"],
        state=STATES_BY_NUMBER[row["state"]],
        priority=row["priority"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        created_at=row["created_at"],
        run_at=row["run_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        key=row["key"],
        tags=tuple(row["tags"] or ()),
        meta=row["meta"] or {},
        after=tuple(job_id(parent) for parent in row["parents"] or ()),
        error=error_view(detail),
        reason=(detail or {}).get("reason"),
    )
