"""The blocking face.

One thread with an event loop, on which coroutines of any thread's blocking calls run.

It has no logic of its own. The thread starts with the first call and ends at `close` or with the
interpreter; a forked child has no such thread, so whoever owns a portal makes a new one there (see
`taskforge_client.sender`).
"""

import asyncio
import atexit
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from taskforge_client.errors import UseAwait

T = TypeVar("T")


class Portal:
    """Runs coroutine functions on its own thread's event loop for callers that block.

    `closing` runs on that loop at the end, while tasks that were started there still live.
    """

    def __init__(self, closing: Callable[[], Awaitable[None]] | None = None) -> None:
        started: Future[BlockingPortal] = Future()
        self._thread = threading.Thread(
            target=anyio.run, args=(_serve, started, closing), name="taskforge-portal", daemon=True
        )
        self._thread.start()
        self._portal = started.result()
        atexit.register(self.close)

    def run(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Return what `function(*args)` comes to on the portal's loop."""
        return self._portal.call(function, *args)

    def start(self, function: Callable[..., Awaitable[T]], *args: Any) -> "Future[T]":
        """Start `function(*args)` on the portal's loop and return its future at once."""
        return self._portal.start_task_soon(function, *args)

    def close(self) -> None:
        """Finish what runs, let the loop close what was opened on it, and end the thread."""
        atexit.unregister(self.close)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._portal.start_task_soon(self._portal.stop)
            self._thread.join()


async def _serve(
    started: "Future[BlockingPortal]", closing: Callable[[], Awaitable[None]] | None
) -> None:
    async with BlockingPortal() as portal:
        started.set_result(portal)
        await portal.sleep_until_stopped()
    # The loop's own end would cancel its tasks before it closes anything.
    if closing is not None:
        await closing()


def refuse_on_running_loop(call: str, instead: str | None = None) -> None:
    """Raise `UseAwait` when an event loop runs in this thread.

    Since the blocking `call` would stop it; `instead` says what to write, unset its awaited twin.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    twin = instead or f"await a{call} instead"
    raise UseAwait(f"{call} would stop the running event loop: {twin}")
