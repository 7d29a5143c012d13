"""Faults to inject: a TCP proxy that delays, stalls and cuts, and signals to processes."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import psutil
from attrs import define, field

from tests.support.polling import wait_until

Result = TypeVar("Result")

_HOST = "127.0.0.1"
_CHUNK_BYTES = 1 << 16
# On close: no lingering, nothing sent but a reset.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Mode(enum.Enum):
    """What the proxy does with bytes."""

    PASS = enum.auto()
    STALL = enum.auto()
    CUT = enum.auto()


@define(kw_only=True, eq=False)
class _Connection:
    """One client with its connection to the real server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    bytes_left_to_client: int | None = None
    is_silenced: bool = False

    def reset(self) -> None:
        for writer in (self.client, self.server):
            connected = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()


@define(kw_only=True, eq=False)
class Proxy:
    """A TCP proxy on its own port, run by its own thread, so that no test's loop starves it.

    It starts passing everything. `delay`, `stall`, `cut` and `drop_after` change that at once, for
    connections that exist and for those to come; `pass_through` heals, though what was cut stays
    cut. While it stalls, bytes stop in both directions and no end of a connection is passed on, but
    the kernel acknowledges what is sent to the proxy, so TCP's own timers see a healthy peer.
    """

    target_host: str
    target_port: int
    port: int = field(init=False, default=0)
    _mode: Mode = field(init=False, default=Mode.PASS)
    _delay_seconds: float = field(init=False, default=0.0)
    _bytes_to_client: int | None = field(init=False, default=None)
    _connections: set[_Connection] = field(init=False, factory=set)
    _loop: asyncio.AbstractEventLoop = field(init=False, factory=asyncio.new_event_loop)
    _flowing: asyncio.Event = field(init=False, factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(init=False, factory=set)
    _thread: threading.Thread = field(init=False)
    _server: asyncio.Server = field(init=False)

    @classmethod
    def to(cls, url: str) -> Self:
        """A proxy to the server of a URL."""
        parts = urlsplit(url)
        if parts.hostname is None or parts.port is None:
            message = f"url: {url!r} names no host and port to stand in front of"
            raise ValueError(message)
        return cls(target_host=parts.hostname, target_port=parts.port)

    def url(self, url: str) -> str:
        """The same URL by way of this proxy."""
        parts = urlsplit(url)
        credentials, at, _address = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{credentials}{at}{_HOST}:{self.port}").geturl()

    @property
    def connection_count(self) -> int:
        """How many connections go through it now."""
        return self._in_loop(lambda: len(self._connections))

    def pass_through(self) -> None:
        """Pass everything, what was held back first."""
        self._in_loop(lambda: self._change(Mode.PASS))

    def delay(self, seconds: float) -> None:
        """Pass everything, later by this much in each direction."""
        self._in_loop(lambda: self._change(Mode.PASS, delay_seconds=seconds))

    def stall(self) -> None:
        """Pass nothing, and tell nobody: new connections are accepted and lead nowhere."""
        self._in_loop(lambda: self._change(Mode.STALL))

    def silence(self) -> None:
        """Swallow all that the connections of now still send, for ever; new ones pass.

        So does a peer that vanished without a word, but for the kernel's acknowledgements.
        """

        def swallow() -> None:
            for connection in self._connections:
                connection.is_silenced = True

        self._in_loop(swallow)

    def cut(self) -> None:
        """Reset every connection, and every new one at once."""
        self._in_loop(lambda: self._change(Mode.CUT))

    def cut_once(self) -> None:
        """Reset every connection; new ones pass."""
        self.cut()
        self.pass_through()

    def drop_after(self, byte_count: int) -> None:
        """Let each connection's client have this many bytes more, then reset it.

        What the client sends still arrives: with 0, a statement is executed and its answer lost.
        """
        self._in_loop(lambda: self._change(Mode.PASS, bytes_to_client=byte_count))

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        self.pass_through()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _in_loop(self, act: Callable[[], Result]) -> Result:
        async def run() -> Result:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def _change(
        self, mode: Mode, *, delay_seconds: float = 0.0, bytes_to_client: int | None = None
    ) -> None:
        self._mode, self._delay_seconds = mode, delay_seconds
        self._bytes_to_client = bytes_to_client
        for connection in list(self._connections):
            connection.bytes_left_to_client = bytes_to_client
            if mode is Mode.CUT:
                connection.reset()
        if mode is Mode.STALL:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, _HOST, 0)

    async def _close(self) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._serve(reader, writer)
        self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target = await asyncio.open_connection(
                self.target_host, self.target_port
            )
        except OSError:
            writer.transport.abort()
            raise
        connection = _Connection(
            client=writer, server=target, bytes_left_to_client=self._bytes_to_client
        )
        self._connections.add(connection)
        try:
            if self._mode is Mode.CUT:
                return
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, target, connection, to_client=False))
                group.create_task(self._pump(target_reader, writer, connection, to_client=True))
        except* (OSError, _Dropped):
            pass
        finally:
            self._connections.discard(connection)
            connection.reset()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: _Connection,
        *,
        to_client: bool,
    ) -> None:
        """Carry one direction, through a queue so that a delay does not limit the rate."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=1024)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._receive(reader, waiting))
            group.create_task(self._send(waiting, writer, connection, to_client=to_client))

    async def _receive(
        self, reader: asyncio.StreamReader, waiting: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        data = b"-"
        while data:
            data = await reader.read(_CHUNK_BYTES)
            await waiting.put((time.monotonic() + self._delay_seconds, data))

    async def _send(
        self,
        waiting: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
        connection: _Connection,
        *,
        to_client: bool,
    ) -> None:
        while True:
            due, data = await waiting.get()
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            await self._flowing.wait()
            if connection.is_silenced:
                if not data:
                    return
                continue
            if not data:
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return
            if to_client and connection.bytes_left_to_client is not None:
                allowed = data[: connection.bytes_left_to_client]
                connection.bytes_left_to_client -= len(allowed)
                writer.write(allowed)
                if len(allowed) < len(data):
                    await writer.drain()
                    raise _Dropped
            else:
                writer.write(data)
            await writer.drain()


class _Dropped(Exception):
    """The client has had all the bytes it may have."""


def kill(process: subprocess.Popen[bytes] | subprocess.Popen[str] | int) -> None:
    """Send SIGKILL and wait until the process has ended."""
    if isinstance(process, subprocess.Popen):
        process.kill()
        process.wait(15)
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    wait_until(lambda: has_ended(process))


def has_ended(pid: int) -> bool:
    """Whether no process of this id runs; a dead one that nobody has waited for has ended."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@contextlib.contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Freeze processes (SIGSTOP) for the length of the block, then thaw them."""
    try:
        for pid in pids:
            freeze(pid)
        yield
    finally:
        for pid in pids:
            thaw(pid)


def freeze(pid: int) -> None:
    """Send SIGSTOP and wait until the process stands still."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)


def thaw(pid: int) -> None:
    """Send SIGCONT, if the process still exists."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def descendants(pid: int) -> list[int]:
    """Process ids of the children of a process, and of theirs."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
