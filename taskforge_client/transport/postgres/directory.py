"""Which numbers stand for names in storage: the project, queues and lanes.

They never change, so they are kept.
"""

from collections.abc import Sequence
from typing import cast

from taskforge_client.errors import NotConfigured, Refused
from taskforge_client.transport.base import OutgoingJob
from taskforge_client.transport.postgres.link import AsyncLink, only_row
from taskforge_client.transport.postgres.prepared import OptionsCache, PreparedOptions
from taskforge_client.transport.postgres.statements import ENSURE_LANE, PROJECT


class Directory:
    """Names to numbers, asked of the database once each."""

    def __init__(self, project: str) -> None:
        self._project_name = project
        self._project: int | None = None
        self._lanes: dict[tuple[str, int], int] = {}
        self._options = OptionsCache()

    async def project(self, connection: AsyncLink) -> int:
        """Return the project's number.

        Raises:
            NotConfigured: there is no project of that name.
        """
        if self._project is None:
            cursor = await connection.execute(PROJECT, (self._project_name,))
            row = await cursor.fetchone()
            if row is None:
                raise NotConfigured(f"the database holds no project {self._project_name!r}")
            self._project = int(row[0])
        return self._project

    def prepared_before(
        self, jobs: Sequence[OutgoingJob]
    ) -> Sequence[PreparedOptions | Refused] | None:
        """Return what is known for all of `jobs`.

        None when the database must be asked for one of them.
        """
        known: list[PreparedOptions | Refused] = []
        last: OutgoingJob | None = None
        options: PreparedOptions | None = None
        for job in jobs:
            # Jobs sent alike come one after the other.
            if (
                last is None
                or job.options is not last.options
                or job.task is not last.task
                or job.encoding is not last.encoding
            ):
                last = job
                options = self._options.get(job)
                if options is None:
                    return None
            known.append(cast("PreparedOptions", options))
        return known

    async def prepare(self, connection: AsyncLink, job: OutgoingJob) -> PreparedOptions:
        """Return the columns for a job's options, making its queue and lane when they are new."""
        known = self._options.get(job)
        if known is not None:
            return known
        queue = await self.queue(connection, job.options.queue, job.options.priority)
        return self._options.put(job, queue, await self.project(connection))

    async def queue(self, connection: AsyncLink, name: str, priority: int) -> int:
        """Return a queue's number.

        Making the queue and its lane of `priority` when they are new.
        """
        lane = (name, priority)
        if lane not in self._lanes:
            project = await self.project(connection)
            cursor = await connection.execute(ENSURE_LANE, (project, name, priority))
            self._lanes[lane] = int((await only_row(cursor))[0])
        return self._lanes[lane]
