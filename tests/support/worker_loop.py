"""The worker's loop over a source in memory, for tests that ask what becomes of each job."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec

from taskforge_client.app import TaskForge
from taskforge_client.wire.workers import Finished
from taskforge_client.worker.settings import WorkerSettings
from taskforge_client.worker.worker import Worker
from tests.support.job_source import MemorySource
from tests.support.polling import wait_until_async


async def say(word: str) -> str:
    """Return `word` after a turn of the loop."""
    await anyio.lowlevel.checkpoint()
    return word


def payload(**arguments: Any) -> bytes:
    """Return encoded arguments."""
    return msgspec.msgpack.encode(arguments)


@asynccontextmanager
async def working(
    app: TaskForge, source: MemorySource, settings: WorkerSettings | None = None
) -> AsyncIterator[Worker]:
    """Run a worker for the length of a block."""
    async with Worker(app, source, settings) as worker:
        yield worker


async def aeventually(what: Callable[[], object]) -> None:
    """Wait until `what` returns something true."""

    async def condition() -> object:
        return what()

    await wait_until_async(condition)


async def outcomes(
    app: TaskForge, source: MemorySource, number: int, settings: WorkerSettings | None = None
) -> list[Finished]:
    """Run a worker until `number` outcomes are recorded."""
    async with Worker(app, source, settings):
        await aeventually(lambda: len(source.finished) >= number)
    return source.finished
