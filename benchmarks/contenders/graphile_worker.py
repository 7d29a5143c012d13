"""graphile-worker on Node, with its local queue and batched completion."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from attrs import frozen

from benchmarks.contenders.base import SendOne
from benchmarks.contenders.installed import GRAPHILE_FOLDER, NODE_FOLDER, missing_node_package
from benchmarks.crew import BenchmarkFailed, Command, start_crew
from benchmarks.database import Postgres, connect, vacuum_analyze

TASK: Final = "noop"
LOCAL_QUEUE: Final = 500
CONCURRENCY: Final = 24
_CHUNK: Final = 2_000
_MANY: Final = """
    select count(*) from graphile_worker.add_jobs(array(
        select json_populate_record(null::graphile_worker.job_spec,
            json_build_object('identifier', %s::text, 'payload', json_build_object('number', n)))
        from generate_series(%s::int, %s::int) n))
"""
_ONE: Final = "select id from graphile_worker.add_job(%s, json_build_object('number', %s::int))"


@frozen(kw_only=True)
class GraphileWorkerSystem:
    """A database with graphile-worker's schema."""

    url: str

    @property
    def parts(self) -> dict[str, list[int]]:
        """Nothing runs beside the workers."""
        return {}

    @property
    def worker(self) -> Command:
        """A worker process."""
        return node_command(self.url, "work")

    def enqueue_bulk(self, first: int, count: int) -> None:
        """Send many by its SQL function, payloads made in the database."""
        with connect(self.url) as connection:
            for start in range(first, first + count, _CHUNK):
                last = min(start + _CHUNK, first + count) - 1
                connection.execute(_MANY, (TASK, start, last), prepare=True)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[SendOne]:
        """Send one at a time by its SQL function, from a pool of connections."""
        from psycopg_pool import AsyncConnectionPool

        async with AsyncConnectionPool(
            self.url, min_size=1, max_size=10, kwargs={"autocommit": True}
        ) as pool:

            async def send(number: int) -> None:
                async with pool.connection() as connection:
                    await connection.execute(_ONE, (TASK, number), prepare=True)

            yield send

    def unfinished(self) -> int:
        """Return how many jobs are there: finished ones are deleted."""
        with connect(self.url) as connection:
            row = connection.execute("select count(*) from graphile_worker.jobs").fetchone()
        return int(row[0]) if row else 0

    def analyse(self) -> None:
        """Vacuum and analyse the database."""
        vacuum_analyze(self.url)


@frozen(kw_only=True)
class GraphileWorkerContender:
    """graphile-worker, if Node and the package are installed."""

    settings: str = (
        f"localQueue {LOCAL_QUEUE}, completeJobBatchDelay 0, concurrentJobs {CONCURRENCY}"
    )
    share: float = 0.5

    @property
    def name(self) -> str:
        """Its name and version."""
        try:
            package = json.loads((GRAPHILE_FOLDER / "package.json").read_text(encoding="utf-8"))
        except OSError:
            return "graphile-worker"
        return f"graphile-worker {package['version']}"

    def missing(self) -> str | None:
        """Return what must be installed first."""
        return missing_node_package()

    @contextmanager
    def install(self, postgres: Postgres) -> Iterator[GraphileWorkerSystem]:
        """A fresh database with its schema, made by its own migrations."""
        with postgres.fresh_database() as url:
            with start_crew(node_command(url, "migrate"), 1, recording=False) as crew:
                crew.stop()
            with connect(url) as connection:
                row = connection.execute("select to_regclass('graphile_worker.jobs')").fetchone()
            if row is None or row[0] is None:
                raise BenchmarkFailed("graphile-worker's migrations made no schema")
            yield GraphileWorkerSystem(url=url)


def node_command(url: str, action: str) -> Command:
    """Return the command for a Node process of ours: `work`, or `migrate` and wait."""
    return Command(
        words=["node", str(NODE_FOLDER / "graphile_worker.mjs"), action],
        environment={
            "BENCHMARK_URL": url,
            "BENCHMARK_TASK": TASK,
            "BENCHMARK_LOCAL_QUEUE": str(LOCAL_QUEUE),
            "BENCHMARK_CONCURRENCY": str(CONCURRENCY),
            "NO_LOG_SUCCESS": "1",
        },
    )
