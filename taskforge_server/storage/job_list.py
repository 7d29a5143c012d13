"""Lists of jobs, the newest first."""

from typing import Any, Final

from taskforge_client.wire.ids import job_id, job_number, mint_base
from taskforge_client.wire.jobs import ErrorView, JobView
from taskforge_client.wire.lists import JobFilter, JobPage
from taskforge_client.wire.states import STATES_BY_NUMBER
from taskforge_server.storage.database import Database, Row, fetch_all, fetch_one
from taskforge_server.storage.named import load_statements

_SQL: Final = load_statements("job_list.sql")
_ABOVE_ALL: Final = (1 << 63) - 1
_FIRST_WINDOW: Final = 200
_LARGEST_WINDOW: Final = 20_000
_MOST_SCANNED: Final = 100_000


async def list_jobs(database: Database, project: int, wanted: JobFilter) -> JobPage:
    """Return one page of jobs; raises `MalformedValue` for a cursor that is no job's id.

    One call looks at 100,000 jobs at most, so that a filter that fits next to nothing costs no
    more than a second or so: the page then holds fewer jobs than asked for, perhaps none, and a
    cursor that goes on from there.
    """
    after = wanted.created_after
    values: dict[str, Any] = {
        "project": project,
        "state": None if wanted.state is None else wanted.state.number,
        "queue": wanted.queue,
        "task": wanted.task,
        "tag": wanted.tag,
        "before": _ABOVE_ALL if wanted.cursor is None else job_number(wanted.cursor),
        "from": 0 if after is None else max(0, mint_base(int(after.timestamp() * 1000), 0)),
        "window": max(_FIRST_WINDOW, wanted.limit + 1),
    }
    found: list[Row] = []
    scanned = 0
    while True:
        window = await fetch_one(database, _SQL["list_window"], values)
        jobs: list[int] = (window or {}).get("jobs") or []
        if jobs:
            values |= {"jobs": jobs, "limit": wanted.limit + 1 - len(found), "before": jobs[-1]}
            found += await fetch_all(database, _SQL["list_shown"], values)
        scanned += len(jobs)
        if len(found) > wanted.limit:
            shown = found[: wanted.limit]
            return _page(shown, shown[-1]["id"])
        if len(jobs) < values["window"]:
            return _page(found, None)
        if scanned >= _MOST_SCANNED:
            return _page(found, jobs[-1])
        values["window"] = min(_LARGEST_WINDOW, 4 * values["window"])


def _page(rows: list[Row], cursor: int | None) -> JobPage:
    return JobPage(
        jobs=tuple(_job(row) for row in rows), cursor=None if cursor is None else job_id(cursor)
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
