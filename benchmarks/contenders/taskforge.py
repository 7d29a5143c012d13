"""TaskForge itself on the direct road, with a server node running beside the workers."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import Final

from attrs import frozen

from benchmarks.contenders.base import SendOne
from benchmarks.crew import Command, Crew, python_module, start_crew
from benchmarks.database import Postgres, connect, vacuum_analyze
from benchmarks.tasks import noop
from taskforge_client import AsyncTask, TaskForge
from taskforge_client._version import __version__
from taskforge_server.storage.migrate import migrate

CONCURRENCY: Final = 1000
# A process pays for these once, so no job is charged with them.
_LOADED_LATE: Final = (
    "taskforge_client.ways",
    "taskforge_client.transport.postgres",
)
_UNFINISHED: Final = (
    "select (select count(*) from taskforge.ready) + (select count(*) from taskforge.running)"
    " + (select count(*) from taskforge.scheduled) + (select count(*) from taskforge.blocked)"
)
# Every job counts once: jobs without a final outcome are lost, final outcomes beyond one doubled.
_FINALS: Final = (
    "select (select count(*) from taskforge.job where id > %(after)s),"
    " count(distinct job_id), count(*)"
    " from taskforge.outcome where state >= 5 and job_id > %(after)s"
)


@frozen(kw_only=True)
class Ledger:
    """What the database holds in the end: all jobs, those with a final outcome, final outcomes."""

    jobs: int
    ended: int
    endings: int

    @property
    def without_end(self) -> int:
        """Jobs that have no final outcome."""
        return self.jobs - self.ended

    @property
    def doubled(self) -> int:
        """Final outcomes beyond the first of a job."""
        return self.endings - self.ended


@frozen(kw_only=True)
class TaskForgeSystem:
    """A migrated database and, unless left out, a server node.

    Attributes:
        url: The database.
        server: The node's process.
        concurrency: Attempts at once in a worker process.
    """

    url: str
    server: Crew | None
    concurrency: int = CONCURRENCY

    @property
    def parts(self) -> dict[str, list[int]]:
        """The server node."""
        return {} if self.server is None else {"server": self.server.pids}

    @property
    def worker(self) -> Command:
        """A worker process."""
        return python_module(
            "benchmarks.processes.worker",
            *("--concurrency", str(self.concurrency)),
            TASKFORGE_URL=self.url,
        )

    def app(self) -> TaskForge:
        """An application of this database."""
        return TaskForge(self.url)

    def enqueue_bulk(self, first: int, count: int) -> None:
        """Send many with `enqueue_many`."""
        with self.app() as app:
            task = noop.via(app)
            app.enqueue_many(task.bind(number) for number in range(first, first + count))

    @asynccontextmanager
    async def task(self) -> AsyncIterator[AsyncTask[[int], None]]:
        """The task, ready to be sent to this database from the running loop."""
        async with self.app() as app:
            yield noop.via(app)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[SendOne]:
        """Send one with `aenqueue`."""
        async with self.task() as task:
            yield task.aenqueue

    def unfinished(self) -> int:
        """Return how many jobs are alive."""
        with connect(self.url) as connection:
            row = connection.execute(_UNFINISHED).fetchone()
        return int(row[0]) if row else 0

    def ledger(self, after: int = 0) -> Ledger:
        """Return what the database knows of all jobs, or of those with numbers above `after`."""
        with connect(self.url) as connection:
            jobs, ended, endings = connection.execute(_FINALS, {"after": after}).fetchone() or (
                0,
                0,
                0,
            )
        return Ledger(jobs=jobs, ended=ended, endings=endings)

    def analyse(self) -> None:
        """Vacuum and analyse the database."""
        vacuum_analyze(self.url)


@frozen(kw_only=True)
class TaskForgeContender:
    """TaskForge; always installed."""

    name: str = f"taskforge {__version__}"
    settings: str = f"direct, concurrency {CONCURRENCY}, server node beside it"
    share: float = 1.0
    with_server: bool = True
    concurrency: int = CONCURRENCY

    def missing(self) -> str | None:
        """Nothing is."""
        return None

    @contextmanager
    def install(self, postgres: Postgres) -> Iterator[TaskForgeSystem]:
        """A fresh, migrated database and a running node."""
        for module in _LOADED_LATE:
            import_module(module)
        with postgres.fresh_database() as url:
            migrate(url)
            if not self.with_server:
                yield TaskForgeSystem(url=url, server=None, concurrency=self.concurrency)
                return
            node = python_module("benchmarks.processes.server", TASKFORGE_URL=url)
            with start_crew(node, 1, recording=False) as server:
                server.go()
                yield TaskForgeSystem(url=url, server=server, concurrency=self.concurrency)
                server.stop()
