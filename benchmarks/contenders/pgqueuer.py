"""pgqueuer on asyncpg and uvloop, jobs taken and recorded in batches."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from attrs import frozen

from benchmarks.contenders.base import SendOne
from benchmarks.contenders.installed import missing_package, version_of
from benchmarks.crew import Command, python_module
from benchmarks.database import Postgres, connect, vacuum_analyze
from benchmarks.event_loop import run_on_loop

BATCH: Final = 500
ENTRYPOINT: Final = "noop"
_CHUNK: Final = 2_000


@frozen(kw_only=True)
class PgQueuerSystem:
    """A database with pgqueuer's tables."""

    url: str

    @property
    def parts(self) -> dict[str, list[int]]:
        """Nothing runs beside the workers."""
        return {}

    @property
    def worker(self) -> Command:
        """A worker process."""
        return python_module("benchmarks.contenders.pgqueuer_worker", BENCHMARK_URL=self.url)

    def enqueue_bulk(self, first: int, count: int) -> None:
        """Send many by lists."""
        run_on_loop(self._enqueue_bulk(first, count))

    async def _enqueue_bulk(self, first: int, count: int) -> None:
        import asyncpg  # type: ignore[import-untyped]
        from pgqueuer.queries import Queries

        connection = await asyncpg.connect(self.url)
        queries = Queries.from_asyncpg_connection(connection)
        for start in range(first, first + count, _CHUNK):
            numbers = range(start, min(start + _CHUNK, first + count))
            await queries.enqueue(
                [ENTRYPOINT] * len(numbers),
                [b"%d" % number for number in numbers],
                [0] * len(numbers),
            )
        await connection.close()

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[SendOne]:
        """Send one at a time, from a pool of connections."""
        import asyncpg
        from pgqueuer.queries import Queries

        async with asyncpg.create_pool(self.url, min_size=1, max_size=10) as pool:
            queries = Queries.from_asyncpg_pool(pool)
            yield lambda number: queries.enqueue(ENTRYPOINT, b"%d" % number)

    def unfinished(self) -> int:
        """Return how many jobs stand in the queue's table."""
        with connect(self.url) as connection:
            row = connection.execute("select count(*) from pgqueuer").fetchone()
        return int(row[0]) if row else 0

    def analyse(self) -> None:
        """Vacuum and analyse the database."""
        vacuum_analyze(self.url)


@frozen(kw_only=True)
class PgQueuerContender:
    """pgqueuer, if it is installed."""

    name: str = f"pgqueuer {version_of('pgqueuer')}"
    settings: str = f"asyncpg, uvloop, batch_size {BATCH}"
    share: float = 0.5

    def missing(self) -> str | None:
        """Return what must be installed first."""
        return missing_package("pgqueuer", "asyncpg")

    @contextmanager
    def install(self, postgres: Postgres) -> Iterator[PgQueuerSystem]:
        """A fresh database with its tables."""
        with postgres.fresh_database() as url:
            run_on_loop(_install(url))
            yield PgQueuerSystem(url=url)


async def _install(url: str) -> None:
    import asyncpg
    from pgqueuer.queries import Queries

    connection = await asyncpg.connect(url)
    await Queries.from_asyncpg_connection(connection).install()
    await connection.close()
