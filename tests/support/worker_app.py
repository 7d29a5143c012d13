"""An app whose tasks misbehave in every way that a worker must survive."""

import asyncio
import ctypes
import os
import re
import signal
import time
from collections.abc import Generator
from pathlib import Path

from taskforge_client.app import TaskForge
from taskforge_client.context import current_job
from taskforge_client.retry import Retry

app = TaskForge()
_LEAK: list[bytes] = []
_AT_ONCE = Retry.fixed(attempts=2, first=0, jitter=0)


@app.resource
def marker() -> Generator[str, None, None]:
    yield f"opened in {os.getpid()}"


@app.task(name="noop")
async def noop(n: int = 0) -> int:
    return n


@app.task(name="note")
async def note(path: str, line: str) -> None:
    """Append a line to a file, so that a test can count executions whatever becomes of the job."""
    with Path(path).open("a") as file:  # noqa: ASYNC230 - a line to a local file
        file.write(f"{line}\n")


@app.task(name="note_slowly")
async def note_slowly(path: str, line: str, seconds: float) -> None:
    await note(path, f"begin {line}")
    await asyncio.sleep(seconds)
    await note(path, f"end {line}")


@app.task(name="tick")
async def tick(seconds: float) -> int:
    """Count turns of the event loop for a while."""
    turns = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(0.01)
        turns += 1
    return turns


@app.task(name="where", execution="process")
def where() -> tuple[int, str]:
    return os.getpid(), marker.get()


@app.task(name="plain")
def plain() -> int:
    return os.getpid()


@app.task(name="report", execution="process")
def report() -> str:
    job = current_job()
    job.progress(1, 2, "half")
    job.log.info("at %s", "work")
    job.spawn(noop.bind(n=1))
    return job.id


@app.task(name="fail", execution="process", retry=Retry.fixed(attempts=3, first=9, jitter=0))
def fail() -> None:
    message = "no luck with 12345"
    raise ValueError(message)


@app.task(name="segfault", execution="process", retry=_AT_ONCE)
def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@app.task(name="leave", execution="process", retry=_AT_ONCE)
def leave() -> None:
    os._exit(3)


@app.task(name="hang_in_c", execution="process", retry=_AT_ONCE)
def hang_in_c() -> None:
    """Hold the interpreter lock in a C call for ever: not even a signal handler runs."""
    ctypes.PyDLL(None).sleep(100_000)


@app.task(name="hang", execution="process", retry=_AT_ONCE)
def hang() -> str:
    try:
        time.sleep(100_000)
    finally:
        current_job().log.info("cleaned up")
    return "never"


@app.task(name="hang_in_thread", execution="thread", retry=_AT_ONCE)
def hang_in_thread() -> None:
    time.sleep(100_000)


@app.task(name="hog", retry=_AT_ONCE)
async def hog(seconds: int) -> None:
    """Hold the interpreter lock on the event loop."""
    ctypes.PyDLL(None).sleep(seconds)


@app.task(name="backtrack", retry=_AT_ONCE)
async def backtrack(length: int) -> bool:
    """Match a pattern whose time doubles with each letter; the lock is held all the while."""
    return re.match(r"(a+)+$", "a" * length + "b") is not None


@app.task(name="wait_for_cancel", execution="process")
def wait_for_cancel() -> None:
    while True:
        current_job().raise_if_cancelled()
        time.sleep(0.01)


@app.task(name="async_in_process", execution="process")
async def async_in_process() -> int:
    await asyncio.sleep(0)
    return os.getpid()


@app.task(name="leak", execution="process")
def leak(mib: int) -> int:
    _LEAK.append(os.urandom(1) * (mib << 20))
    return os.getpid()
