"""A worker process that owns itself: signals, event loop, recycling and exit status."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from taskforge_client.worker.board import Board
from taskforge_client.worker.locate import load_app
from taskforge_client.worker.memory import memory_mib
from taskforge_client.worker.metrics import MetricsSink
from taskforge_client.worker.settings import WorkerSettings
from taskforge_client.worker.source import JobSource
from taskforge_client.worker.worker import Worker

LOOK_SECONDS: Final = 1.0

# Exit statuses, which tell a supervisor what to do next.
DRAINED: Final = 0
RECYCLED: Final = 75


def run_worker(
    app_path: str,
    open_source: Callable[[], JobSource],
    settings: WorkerSettings,
    *,
    board: Board | None = None,
    metrics: MetricsSink | None = None,
) -> int:
    """Work until told to leave (SIGTERM, SIGINT or by the source) and return the exit status.

    A second signal hastens. The status is `DRAINED`, or `RECYCLED` when the process left to be
    replaced.

    Raises:
        NotConfigured: `app_path` names no app.
    """
    app = load_app(app_path)
    with asyncio.Runner(loop_factory=fastest_loop()) as runner:
        loop = runner.get_loop()
        source = open_source()
        worker = Worker(app, source, settings, board=board, metrics=metrics)
        try:
            status, is_stuck = runner.run(_work(worker, settings, loop))
        finally:
            runner.run(source.aclose())
        if is_stuck:  # code that does not listen must not hold up the exit
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return status


def fastest_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes an event loop: uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _work(
    worker: Worker, settings: WorkerSettings, loop: asyncio.AbstractEventLoop
) -> tuple[int, bool]:
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.leave)
    recycling = loop.create_task(_recycle(worker, settings))
    try:
        await worker.run()
    finally:
        recycled = recycling.done()
        recycling.cancel()
        with suppress(asyncio.CancelledError):
            await recycling
    return (RECYCLED if recycled else DRAINED), worker.is_worn


async def _recycle(worker: Worker, settings: WorkerSettings) -> None:
    """Make the worker leave once it is worn; return when it was told so."""
    while not is_worn(worker, settings):  # noqa: ASYNC110 - memory tells nobody that it grows
        await asyncio.sleep(LOOK_SECONDS)
    worker.leave()


def is_worn(worker: Worker, settings: WorkerSettings) -> bool:
    """Return whether a fresh process should take over."""
    if worker.is_worn:
        return True
    jobs = settings.recycle_after_jobs
    if jobs is not None and worker.jobs_done >= jobs:
        return True
    limit_mib = settings.recycle_above_mib
    return limit_mib is not None and memory_mib() > limit_mib
