"""One lease for the whole process, renewed in a thread of its own.

It shares nothing with the event loop but what it delivers. The lease is counted from when a renewal
was *sent*, by the monotonic clock, so that a slow answer never makes it longer than the source
believes. When it can't be renewed the worker stops itself `FENCE_MARGIN_SECONDS` before the end: by
then nothing of it runs, and whoever rescues its jobs has them alone.

A thread renews while a task blocks the event loop, but not while one holds the interpreter lock in
C code for the length of a lease. A worker process that owns itself has its parent for that
(`guard`): the parent renews in its place, until the blocking attempt's deadline, and then kills it.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol

from taskforge_client.errors import Unreachable
from taskforge_client.wire.workers import (
    RENEW_SECONDS,
    Heartbeat,
    HeartbeatAnswer,
    Lease,
)
from taskforge_client.worker.board import Board
from taskforge_client.worker.clock import Seconds

FENCE_MARGIN_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Listener(Protocol):
    """Takes what the heartbeat learns.

    Called in the heartbeat's thread, so it passes things on to the loop.
    """

    def heard(self, answer: HeartbeatAnswer) -> None:
        """Take the answer to a renewal that kept the lease."""
        ...

    def lease_lost(self) -> None:
        """Learn that nothing claimed so far is ours any more."""
        ...


class Pulse:
    """The lease's arithmetic: when to beat and when to give up. Times are monotonic seconds."""

    def __init__(self, lease: Lease, now: float) -> None:
        self._lease_seconds = lease.lease_seconds
        self.lease_until = now + lease.lease_seconds

    def renewed(self, sent_at: float) -> None:
        """Count the lease from when the renewal was sent."""
        self.lease_until = max(self.lease_until, sent_at + self._lease_seconds)

    def seconds_left(self, now: float) -> float:
        """Return how long it is until the worker must have stopped everything."""
        margin = min(FENCE_MARGIN_SECONDS, self._lease_seconds / 4)
        return self.lease_until - margin - now

    def is_lost(self, now: float) -> bool:
        """Return whether the worker must have stopped everything by now."""
        return self.seconds_left(now) <= 0

    def next_wait(self, *, succeeded: bool) -> float:
        """Return the seconds to the next attempt."""
        scale = min(1.0, self._lease_seconds / 30.0)
        return scale * (RENEW_SECONDS if succeeded else RETRY_SECONDS)


class HeartThread:
    """Renews a lease until stopped."""

    def __init__(
        self,
        lease: Lease,
        *,
        beat: Callable[[Heartbeat], HeartbeatAnswer],
        report: Callable[[], Heartbeat],
        listener: Listener,
        monotonic: Seconds,
        board: Board,
    ) -> None:
        self.pulse = Pulse(lease, monotonic())
        self._board = board
        board.take_lease(lease.worker, lease.lease_seconds, self.pulse.lease_until)
        self._beat = beat
        self._report = report
        self._listener = listener
        self._monotonic = monotonic
        self._is_stopped = threading.Event()
        self._soon = threading.Event()
        self._thread = threading.Thread(target=self._run, name="taskforge-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def beat_soon(self) -> None:
        """Don't wait for the next turn."""
        self._soon.set()

    def seconds_left(self) -> float:
        """Return how long work may go on if no renewal gets through any more."""
        self.pulse.lease_until = max(self.pulse.lease_until, self._board.lease_until)
        return self.pulse.seconds_left(self._monotonic())

    def stop(self) -> None:
        """End the thread and wait for it, at most as long as a call in flight takes."""
        self._is_stopped.set()
        self._soon.set()
        self._board.drop_lease()
        self._thread.join()

    def _run(self) -> None:
        wait = self.pulse.next_wait(succeeded=True)
        while True:
            self._soon.wait(wait)
            self._soon.clear()
            if self._is_stopped.is_set():
                return
            answer = self._renew()
            if answer is None:
                self.pulse.lease_until = max(self.pulse.lease_until, self._board.lease_until)
                if not self.pulse.is_lost(self._monotonic()):
                    wait = self.pulse.next_wait(succeeded=False)
                    continue
            if answer is None or not answer.alive:
                self._listener.lease_lost()
                return
            self._listener.heard(answer)
            wait = self.pulse.next_wait(succeeded=True)

    def _renew(self) -> HeartbeatAnswer | None:
        sent_at = self._monotonic()
        try:
            answer = self._beat(self._report())
        except Unreachable:
            return None
        except Exception:  # noqa: BLE001 - nothing may end the heartbeat
            _log.exception("a heartbeat failed; trying again")
            return None
        if answer.alive:
            self.pulse.renewed(sent_at)
            self._board.renewed(self.pulse.lease_until)
        return answer
