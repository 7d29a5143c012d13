"""A child process: loads the app, then runs one job after another as its parent sends them.

The job's function runs in the main thread. A second thread listens to the parent: it passes
cancellations on, interrupts a job past its deadline, and ends the process when the parent is gone.
"""

import asyncio
import os
import random
import signal
import socket
import threading
import time
from contextlib import AsyncExitStack
from contextvars import Context, copy_context
from queue import SimpleQueue
from types import FrameType
from typing import Any, Final

import msgspec

from taskforge_client.context import CURRENT_JOB
from taskforge_client.transport.base import OutgoingJob
from taskforge_client.wire.workers import ClaimedJob, Finished
from taskforge_client.worker.attempt import RunningAttempt
from taskforge_client.worker.catalogue import AppCatalogue
from taskforge_client.worker.conclusion import outcome_of
from taskforge_client.worker.failure import type_name
from taskforge_client.worker.locate import load_app
from taskforge_client.worker.memory import memory_mib
from taskforge_client.worker.outcome import Undecodable, unknown_task
from taskforge_client.worker.parentage import PARENT_GONE_STATUS, die_with
from taskforge_client.worker.pipe import (
    Ask,
    Begin,
    Broken,
    Ended,
    Frames,
    FromChild,
    Ready,
    Run,
    ToChild,
    Told,
    frame,
)
from taskforge_client.worker.runnable import Place, Runnable
from taskforge_client.worker.workable import Workable

_CHUNK_BYTES: Final = 64 * 1024
_CLOSE_SECONDS: Final = 5.0
_DECODER: Final = msgspec.msgpack.Decoder(ToChild)


class Interrupted(BaseException):
    """Raised in the main thread when the running job is to stop."""


class Line:
    """The child's end of the socket; one thread receives, any may send."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()
        self._frames = Frames()

    def send(self, message: FromChild) -> None:
        """Send a message; a parent that is gone ends this process."""
        try:
            with self._lock:
                self._end.sendall(frame(message))
        except OSError:
            os._exit(PARENT_GONE_STATUS)

    def receive(self) -> list[ToChild] | None:
        """Wait for the parent and return what it said, None when it hung up."""
        try:
            data = self._end.recv(_CHUNK_BYTES)
        except OSError:
            return None
        if not data:
            return None
        return [_DECODER.decode(body) for body in self._frames.feed(data)]


class PipedAttempt(RunningAttempt):
    """An attempt whose reports go to the parent as they are made."""

    __slots__ = ("_line",)

    def __init__(
        self, job: ClaimedJob, started_unix: float, runnable: Runnable, line: Line
    ) -> None:
        super().__init__(job, started_unix, runnable, time.monotonic())
        self._line = line

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """Report how far the task is."""
        super().progress(done, total, note)
        self._line.send(Told(progress=self.reported))

    def extend(self, seconds: float) -> None:
        """Move the deadline `seconds` further away."""
        super().extend(seconds)
        self._line.send(Told(extend_seconds=seconds))


class Child:
    """The process: `listen` in one thread, `work` in the main one."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._inbox: SimpleQueue[Begin | Run | None] = SimpleQueue()
        self._attempt: PipedAttempt | None = None
        self._task: asyncio.Task[Any] | None = None
        self._is_interrupting = False
        self._result_limit_bytes = 0
        self._main_thread = threading.get_ident()

    # -- the listening thread ------------------------------------------------------------------

    def listen(self) -> None:
        """Take messages until the parent hangs up, then see to it that the process ends."""
        while (messages := self._line.receive()) is not None:
            for message in messages:
                if isinstance(message, Ask):
                    self._ask(message)
                else:
                    self._inbox.put(message)
        if self._attempt is not None:
            os._exit(PARENT_GONE_STATUS)
        self._inbox.put(None)
        time.sleep(_CLOSE_SECONDS)
        os._exit(PARENT_GONE_STATUS)

    def _ask(self, message: Ask) -> None:
        attempt = self._attempt
        if attempt is None:
            return
        attempt.request_cancel(message.reason)
        if not message.interrupt:
            return
        task = self._task
        if task is not None:
            task.get_loop().call_soon_threadsafe(task.cancel)
        else:
            self._is_interrupting = True
            signal.pthread_kill(self._main_thread, signal.SIGUSR1)

    # -- the main thread -----------------------------------------------------------------------

    def interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """Handle the signal of the listening thread: stop the job, if it still runs."""
        if self._is_interrupting and self._attempt is not None:
            self._is_interrupting = False
            raise Interrupted

    def work(self) -> None:
        """Load the app, then run jobs until the parent hangs up."""
        first = self._inbox.get()
        if not isinstance(first, Begin):
            return
        self._result_limit_bytes = first.result_limit_bytes
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            try:
                app = load_app(first.app_path)
                runner.run(_open_resources(app, stack))
            except Exception as error:  # noqa: BLE001 - a user's module may raise anything
                self._line.send(Broken(f"{type_name(error)}: {error}"))
                return
            self._line.send(Ready())
            try:
                self._run_jobs(AppCatalogue(app, plain_place=Place.PROCESS), runner)
            finally:
                runner.run(stack.aclose())

    def _run_jobs(self, catalogue: AppCatalogue, runner: asyncio.Runner) -> None:
        base = copy_context()
        while (message := self._inbox.get()) is not None:
            if isinstance(message, Run):
                self._run(message, catalogue, runner, base.copy())

    def _run(
        self, run: Run, catalogue: AppCatalogue, runner: asyncio.Runner, context: Context
    ) -> None:
        runnable = catalogue.get(run.job.task)
        if runnable is None:
            self._end(unknown_task(run.job))
            return
        attempt = PipedAttempt(run.job, run.started_unix, runnable, self._line)
        try:
            self._attempt = attempt
            try:
                attempt.value = context.run(self._call, attempt, runner)
            finally:
                self._attempt = None
                self._task = None
        except BaseException as error:  # noqa: BLE001 - whatever a task raises is its outcome
            attempt.failure = error
        outcome = outcome_of(attempt, random.random, self._result_limit_bytes)
        assert outcome is not None  # noqa: S101 - only the parent knows of a lost lease
        attempt.annotate(outcome)
        self._end(outcome)

    def _call(self, attempt: PipedAttempt, runner: asyncio.Runner) -> Any:
        job, runnable = attempt.job, attempt.runnable
        CURRENT_JOB.set(attempt)
        try:
            arguments = runnable.decode(job.payload, job.encoding)
        except Exception as error:  # noqa: BLE001 - hooks of users' types may raise anything
            raise Undecodable(str(error)) from None
        if not runnable.is_async:
            return runnable.call(**arguments)

        async def in_task() -> Any:
            self._task = asyncio.current_task()
            return await runnable.call(**arguments)

        return runner.run(in_task(), context=copy_context())

    def _end(self, outcome: Finished) -> None:
        spawned = [job for job in outcome.spawned if isinstance(job, OutgoingJob)]
        outcome.spawned = ()
        self._line.send(Ended(outcome, spawned, memory_mib()))


async def _open_resources(app: Workable, stack: AsyncExitStack) -> None:
    for one in app.resources:
        await one.open(stack)


def main(descriptor: int, parent: int) -> None:
    """Work for the process numbered `parent`, at the other end of the socket `descriptor`."""
    die_with(parent, signal.SIGKILL)
    child = Child(Line(socket.socket(fileno=descriptor)))
    signal.signal(signal.SIGUSR1, child.interrupt)
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent decides when this process ends
        signal.signal(number, lambda *_: None)
    threading.Thread(target=child.listen, name="taskforge-parent", daemon=True).start()
    child.work()
