"""Shows jobs, and waits for them to end."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg.rows import dict_row

from taskforge_client.errors import NotFound, ResultTimeout, TaskForgeError
from taskforge_client.transport.postgres.arrays import Int8Array
from taskforge_client.transport.postgres.directory import Directory
from taskforge_client.transport.postgres.link import AsyncLink, Link
from taskforge_client.transport.postgres.refusals import refusal
from taskforge_client.transport.postgres.statements import FINALS, SHOW
from taskforge_client.wire.ids import WORKER_PREFIX, encode_number, job_id, job_number, minted_at_ms
from taskforge_client.wire.jobs import (
    ENCODINGS_BY_NUMBER,
    AttemptView,
    ErrorView,
    JobView,
    Progress,
)
from taskforge_client.wire.states import STATES_BY_NUMBER, JobState

_FIRST_WAIT_SECONDS: Final = 0.003
_LONGEST_WAIT_SECONDS: Final = 0.25
_GROWTH: Final = 1.4


class Viewer:
    """Reads jobs over `link`; all who wait for a job's end share one question to the database."""

    def __init__(self, link: Link, directory: Directory) -> None:
        self._link = link
        self._directory = directory
        self._awaited: dict[int, asyncio.Future[None]] = {}
        self._pause_seconds = _FIRST_WAIT_SECONDS
        self._looking: asyncio.Task[None] | None = None

    async def view(self, identifier: str) -> JobView:
        """Return the job as it stands now; raises `NotFound`."""
        number = job_number(identifier)

        async def show(connection: AsyncLink) -> dict[str, Any] | None:
            project = await self._directory.project(connection)
            async with connection.cursor(row_factory=dict_row) as cursor:
                await cursor.execute(SHOW, (project, number))
                return await cursor.fetchone()

        row = await self._link.call(show)
        if row is None:
            raise refusal(NotFound, f"there is no job {identifier}")
        return view_of(number, row)

    async def join(self, identifier: str, timeout_seconds: float | None) -> JobView:
        """Return the job once it is final; raises `ResultTimeout` after `timeout_seconds`."""
        view = await self.view(identifier)
        try:
            async with asyncio.timeout(timeout_seconds):
                while not view.state.is_final:
                    await self._end_of(job_number(identifier))
                    view = await self.view(identifier)
        except TimeoutError as error:
            raise ResultTimeout(
                f"{identifier} is still {view.state.value} after {timeout_seconds:g} seconds"
            ) from error
        return view

    async def aclose(self) -> None:
        """Stop looking; those who still wait are cancelled."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))

    async def _end_of(self, number: int) -> None:
        future = self._awaited.get(number)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._awaited[number] = future
        self._pause_seconds = _FIRST_WAIT_SECONDS
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(future)

    async def _look(self) -> None:
        try:
            while self._awaited:
                await asyncio.sleep(self._pause_seconds)
                self._pause_seconds = min(self._pause_seconds * _GROWTH, _LONGEST_WAIT_SECONDS)
                self._settle(await self._ended())
        except TaskForgeError as error:
            for future in self._awaited.values():
                future.set_exception(error)
            self._awaited.clear()
        finally:
            for future in self._awaited.values():
                future.cancel()
            self._awaited.clear()

    async def _ended(self) -> Iterable[int]:
        numbers = Int8Array(list(self._awaited))

        async def ask(connection: AsyncLink) -> list[int] | None:
            cursor = await connection.execute(FINALS, (numbers,), prepare=True, binary=True)
            row = await cursor.fetchone()
            return None if row is None else row[0]

        return await self._link.call(ask) or ()

    def _settle(self, ended: Iterable[int]) -> None:
        for number in ended:
            future = self._awaited.pop(number, None)
            if future is not None and not future.done():
                future.set_result(None)


def view_of(number: int, row: Mapping[str, Any]) -> JobView:
    """Return a row of `taskforge.show_job` as the wire's view."""
    state = JobState.READY if row["state"] is None else STATES_BY_NUMBER[row["state"]]
    detail = row["detail"] or {}
    result: bytes | None = row["result"]
    succeeded = state is JobState.SUCCEEDED
    progress = row["done"]
    attempts = tuple(_attempt(entry) for entry in row["attempts"] or ())
    started_at = row["claimed_at"]
    if started_at is None and attempts:
        started_at = attempts[-1].started_at
    return JobView(
        id=job_id(number),
        task=row["task"],
        queue=row["queue"],
        state=state,
        priority=row["priority"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        created_at=datetime.fromtimestamp(minted_at_ms(number) / 1000, UTC),
        run_at=row["run_at"],
        started_at=started_at,
        finished_at=row["finished_at"],
        key=row["key"],
        tags=tuple(row["tags"] or ()),
        meta=row["meta"] or {},
        after=tuple(job_id(parent) for parent in row["parents"] or ()),
        payload=row["payload"],
        encoding=ENCODINGS_BY_NUMBER[row["encoding"]],
        # Nothing stored stands for None; an empty value for a result that was not to be kept.
        result=result or None,
        result_kept=succeeded and result != b"",
        error=_error(detail),
        reason=detail.get("note") or detail.get("reason"),
        progress=None
        if progress is None
        else Progress(done=progress, total=row["total"], note=row["note"]),
        attempts=attempts,
        worker=_worker(row["worker_id"]),
        edited_from=None if row["edited_from"] is None else job_id(row["edited_from"]),
        edited_as=None if row["edited_as"] is None else job_id(row["edited_as"]),
    )


def _attempt(entry: Mapping[str, Any]) -> AttemptView:
    finished_at = datetime.fromisoformat(entry["finished_at"])
    detail = entry["detail"] or {}
    return AttemptView(
        attempt=entry["attempt"],
        state=STATES_BY_NUMBER[entry["state"]],
        finished_at=finished_at,
        started_at=finished_at - timedelta(microseconds=entry["duration_us"]),
        worker=_worker(entry["worker"]),
        error=_error(detail),
        log=detail.get("log"),
    )


def _error(detail: Mapping[str, Any]) -> ErrorView | None:
    error = detail.get("error")
    if not error:
        return None
    return ErrorView(
        type=error.get("type", ""),
        message=error.get("message", ""),
        traceback=error.get("traceback", ""),
        group=error.get("group", ""),
    )


def _worker(number: int | None) -> str | None:
    return None if number is None else encode_number(WORKER_PREFIX, number)
