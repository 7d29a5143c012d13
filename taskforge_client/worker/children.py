"""Runs functions in child processes, one job at a time in each, warm from job to job.

What hangs there can be killed whatever it does: at its deadline a job is interrupted, and if it
goes on past the grace its process is killed and replaced. A process that dies of itself (a signal,
the out-of-memory killer, `os._exit`) ends only the attempt it ran. A process is replaced after so
many jobs or once it has grown too large, between two jobs, never during one.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from taskforge_client.wire.states import JobState
from taskforge_client.wire.workers import Finished
from taskforge_client.worker.attempt import RunningAttempt
from taskforge_client.worker.bench import Bench
from taskforge_client.worker.crew import Crew
from taskforge_client.worker.outcome import RESULT_LIMIT_BYTES, Random, Stop, crashed, stopped
from taskforge_client.worker.pipe import (
    Ask,
    Begin,
    Ended,
    Frames,
    FromChild,
    Ready,
    Run,
    ToChild,
    Told,
    frame,
)
from taskforge_client.worker.settings import ChildLimits

_CHUNK_BYTES: Final = 64 * 1024
_LEAVE_SECONDS: Final = 6.0
# The child finds modules where its parent does, whatever put them there.
_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from taskforge_client.worker.child import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_DECODER: Final = msgspec.msgpack.Decoder(FromChild)


class ChildProcess:
    """One child: its process, the socket to it, and what it says.

    `heard` takes its messages, `gone` how it ended, once.
    """

    def __init__(
        self,
        *,
        heard: Callable[["ChildProcess", FromChild], None],
        gone: Callable[["ChildProcess", str], None],
    ) -> None:
        self.attempt: RunningAttempt | None = None
        self.is_ready = False
        self.jobs = 0
        self.broken: str | None = None
        self._heard = heard
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._unsent = bytearray()
        self._ending: asyncio.Future[str] | None = None
        self._end, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [
                    sys.executable,
                    "-c",
                    _BOOT,
                    json.dumps(sys.path),
                    str(theirs.fileno()),
                    str(os.getpid()),
                ],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._end.setblocking(False)  # noqa: FBT003 - its one argument
        self._loop.add_reader(self._end, self._read)

    def send(self, message: ToChild) -> None:
        """Send a message, later if the child does not take it now."""
        if self._ending is not None:
            return
        self._unsent += frame(message)
        self._write()

    def hang_up(self) -> asyncio.Future[str]:
        """Close the socket: an idle child closes its resources and ends, killed if it takes long.

        Returns what becomes how it ended.
        """
        if self._ending is None:
            self._loop.remove_reader(self._end)
            self._loop.remove_writer(self._end)
            self._end.close()
            self._ending = self._loop.run_in_executor(None, self._reap)
        return self._ending

    def kill(self) -> None:
        """End the child at once, with all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _read(self) -> None:
        try:
            data = self._end.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.hang_up().add_done_callback(lambda done: self._gone(self, done.result()))
            return
        for body in self._frames.feed(data):
            self._heard(self, _DECODER.decode(body))

    def _write(self) -> None:
        try:
            sent = self._end.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:  # it is gone; the reader learns that too
            self._unsent.clear()
            sent = 0
        del self._unsent[:sent]
        if self._unsent:
            self._loop.add_writer(self._end, self._write)
        else:
            self._loop.remove_writer(self._end)

    def _reap(self) -> str:
        """Wait for the end of the process and say how it ended."""
        try:
            status = self._process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self._process.wait()
        return how_it_ended(status)


def how_it_ended(status: int) -> str:
    """Return a process's exit status in words."""
    if status >= 0:
        return f"it exited with status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


