"""Serves the application with uvicorn, inside an event loop that somebody else runs and stops."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator
from typing import Final

import uvicorn
from attrs import frozen
from starlette.types import ASGIApp

DEFAULT_PORT: Final = 8585
GRACE_SECONDS: Final = 10
_BACKLOG: Final = 1024


class PortTaken(OSError):
    """Another program listens on the port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"port {port} on {host} is in use by another program; choose another with --port, "
            "or stop what is there (`taskforge doctor` shows whether it is a TaskForge)"
        )


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


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens; 0 takes a free port.

    Raises:
        PortTaken: another program has it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise PortTaken(host, port) from error
    return bound


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
