"""Procrastinate on psycopg and uvloop, many jobs at once in a worker process."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from attrs import frozen

from benchmarks.contenders.base import SendOne
from benchmarks.contenders.installed import missing_package, version_of
from benchmarks.crew import Command, python_module
from benchmarks.database import Postgres, connect, vacuum_analyze
from benchmarks.event_loop import run_on_loop

CONCURRENCY: Final = 20
POOL: Final = 10
TASK: Final = "noop"
_CHUNK: Final = 2_000


@frozen(kw_only=True)
class ProcrastinateSystem:
    """A database with Procrastinate's schema."""

    url: str

    @property
    def parts(self) -> dict[str, list[int]]:
        """Nothing runs beside the workers."""
        return {}

    @property
    def worker(self) -> Command:
        """A worker process."""
        return python_module("benchmarks.contenders.procrastinate_worker", BENCHMARK_URL=self.url)

    def enqueue_bulk(self, first: int, count: int) -> None:
        """Send many by batch_defer."""
        run_on_loop(self._enqueue_bulk(first, count))

    async def _enqueue_bulk(self, first: int, count: int) -> None:
        from procrastinate import App, PsycopgConnector
        from procrastinate.types import JSONDict

        app = App(connector=PsycopgConnector(conninfo=self.url, min_size=1, max_size=1))
        async with app.open_async():
            deferrer = app.configure_task(TASK)
            for start in range(first, first + count, _CHUNK):
                numbers = range(start, min(start + _CHUNK, first + count))
                arguments: list[JSONDict] = [{"number": number} for number in numbers]
                await deferrer.batch_defer_async(*arguments)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[SendOne]:
        """Send one at a time, from a pool of connections."""
        from procrastinate import App, PsycopgConnector

        app = App(connector=PsycopgConnector(conninfo=self.url, min_size=1, max_size=POOL))
        async with app.open_async():
            deferrer = app.configure_task(TASK)
            yield lambda number: deferrer.defer_async(number=number)

    def unfinished(self) -> int:
        """Return how many jobs are waiting or running."""
        with connect(self.url) as connection:
            row = connection.execute(
                "select count(*) from procrastinate_jobs where status in ('todo', 'doing')"
            ).fetchone()
        return int(row[0]) if row else 0

    def analyse(self) -> None:
        """Vacuum and analyse the database."""
        vacuum_analyze(self.url)


@frozen(kw_only=True)
class ProcrastinateContender:
    """Procrastinate, if it is installed."""

    name: str = f"procrastinate {version_of('procrastinate')}"
    settings: str = f"psycopg, uvloop, concurrency {CONCURRENCY}, pool {POOL}"
    share: float = 0.05

    def missing(self) -> str | None:
        """Return what must be installed first."""
        return missing_package("procrastinate")

    @contextmanager
    def install(self, postgres: Postgres) -> Iterator[ProcrastinateSystem]:
        """A fresh database with its schema."""
        with postgres.fresh_database() as url:
            run_on_loop(_install(url))
            yield ProcrastinateSystem(url=url)


async def _install(url: str) -> None:
    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=1))
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