class ChildCrew(Crew):
    """At most `limit` child processes, started when they are first needed."""

    def __init__(
        self,
        bench: Bench,
        limit: int,
        *,
        app_path: Callable[[], str | None],
        limits: ChildLimits,
        random: Random,
        result_limit_bytes: int = RESULT_LIMIT_BYTES,
    ) -> None:
        super().__init__(bench, limit)
        self._app_path = app_path
        self._limits = limits
        self._random = random
        self._result_limit_bytes = result_limit_bytes
        self._idle: list[ChildProcess] = []
        self._all: set[ChildProcess] = set()

    async def aclose(self) -> None:
        """Let idle children leave, kill the others, and return when all have ended."""
        for child in self._all:
            if child.attempt is not None:
                child.kill()
        await asyncio.gather(*(child.hang_up() for child in self._all))
        self._all.clear()
        self._idle.clear()

    def _start(self, attempt: RunningAttempt) -> None:
        path = self._app_path()
        if path is None:
            self._bench.end(attempt)
            how = "its app is no variable of an importable module, so a child can't load it"
            self._settle(attempt, crashed(attempt.job, attempt.runnable.rules, how, self._random))
            self._free()
            return
        child = self._idle.pop() if self._idle else self._hire(path)
        child.attempt = attempt

        def interrupt(attempt: RunningAttempt, last_resort: bool) -> None:  # noqa: FBT001
            self._interrupt(child, attempt, last_resort=last_resort)

        attempt.interrupt = interrupt
        if child.is_ready:
            self._run(child, attempt)

    def _hire(self, path: str) -> ChildProcess:
        child = ChildProcess(heard=self._heard, gone=self._gone)
        self._all.add(child)
        child.send(Begin(path, self._result_limit_bytes))
        return child

    def _run(self, child: ChildProcess, attempt: RunningAttempt) -> None:
        child.jobs += 1
        child.send(Run(attempt.job, attempt.started_at + self._bench.unix_offset))

    def _heard(self, child: ChildProcess, message: FromChild) -> None:
        attempt = child.attempt
        if isinstance(message, Ready):
            child.is_ready = True
            if attempt is not None and attempt.stop is None:
                # Loading the app took no time from the job.
                self._bench.restart_clock(attempt)
                self._run(child, attempt)
        elif isinstance(message, Told):
            if attempt is not None:
                _take_report(attempt, message)
        elif isinstance(message, Ended):
            if attempt is not None:
                self._ended(child, attempt, message)
        else:
            child.broken = message.message

    def _ended(self, child: ChildProcess, attempt: RunningAttempt, message: Ended) -> None:
        child.attempt = None
        self._bench.end(attempt)
        outcome: Finished | None = message.outcome
        message.outcome.spawned = tuple(message.spawned)
        succeeded = message.outcome.state is JobState.SUCCEEDED
        if attempt.stop is not None and not (attempt.stop is Stop.CANCELLED and succeeded):
            outcome = self._stopped(attempt, attempt.stop)
        self._settle(attempt, outcome)
        self._dismiss_or_keep(child, message.memory_mib)
        self._free()

    def _dismiss_or_keep(self, child: ChildProcess, memory_mib: float) -> None:
        if child.jobs >= self._limits.jobs or memory_mib > self._limits.memory_mib:
            child.hang_up().add_done_callback(lambda _done: self._all.discard(child))
        else:
            self._idle.append(child)

    def _gone(self, child: ChildProcess, how: str) -> None:
        self._all.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        attempt, child.attempt = child.attempt, None
        if attempt is None or attempt.is_over:
            return
        self._bench.end(attempt)
        if attempt.stop is not None:
            outcome = self._stopped(attempt, attempt.stop)
        else:
            how = child.broken or how
            outcome = crashed(attempt.job, attempt.runnable.rules, how, self._random)
        self._settle(attempt, outcome)
        self._free()

    def _interrupt(
        self, child: ChildProcess, attempt: RunningAttempt, *, last_resort: bool
    ) -> None:
        if last_resort:
            child.attempt = None
            child.kill()
            self._all.discard(child)
            self._free()
        elif attempt.stop is Stop.LOST or not child.is_ready:
            child.kill()
        else:
            interrupts = attempt.stop is not Stop.CANCELLED
            child.send(Ask(attempt.detail or "stopped by the worker", interrupts))

    def _stopped(self, attempt: RunningAttempt, stop: Stop) -> Finished | None:
        rules = attempt.runnable.rules
        return stopped(attempt.job, rules, stop, attempt.detail, self._random)

    def _settle(self, attempt: RunningAttempt, outcome: Finished | None) -> None:
        self._bench.settle(attempt, outcome, self._bench.clock.monotonic())
        self._bench.outcomes.nudge(quiet=not self._bench.running)


def _take_report(attempt: RunningAttempt, message: Told) -> None:
    if message.progress is not None:
        attempt.reported = message.progress
    if message.extend_seconds:
        attempt.extend(message.extend_seconds)
