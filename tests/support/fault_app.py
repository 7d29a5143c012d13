"""An app whose tasks leave a trace that outlives whatever ends their process."""

import asyncio
import ctypes
import os
import signal
import time

from taskforge_client.app import TaskForge
from taskforge_client.context import current_job
from taskforge_client.retry import Retry
from tests.support.history import BEGAN, ENDED, record

app = TaskForge()
_AT_ONCE = Retry.fixed(attempts=3, first=0, jitter=0)
_SLICE_SECONDS = 0.01


@app.task(name="work", retry=Retry.fixed(attempts=10, first=0, jitter=0))
async def work(ledger: str, marker: int, seconds: float = 0.0) -> int:
    """Write a line, pause, write another."""
    attempt = current_job().attempt
    record(ledger, marker, attempt, BEGAN)
    await asyncio.sleep(seconds)
    record(ledger, marker, attempt, ENDED)
    return marker


@app.task(name="hold", retry=Retry.fixed(attempts=10, first=0, jitter=0))
async def hold(ledger: str, marker: int, gate: str) -> int:
    """Write a line, wait until the gate of this attempt is open, write another."""
    attempt = current_job().attempt
    record(ledger, marker, attempt, BEGAN)
    while not os.path.exists(f"{gate}-{attempt}"):  # noqa: ASYNC110, ASYNC240, PTH110 - a local file
        await asyncio.sleep(_SLICE_SECONDS)
    record(ledger, marker, attempt, ENDED)
    return marker


@app.task(name="hog", retry=_AT_ONCE)
async def hog(ledger: str, marker: int, seconds: float) -> None:
    """Keep the event loop busy without ever giving it back."""
    attempt = current_job().attempt
    record(ledger, marker, attempt, BEGAN)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    record(ledger, marker, attempt, ENDED)


@app.task(name="hog_in_c", retry=Retry.fixed(attempts=5, first=0, jitter=0))
async def hog_in_c(ledger: str, marker: int, seconds: int) -> None:
    """Hold the interpreter lock in C code, the first time."""
    attempt = current_job().attempt
    record(ledger, marker, attempt, BEGAN)
    if attempt == 1:
        ctypes.PyDLL(None).sleep(seconds)
    record(ledger, marker, attempt, ENDED)


@app.task(name="spawning")
async def spawning(ledger: str, marker: int, child_marker: int, gate: str) -> None:
    """Spawn a job once the gate is open."""
    current_job().spawn(work.bind(ledger, child_marker))
    await hold(ledger, marker, gate)


@app.task(name="flaky", retry=Retry.fixed(attempts=3, first=0, jitter=0))
async def flaky(ledger: str, marker: int) -> int:
    """Fail the first attempt at once."""
    attempt = current_job().attempt
    record(ledger, marker, attempt, BEGAN)
    if attempt == 1:
        message = "not the first time"
        raise ValueError(message)
    record(ledger, marker, attempt, ENDED)
    return marker


@app.task(name="work_in_process", execution="process", retry=_AT_ONCE)
def work_in_process(ledger: str, marker: int) -> int:
    attempt = current_job().attempt
    record(ledger, marker, attempt, BEGAN)
    record(ledger, marker, attempt, ENDED)
    return os.getpid()


@app.task(name="hang", execution="process", timeout=1, retry=_AT_ONCE)
def hang(ledger: str, marker: int) -> None:
    """Never end, whatever is asked of it."""
    record(ledger, marker, current_job().attempt, BEGAN)
    while True:
        try:
            time.sleep(100_000)
        except BaseException:  # noqa: BLE001, S112 - that is the fault
            continue


@app.task(name="crash_worker", retry=_AT_ONCE)
async def crash_worker(ledger: str, marker: int) -> None:
    """Take the whole worker process along."""
    record(ledger, marker, current_job().attempt, BEGAN)
    os.kill(os.getpid(), signal.SIGSEGV)


@app.task(name="crash_child", execution="process", retry=_AT_ONCE)
def crash_child(ledger: str, marker: int) -> None:
    """Take the child process along."""
    record(ledger, marker, current_job().attempt, BEGAN)
    os.kill(os.getpid(), signal.SIGSEGV)
