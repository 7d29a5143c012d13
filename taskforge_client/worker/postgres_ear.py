"""Listens for the doorbell on a connection of its own, and survives whatever becomes of it.

What it hears is a hint: a worker that hears nothing still looks by itself every now and then. A
connection that died without a word is noticed because the ear asks a question every five seconds
that must be answered.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Collection
from typing import Final

import psycopg
from psycopg import AsyncConnection

from taskforge_client.transport.postgres.link import CONNECTION_OPTIONS

_CHANNEL: Final = "taskforge"
_QUESTION_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 5.0
_LONGEST_PAUSE_SECONDS: Final = 5.0


class Ear:
    """One listener, re-aimed with each registration."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._rang = asyncio.Event()
        self._words: frozenset[str] = frozenset()
        self._notices: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self.on_notice: Callable[[], None] = _ignore

    def listen(self, worker: int, queues: Collection[int]) -> None:
        """Hear rings for `queues` and notices for `worker` from now on."""
        self._words = frozenset(f"ready {queue}" for queue in queues)
        self._notices = frozenset({f"cancel {worker}", f"drain {worker}"})
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def wait(self, timeout_seconds: float) -> None:
        """Return when something was heard since the last call, or time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._rang.wait()
        self._rang.clear()

    async def aclose(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _run(self) -> None:
        pause = 0.05
        while True:
            with contextlib.suppress(psycopg.Error, OSError, TimeoutError):
                async with await AsyncConnection.connect(
                    self._url,
                    autocommit=True,
                    application_name="taskforge listen",
                    **CONNECTION_OPTIONS,
                ) as connection:
                    await connection.execute("listen taskforge")
                    # Something may have been rung while nobody listened.
                    self._rang.set()
                    pause = 0.05
                    await self._hear(connection)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (spread, no secret)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _hear(self, connection: AsyncConnection) -> None:
        while True:
            async for notice in connection.notifies(timeout=_QUESTION_SECONDS):
                self._take(notice.payload)
            async with asyncio.timeout(_ANSWER_SECONDS):
                cursor = await connection.execute("select pg_listening_channels()")
                if (_CHANNEL,) not in await cursor.fetchall():
                    return

    def _take(self, payload: str) -> None:
        if payload in self._words:
            self._rang.set()
        elif payload in self._notices:
            self._rang.set()
            self.on_notice()


def _ignore() -> None:
    """Nobody asked to be told."""
