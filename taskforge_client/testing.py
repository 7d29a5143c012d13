"""For users' tests, as a pytest plugin.

Switch it on in ``conftest.py``::

    pytest_plugins = ["taskforge_client.testing"]

The fixture `recorded` lets nothing run and shows what was sent. The fixture `taskforge` runs an
application's jobs by a real worker on a real database, with a project of its own for each test; it
needs the server package. `run_now` runs one invocation here, without either.
"""

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from importlib import import_module
from secrets import token_hex
from typing import Any, Final, Protocol, TypeVar, cast

import pytest
from attrs import Factory, define

from taskforge_client.app import TaskForge
from taskforge_client.errors import NotConfigured
from taskforge_client.portal import refuse_on_running_loop
from taskforge_client.running import arun_now, run_now
from taskforge_client.sender import Keep, Sender
from taskforge_client.task import Task
from taskforge_client.transport.base import OutgoingJob, Transport
from taskforge_client.transport.recording import RecordedJob, RecordingTransport
from taskforge_client.ways import Ways
from taskforge_client.wire.jobs import DEFAULT_QUEUE, Enqueued
from taskforge_client.worker.embedded import EmbeddedWorker

__all__ = ["Bench", "Recorded", "arun_now", "recorded", "run_now", "taskforge", "taskforge_server"]

T = TypeVar("T")
_A_TIME: Final = datetime(2025, 1, 1, tzinfo=UTC)


class Recorded:
    """What was sent during a test, by whichever app, and by `within` too; nothing runs."""

    def __init__(self) -> None:
        self._transport = RecordingTransport(_A_TIME)

    @property
    def jobs(self) -> tuple[RecordedJob, ...]:
        """All jobs in the order sent."""
        return self._transport.jobs

    def sent(self, task: Task[Any, Any], **arguments: object) -> list[RecordedJob]:
        """Return the jobs of a task that were sent with these arguments, among others perhaps.

        An empty list is false, so ``assert recorded.sent(charge, order_id=42)`` reads well.
        """
        return [job for job in self.jobs if _fits(job.job, task, arguments)]

    # -- the roads that lead here --------------------------------------------------------------

    def call(self, name: str, function: Callable[[Transport], Awaitable[T]]) -> T:
        """Answer a blocking call."""
        refuse_on_running_loop(name)
        return _at_once(function(self._transport))

    async def acall(self, function: Callable[[Transport], Awaitable[T]]) -> T:
        """Answer an awaited call."""
        return await function(self._transport)

    def enqueue(self, job: OutgoingJob) -> Enqueued:
        """Record a blocking send."""
        return self.call("enqueue", lambda transport: transport.enqueue(job))

    async def aenqueue(self, job: OutgoingJob) -> Enqueued:
        """Record an awaited send."""
        return await self._transport.enqueue(job)

    def enqueue_chunks(self, chunks: Iterable[Sequence[OutgoingJob]], keep: Keep) -> None:
        """Record a bulk send."""
        refuse_on_running_loop("enqueue_many")
        for chunk in chunks:
            keep(chunk, _at_once(self._transport.enqueue_many(chunk)))

    async def aenqueue_chunks(
        self, chunks: AsyncIterable[Sequence[OutgoingJob]], keep: Keep
    ) -> None:
        """Record an awaited bulk send."""
        async for chunk in chunks:
            keep(chunk, await self._transport.enqueue_many(chunk))

    def close(self) -> None:
        """Keep what was recorded."""

    async def aclose(self) -> None:
        """Keep what was recorded."""

    def enqueue_within(
        self, _connection: object, jobs: Sequence[OutgoingJob]
    ) -> Sequence[Enqueued]:
        """Record a send that would join a transaction."""
        return [_at_once(self._transport.enqueue(job)) for job in jobs]

    async def aenqueue_within(
        self, _connection: object, jobs: Sequence[OutgoingJob]
    ) -> Sequence[Enqueued]:
        """Record an awaited send that would join a transaction."""
        return [await self._transport.enqueue(job) for job in jobs]


@define(eq=False)
class Bench:
    """A real database for one test, in which `working` runs an app's jobs."""

    url: str
    project: str
    _ways: dict[Sender, Ways] = Factory(dict)

    def working(
        self, app: TaskForge, *, queues: Iterable[str] = (), concurrency: int = 10
    ) -> EmbeddedWorker:
        """Return a worker for a ``with`` or ``async with`` block; by default for all its queues."""
        from taskforge_client.worker.postgres_source import PostgresSource

        wanted = set(queues) or {DEFAULT_QUEUE, *(task.options.queue for task in app.tasks)}
        return app.worker(
            queues=sorted(wanted),
            concurrency=concurrency,
            source=lambda: PostgresSource(self.url, self.project),
        )

    def ways_of(self, sender: Sender) -> Ways:
        """Return an app's ways out, which lead into this test's project."""
        if sender not in self._ways:
            self._ways[sender] = Ways(self._open_transport)
        return self._ways[sender]

    def close(self) -> None:
        """Close what blocking calls opened."""
        for ways in self._ways.values():
            ways.close()

    def _open_transport(self) -> Transport:
        from taskforge_client.transport.postgres import PostgresTransport

        return PostgresTransport(self.url, self.project)


class ServedDatabase(Protocol):
    """What the server package offers to this plugin."""

    @property
    def url(self) -> str:
        """The database."""
        ...

    def add_project(self, name: str) -> None:
        """Make a project."""
        ...


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Let nothing run in this test, and show what was sent."""
    recorded = Recorded()
    monkeypatch.setattr(Sender, "_ways", recorded)
    return recorded


@pytest.fixture(scope="session")
def taskforge_server() -> Iterator[ServedDatabase]:
    """A database with an engine, for the whole test run.

    TASKFORGE_DATABASE_URL, or an embedded one.
    """
    try:
        # Found by name, and by this plugin alone: no application needs the server package.
        testing = import_module("taskforge_server.testing")
    except ImportError as error:
        raise NotConfigured(
            f"the fixture taskforge needs the server ({error}): pip install taskforge-server"
        ) from None
    opened = cast("Callable[[], AbstractContextManager[ServedDatabase]]", testing.serving_database)
    with opened() as server:
        yield server


@pytest.fixture
def taskforge(taskforge_server: ServedDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Send every app's jobs of this test into a project of its own, on a real database."""
    project = f"test-{token_hex(8)}"
    taskforge_server.add_project(project)
    bench = Bench(taskforge_server.url, project)
    monkeypatch.setattr(Sender, "_ways", property(bench.ways_of))
    yield bench
    bench.close()


def _fits(job: OutgoingJob, task: Task[Any, Any], arguments: dict[str, object]) -> bool:
    if job.task != task.name:
        return False
    given = task.decode_arguments(job.payload, job.encoding)
    return all(name in given and given[name] == value for name, value in arguments.items())


def _at_once(waiting: Awaitable[T]) -> T:
    """Return what a coroutine comes to that never waits."""
    steps = waiting.__await__()
    try:
        next(steps)
    except StopIteration as ended:
        value: T = ended.value
        return value
    raise NotConfigured("a recorded call waited for something")
