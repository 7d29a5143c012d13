"""Shows, pauses and resumes queues for an application on the direct road."""

from typing import Any

from taskforge_client.errors import NotFound, Refused
from taskforge_client.transport.postgres.directory import Directory
from taskforge_client.transport.postgres.link import AsyncLink, Link
from taskforge_client.transport.postgres.refusals import refusal
from taskforge_client.transport.postgres.statements import (
    PAUSE_QUEUE,
    QUEUE_DEPTHS,
    RESUME_QUEUE,
    SHOW_QUEUE,
)
from taskforge_client.wire.queues import QueueView
from taskforge_client.wire.states import STATES_BY_NUMBER


class QueueDesk:
    """The queues of one project, over a link that other verbs use too."""

    def __init__(self, link: Link, directory: Directory) -> None:
        self._link = link
        self._directory = directory

    async def view(self, name: str) -> QueueView:
        """Return a queue as it stands now; raises `NotFound`."""

        async def show(connection: AsyncLink) -> tuple[tuple[Any, ...], list[tuple[Any, ...]]]:
            project = await self._directory.project(connection)
            row = await (await connection.execute(SHOW_QUEUE, (project, name))).fetchone()
            if row is None:
                raise _nothing_named(name)
            counted = await connection.execute(QUEUE_DEPTHS, (row[0],))
            return row, await counted.fetchall()

        (_, paused, oldest_ready_at), counts = await self._link.call(show)
        samples = [sampled_at for _, _, sampled_at in counts if sampled_at is not None]
        return QueueView(
            name=name,
            paused=paused,
            depth={STATES_BY_NUMBER[state].value: count for state, count, _ in counts},
            oldest_ready_at=oldest_ready_at,
            sampled_at=min(samples, default=None),
        )

    async def pause(self, name: str) -> None:
        """Let nothing more be claimed from a queue; raises `NotFound`."""
        await self._change(PAUSE_QUEUE, name)

    async def resume(self, name: str) -> int:
        """Let jobs be claimed again, and return the queue's number; raises `NotFound`."""
        return await self._change(RESUME_QUEUE, name)

    async def _change(self, statement: str, name: str) -> int:
        async def change(connection: AsyncLink) -> int:
            project = await self._directory.project(connection)
            row = await (await connection.execute(statement.encode(), (project, name))).fetchone()
            if row is None:
                raise _nothing_named(name)
            return int(row[0])

        return await self._link.call(change)


def _nothing_named(name: str) -> Refused:
    return refusal(NotFound, f"there is no queue {name!r}; a queue begins with its first job")
