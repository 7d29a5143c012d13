"""The worker: registers, works in shifts, and leaves in good order.

Used by `taskforge-worker`, by the server's own pool, and inside a caller's process (`embedded`). It
installs no signal handlers and reads no settings; whoever makes it does.
"""

import asyncio
import logging
import random
import socket
from contextlib import AsyncExitStack, suppress
from os import getpid
from types import TracebackType
from typing import Final, Self
from uuid import uuid4

from taskforge_client._version import __version__
from taskforge_client.errors import Unreachable
from taskforge_client.wire.workers import Lease, Registration
from taskforge_client.worker.backoff import Backoff
from taskforge_client.worker.board import Board
from taskforge_client.worker.catalogue import AppCatalogue
from taskforge_client.worker.clock import SYSTEM_CLOCK, Clock
from taskforge_client.worker.metrics import MetricsSink, NoMetrics
from taskforge_client.worker.outcome import Random
from taskforge_client.worker.settings import WorkerSettings
from taskforge_client.worker.shift import Ending, Shift
from taskforge_client.worker.source import JobSource
from taskforge_client.worker.threads import ThreadCrew
from taskforge_client.worker.workable import Workable

RESIGN_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class Worker:
    """Runs an app's jobs from `source` until told to leave.

    ``async with Worker(…)`` works in a task of the running loop and drains at the end of the block;
    `run` works until `leave` is called.
    """

    def __init__(
        self,
        app: Workable,
        source: JobSource,
        settings: WorkerSettings | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        random: Random = random.random,
        metrics: MetricsSink | None = None,
        board: Board | None = None,
    ) -> None:
        self._app = app
        self._source = source
        self._settings = settings or WorkerSettings()
        self._clock = clock
        self._random = random
        self._metrics = metrics or NoMetrics()
        self._board = board or Board.alone()
        self._catalogue = AppCatalogue(app, plain_place=self._settings.plain_place)
        self._is_leaving = False
        self._registered = asyncio.Event()
        self._shift: Shift | None = None
        self._threads: list[ThreadCrew] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def is_worn(self) -> bool:
        """Whether given-up code still runs in this process, so that it should be replaced."""
        return any(threads.stuck for threads in self._threads)

    @property
    def jobs_done(self) -> int:
        """How many jobs were finished or given back under the lease in force."""
        return 0 if self._shift is None else self._shift.slots.done

    def leave(self) -> None:
        """Begin to drain; called again, drain in haste. To be called on the worker's loop."""
        self._is_leaving = True
        if self._shift is not None:
            self._shift.leave()

    async def run(self) -> None:
        """Work until told to leave, then drain and resign."""
        async with AsyncExitStack() as stack:
            for resource in self._app.resources:
                await resource.open(stack)
            while not self._is_leaving:
                lease = await self._register()
                if lease is None:
                    return
                ending = await self._work(lease)
                if ending is not Ending.LEASE_LOST:
                    await self._resign()

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self.run())
        registered = asyncio.ensure_future(self._registered.wait())
        await asyncio.wait((self._task, registered), return_when=asyncio.FIRST_COMPLETED)
        registered.cancel()
        if self._task.done():
            self._task.result()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()
        if self._task is not None:
            await self._task

    async def _register(self) -> Lease | None:
        registration = Registration(
            incarnation=str(uuid4()),
            host=socket.gethostname(),
            process_id=getpid(),
            queues=self._settings.queues,
            concurrency=self._settings.concurrency,
            version=__version__,
        )
        backoff = Backoff(self._random)
        while not self._is_leaving:
            try:
                lease = await self._source.register(registration)
            except Unreachable as error:
                _log.warning("can't register yet: %s", error)
                await asyncio.sleep(backoff.next_seconds())
            else:
                self._registered.set()
                return lease
        return None

    async def _work(self, lease: Lease) -> Ending:
        self._shift = Shift(
            lease,
            self._source,
            self._catalogue,
            self._settings,
            clock=self._clock,
            random=self._random,
            metrics=self._metrics,
            drain_requested=self.leave,
            board=self._board,
        )
        self._threads = [threads for threads in self._threads if threads.stuck]
        self._threads.append(self._shift.threads)
        if self._is_leaving:
            self._shift.leave()
        return await self._shift.run()

    async def _resign(self) -> None:
        with suppress(TimeoutError, Unreachable):
            async with asyncio.timeout(RESIGN_SECONDS):
                await self._source.resign()
