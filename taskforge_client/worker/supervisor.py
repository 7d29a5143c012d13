"""Keeps worker processes running: starts them fresh, replaces what ends, and takes them down.

A process that drained because it was asked to is not replaced; one that left to be recycled is, at
once; one that crashed is, after a pause. The pause doubles only while processes crash before they
ever worked: a job that kills its process must not keep the others waiting. Nothing of a
user's code is imported here, so nothing of it can stop the supervisor.
"""

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Final

from attrs import define, field, frozen

from taskforge_client.worker.board import Board
from taskforge_client.worker.clock import Seconds
from taskforge_client.worker.guard import Guard, LeaseKeeping, Verdict
from taskforge_client.worker.parentage import is_stopped
from taskforge_client.worker.process import DRAINED, RECYCLED
from taskforge_client.worker.watch import SourceWatch

LOOK_SECONDS: Final = 0.25
FIRST_PAUSE_SECONDS: Final = 0.5
PAUSE_CAP_SECONDS: Final = 30.0
KILL_MARGIN_SECONDS: Final = 10.0
USAGE_STATUS: Final = 2

_log = logging.getLogger(__name__)


@frozen(kw_only=True)
class Plan:
    """What to keep running.

    `command` is given the descriptor of the board and returns a worker process's arguments;
    `environment` is what it finds. A process told to leave is killed `hard_seconds` and a margin
    later.
    """

    command: Callable[[int], Sequence[str]]
    processes: int = 1
    hard_seconds: float = 25.0
    environment: dict[str, str] = field(factory=lambda: dict(os.environ))


@define(eq=False)
class _Place:
    """One of the processes to be kept running."""

    process: subprocess.Popen[bytes] | None = None
    guard: Guard | None = None
    start_at: float = 0.0
    crashes: int = 0
    told_to_leave_at: float | None = None
    is_retired: bool = False


class Supervisor:
    """Runs a plan in the calling thread until `stop`, which any thread or signal may call."""

    def __init__(
        self,
        plan: Plan,
        leases: LeaseKeeping,
        *,
        monotonic: Seconds,
        watch: SourceWatch | None = None,
    ) -> None:
        self._plan = plan
        self._leases = leases
        self._monotonic = monotonic
        self._watch = watch
        self._places = [_Place() for _ in range(plan.processes)]
        self._wake = threading.Event()
        self._stops = 0
        self._stops_heeded = 0
        self._status = 0

    def stop(self) -> None:
        """Have all processes drain; called again, in haste."""
        self._stops += 1
        self._wake.set()

    def nudge(self) -> None:
        """Look at once: a child has ended."""
        self._wake.set()

    def run(self) -> int:
        """Keep the processes running; return 0, or the status of a start that can't succeed."""
        try:
            while not self._step():
                self._wake.wait(LOOK_SECONDS)
                self._wake.clear()
        finally:
            for place in self._places:
                self._kill(place)
            self._leases.close()
        return self._status

    def process_ids(self) -> list[int]:
        """Return the processes that run now."""
        return [place.process.pid for place in self._places if place.process is not None]

    def _step(self) -> bool:
        now = self._monotonic()
        if self._stops > self._stops_heeded:
            self._stops_heeded += 1  # each is passed on, apart enough not to become one signal
            self._tell_all_to_leave(now)
        elif self._watch is not None and not self._stops and self._watch.changed():
            _log.info("sources changed: restarting")
            self._tell_all_to_leave(now)
            for place in self._places:
                place.is_retired = False
        for place in self._places:
            self._tend(place, now)
        return all(
            place.process is None and (place.is_retired or self._stops > 0)
            for place in self._places
        )

    def _tend(self, place: _Place, now: float) -> None:
        if place.process is None:
            if not place.is_retired and not self._stops and now >= place.start_at:
                self._start(place)
            return
        status = place.process.poll()
        if status is not None:
            self._ended(place, status, now)
            return
        if self._is_overdue(place, now) or (
            place.guard is not None and place.guard.look() is Verdict.KILL
        ):
            self._kill(place)

    def _is_overdue(self, place: _Place, now: float) -> bool:
        told_at = place.told_to_leave_at
        limit = self._plan.hard_seconds + KILL_MARGIN_SECONDS
        return told_at is not None and now > told_at + limit

    def _start(self, place: _Place) -> None:
        board, descriptor = Board.create()
        try:
            place.process = subprocess.Popen(  # noqa: S603 - our own command
                self._plan.command(descriptor),
                pass_fds=(descriptor,),
                stdin=subprocess.DEVNULL,
                env=self._plan.environment,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
        process_id = place.process.pid
        place.guard = Guard(board, self._leases, self._monotonic, lambda: is_stopped(process_id))
        place.told_to_leave_at = None

    def _ended(self, place: _Place, status: int, now: float) -> None:
        has_worked = place.guard is not None and place.guard.has_worked
        told = place.told_to_leave_at is not None
        if place.guard is not None:
            place.guard.bury()
        place.process = None
        if status in (DRAINED, RECYCLED):
            place.crashes = 0
            place.start_at = now
            place.is_retired = status == DRAINED and not told
            return
        if status == USAGE_STATUS and self._watch is None:
            self._status = status
            place.is_retired = True
            self._stops += 1
            return
        place.crashes = 1 if has_worked else place.crashes + 1
        pause = min(PAUSE_CAP_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (place.crashes - 1))
        place.start_at = now + pause
        _log.error("a worker process ended with status %d; the next starts in %g s", status, pause)

    def _tell_all_to_leave(self, now: float) -> None:
        for place in self._places:
            if place.process is not None:
                place.process.send_signal(signal.SIGTERM)
                if place.told_to_leave_at is None:
                    place.told_to_leave_at = now

    def _kill(self, place: _Place) -> None:
        if place.process is None:
            return
        place.process.kill()
        status = place.process.wait()
        self._ended(place, status, self._monotonic())
