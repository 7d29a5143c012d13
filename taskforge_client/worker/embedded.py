"""A worker inside the caller's own process, as tests and small services want it.

``async with app.worker():`` works in a task of the running loop, ``with app.worker():`` in a thread
with a loop of its own. Either way no signal handlers are installed, a source that is away is waited
for, and the end of the block drains within the grace. A plain function runs in a thread unless its
task says ``execution="process"``: here a thread that hangs can't be killed, only given up.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Self

from attrs import evolve

from taskforge_client.errors import InvalidRequest
from taskforge_client.portal import refuse_on_running_loop
from taskforge_client.retry import as_seconds
from taskforge_client.settings import ClientSettings
from taskforge_client.worker.drain import Grace
from taskforge_client.worker.process import fastest_loop
from taskforge_client.worker.queue_weights import queue_weights
from taskforge_client.worker.roads import open_source
from taskforge_client.worker.settings import WorkerSettings
from taskforge_client.worker.source import JobSource
from taskforge_client.worker.workable import Workable
from taskforge_client.worker.worker import Worker


class EmbeddedWorker:
    """Works from entering the block to leaving it; for one block at a time.

    `open_source` is called anew for each.
    """

    def __init__(
        self, app: Workable, open_source: Callable[[], JobSource], settings: WorkerSettings
    ) -> None:
        self._app = app
        self._open_source = open_source
        self._settings = settings
        self._source: JobSource | None = None
        self._worker: Worker | None = None
        self._thread: _WorkerThread | None = None

    async def __aenter__(self) -> Self:
        self._source = self._open_source()
        self._worker = Worker(self._app, self._source, self._settings)
        await self._worker.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        worker, self._worker = self._worker, None
        source, self._source = self._source, None
        try:
            if worker is not None:
                await worker.__aexit__(kind, error, trace)
        finally:
            if source is not None:
                await source.aclose()

    def __enter__(self) -> Self:
        refuse_on_running_loop("with app.worker()", "write async with")
        self._thread = _WorkerThread(self)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()


def embedded_worker(
    app: Workable,
    client: ClientSettings,
    *,
    queues: str | Iterable[str] | Mapping[str, int],
    concurrency: int | None,
    grace: float | timedelta | None,
    source: Callable[[], JobSource] | None,
) -> EmbeddedWorker:
    """Return what `TaskForge.worker` returns, unset options left to `WorkerSettings`.

    Raises:
        InvalidRequest: a queue's name or weight, or another option, is out of range.
        NotConfigured: no worker can go the road of the URL in force.
    """
    try:
        settings = WorkerSettings(queues=queue_weights(queues))
        if concurrency is not None:
            settings = evolve(settings, concurrency=concurrency)
    except (TypeError, ValueError) as error:
        raise InvalidRequest.because("concurrency", str(error), "a whole number from 1") from None
    if grace is not None:
        settings = evolve(settings, grace=Grace.within(as_seconds(grace)))
    return EmbeddedWorker(app, source or (lambda: open_source(client)), settings)


class _WorkerThread:
    """One thread with an event loop on which an embedded worker lives."""

    def __init__(self, embedded: EmbeddedWorker) -> None:
        self._embedded = embedded
        self._is_working = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="taskforge-worker", daemon=True)

    def start(self) -> None:
        """Begin, and return when the worker has registered; raises what kept it from that."""
        self._thread.start()
        self._is_working.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Drain and wait for the end; raises what the worker failed with."""
        if self._loop is not None and self._leave is not None:
            self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=fastest_loop()) as runner:
                runner.run(self._work())
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits
            self._failure = error
        finally:
            self._is_working.set()

    async def _work(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        async with self._embedded:
            self._is_working.set()
            await self._leave.wait()
