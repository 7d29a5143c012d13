"""Runs plain functions in threads of this process.

A thread can't be killed. At its deadline an exception is raised inside it, which stops Python code
but no call into C; if the function goes on past the grace, its attempt is given up, the thread is
replaced, and the process counts one stuck thread: a worker process that owns itself then drains and
is replaced (see `drain`).
"""

import asyncio
import ctypes
import threading
from collections import deque
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any

from taskforge_client.context import CURRENT_JOB
from taskforge_client.worker.attempt import RunningAttempt
from taskforge_client.worker.bench import Bench
from taskforge_client.worker.board import NEVER, THREADS
from taskforge_client.worker.crew import Crew
from taskforge_client.worker.outcome import Stop, Undecodable


class Interrupted(BaseException):
    """Raised inside a thread whose attempt has passed its deadline."""


class ThreadCrew(Crew):
    """At most `limit` threads, started when they are first needed.

    `stuck` counts those given up and still running.
    """

    def __init__(self, bench: Bench, limit: int) -> None:
        super().__init__(bench, limit)
        self.stuck = 0
        self._loop = asyncio.get_running_loop()
        self._base = copy_context()
        self._inbox: SimpleQueue[RunningAttempt | None] = SimpleQueue()
        self._threads = 0
        self._ended: deque[RunningAttempt] = deque()
        self._is_notified = False
        self._blocking: set[RunningAttempt] = set()
        self._hands: dict[int, _Hand] = {}

    async def aclose(self) -> None:
        """Let the threads end when they are done; they are daemons and hold no process open."""
        for _ in range(self._threads):
            self._inbox.put(None)
        self._threads = 0

    def _start(self, attempt: RunningAttempt) -> None:
        attempt.interrupt = self._interrupt
        self._blocking.add(attempt)
        self.show_deadline()
        if self._threads < self.busy:
            self._threads += 1
            threading.Thread(
                target=self._run, name=f"taskforge-thread-{self._threads}", daemon=True
            ).start()
        self._inbox.put(attempt)

    def _interrupt(self, attempt: RunningAttempt, last_resort: bool) -> None:  # noqa: FBT001
        hand = self._hands.get(attempt.job.number)
        if last_resort:
            self.stuck += 1
            self._threads -= 1
            self._free()
            self._blocking.discard(attempt)
            self.show_deadline()
        elif hand is not None and attempt.stop in (Stop.TIMEOUT, Stop.LOST):
            hand.interrupt(attempt)

    def _run(self) -> None:
        """One thread's whole life."""
        hand = _Hand(self._base)
        while True:
            attempt = self._inbox.get()
            if attempt is None:
                return
            self._hands[attempt.job.number] = hand
            hand.run(attempt)
            self._hands.pop(attempt.job.number, None)
            self._ended.append(attempt)
            self._notify()
            if attempt.is_over:
                return

    def _notify(self) -> None:
        if not self._is_notified:
            self._is_notified = True
            try:
                self._loop.call_soon_threadsafe(self._collect)
            except RuntimeError:  # the loop is closed: nobody waits for this attempt any more
                return

    def _collect(self) -> None:
        self._is_notified = False
        now = self._bench.clock.monotonic()
        while self._ended:
            attempt = self._ended.popleft()
            if attempt.is_over:
                self.stuck -= 1
                continue
            self._blocking.discard(attempt)
            self._bench.end(attempt)
            self._bench.conclude(attempt, now)
            self._free()
        self.show_deadline()
        self._bench.outcomes.nudge(quiet=not self._bench.running)

    def show_deadline(self) -> None:
        """Show the parent process by when the threads must have ended."""
        soonest = min((attempt.deadline_at for attempt in self._blocking), default=NEVER)
        self._bench.board.fields[THREADS] = soonest


class _Hand:
    """One thread's hold on its attempt, so that an interruption hits this attempt or none."""

    def __init__(self, base: Context) -> None:
        self._base = base
        self._thread_id = threading.get_ident()
        self._lock = threading.Lock()
        self._current: RunningAttempt | None = None
        self._is_interrupted = False

    def run(self, attempt: RunningAttempt) -> None:
        """Run the attempt's function; what comes of it stands in the attempt."""
        try:
            with self._lock:
                self._current = attempt
            try:
                attempt.value = self._base.copy().run(call, attempt)
            except BaseException as error:  # noqa: BLE001 - whatever a task raises is its outcome
                attempt.failure = error
            self._let_go()
        except Interrupted as late:  # the exception arrived when the function had just ended
            attempt.failure = attempt.failure or late
            self._let_go()

    def interrupt(self, attempt: RunningAttempt) -> None:
        """Raise `Interrupted` in the thread, if it still runs this attempt."""
        with self._lock:
            if self._current is attempt:
                self._is_interrupted = True
                _raise_in_thread(self._thread_id, Interrupted)

    def _let_go(self) -> None:
        with self._lock:
            self._current = None
            if self._is_interrupted:
                self._is_interrupted = False
                _raise_in_thread(self._thread_id, None)


def call(attempt: RunningAttempt) -> Any:
    """Call an attempt's function here, an async one on a loop of its own."""
    job, runnable = attempt.job, attempt.runnable
    CURRENT_JOB.set(attempt)
    try:
        arguments = runnable.decode(job.payload, job.encoding)
    except Exception as error:  # noqa: BLE001 - hooks of users' types may raise anything
        raise Undecodable(str(error)) from None
    if runnable.is_async:
        return asyncio.run(runnable.call(**arguments))
    return runnable.call(**arguments)


def _raise_in_thread(thread_id: int, kind: type[BaseException] | None) -> None:
    pending = None if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), pending)
