"""Real processes over a real database: workers and engines that a test starts, breaks and ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

import msgspec
from attrs import define, field

from taskforge_client.portal import Portal
from taskforge_server.wiring import run_node
from tests.support.fault_worker import WorkerOrder
from tests.support.faults import descendants, freeze, kill, thaw
from tests.support.polling import wait_until

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 60.0


@define(kw_only=True, eq=False)
class Program:
    """One process of ours that writes what it says to a file."""

    arguments: list[str]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> Self:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", *self.arguments],
                cwd=_ROOT,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def said(self) -> list[str]:
        """All lines it wrote."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()

    @property
    def leases(self) -> list[int]:
        """The numbers of the leases a worker got, the newest last."""
        return [int(line.split()[1]) for line in self.said if line.startswith("lease ")]

    def wait_for_lease(self, number: int = 1) -> int:
        """Wait until a worker has had this many leases, and return the newest."""

        def enough() -> bool:
            assert self.process.poll() is None, "\n".join(["the worker ended:", *self.said])
            return len(self.leases) >= number

        wait_until(enough, _START_SECONDS)
        return self.leases[-1]

    def wait_for_line(self, line: str) -> None:
        """Wait until it has said exactly this."""
        wait_until(lambda: line in self.said, _START_SECONDS)

    def ask_to_leave(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def leave(self, timeout_seconds: float = 60.0) -> int:
        """Send SIGTERM, wait for the end and return the exit status."""
        self.ask_to_leave()
        return self.process.wait(timeout_seconds)

    def kill(self) -> None:
        """Kill it and whatever it started."""
        family = descendants(self.pid)
        if self.process.poll() is None:
            thaw(self.pid)
            kill(self.process)
        for child in family:
            kill(child)

    def freeze(self) -> None:
        """Stop it where it stands."""
        freeze(self.pid)

    def thaw(self) -> None:
        """Let it go on."""
        thaw(self.pid)


@define(kw_only=True, eq=False)
class Fleet:
    """All processes of one test."""

    folder: Path
    programs: list[Program] = field(init=False, factory=list)

    def worker(self, url: str, **order: Any) -> Program:
        """Start a worker and wait until it holds a lease."""
        worker = self.worker_unawaited(url, **order)
        worker.wait_for_lease()
        return worker

    def worker_unawaited(self, url: str, **order: Any) -> Program:
        """Start a worker; `order` holds the fields of `WorkerOrder`."""
        text = msgspec.json.encode(WorkerOrder(url=url, **order)).decode()
        return self._start("tests.support.fault_worker", text)

    def engine(self, url: str, *services: str) -> Program:
        """Start a server node's engine, with these services or all, and wait until it runs."""
        engine = self._start("tests.support.fault_engine", url, *services)
        engine.wait_for_line("running")
        return engine

    def close(self) -> None:
        """Kill everything and show what it had to say."""
        for program in self.programs:
            program.kill()
            print(f"--- {program.log.name}", *program.said, sep="\n")

    def _start(self, module: str, *arguments: str) -> Program:
        log = self.folder / f"{len(self.programs)}-{module.rpartition('.')[2]}.log"
        program = Program(arguments=[module, *arguments], log=log).start()
        self.programs.append(program)
        return program


@contextlib.contextmanager
def engine_at_hand(url: str, *services: str) -> Iterator[None]:
    """Run a server node's engine in a thread of this process: real, and cheaper than a process."""
    portal = Portal()
    running: Future[asyncio.Event] = Future()
    ended = portal.start(_run_engine, url, services, running)
    try:
        stop = running.result(timeout=_START_SECONDS)
        yield
        portal.run(_set, stop)
        ended.result(timeout=_START_SECONDS)
    finally:
        ended.cancel()
        portal.close()


async def _run_engine(url: str, services: tuple[str, ...], running: Future[asyncio.Event]) -> None:
    stop = asyncio.Event()
    try:
        async with run_node(url, services=services or None):
            running.set_result(stop)
            await stop.wait()
    except BaseException as error:
        if not running.done():
            running.set_exception(error)
        raise


async def _set(event: asyncio.Event) -> None:
    event.set()
