"""Serves the application with uvicorn, inside an event loop that somebody else runs and stops."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator
from typing import Final

import uvicorn
from attrs import frozen
from starlette.types import ASGIApp

GRACE_SECONDS: Final = 10


@frozen(kw_only=True)
class Listening:
    """Where the server answers."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The base URL to give to clients."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class _Server(uvicorn.Server):
    """Leaves signals to the process that runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Change nothing."""
        yield


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, bound: socket.socket) -> AsyncIterator[Listening]:
    """Serve on a bound socket while the block runs; then finish the requests in flight."""
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[bound]))
    host, port = bound.getsockname()[:2]
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  # uvicorn tells by a flag
            await asyncio.sleep(0.005)
        yield Listening(host=host, port=port)
    finally:
        server.should_exit = True
        await task
        bound.close()
