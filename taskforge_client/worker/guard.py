"""What the parent does for a worker process that can't do it itself.

While C code holds the interpreter not even the worker's heartbeat runs. The parent then renews the
lease in its place, so that the job is not given to somebody else while it still runs. It does so
only while it can see that code runs: for a process that is frozen the lease runs out. When what
blocks has passed its deadline and the event loop has not turned for a while, nothing inside can
stop it any more: the parent kills the process. Its jobs are taken back at once, with their attempts
counted, because the parent ends the lease of every process that it sees die.
"""

import logging
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

from taskforge_client.errors import TaskForgeError
from taskforge_client.wire.workers import Heartbeat, HeartbeatAnswer
from taskforge_client.worker.board import NEVER, Board
from taskforge_client.worker.clock import Seconds
from taskforge_client.worker.deadlines import GRACE_SECONDS

LATE_PART: Final = 1 / 3
RENEW_PART: Final = 1 / 6
SILENT_SECONDS: Final = 3.0

_log = logging.getLogger(__name__)


class LeaseKeeping(Protocol):
    """The parent's own connection to where leases are kept; all calls block."""

    def beat(self, beat: Heartbeat) -> HeartbeatAnswer:
        """Extend a lease."""
        ...

    def end(self, worker: int) -> None:
        """End a lease whose worker is known to be dead."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Verdict(Enum):
    """What is to become of a worker process."""

    FINE = "fine"
    KILL = "kill"


class Guard:
    """Looks after one worker process over the board it shares."""

    def __init__(
        self,
        board: Board,
        leases: LeaseKeeping,
        monotonic: Seconds,
        is_frozen: Callable[[], bool],
    ) -> None:
        self._board = board
        self._is_frozen = is_frozen
        self._leases = leases
        self._monotonic = monotonic
        self._next_try_at = 0.0

    @property
    def has_worked(self) -> bool:
        """Whether the process ever got so far as to take jobs."""
        return self._board.loop_turned_at > 0

    def look(self) -> Verdict:
        """Renew the lease if the worker is late with it, and say whether the process must go."""
        board = self._board
        now = self._monotonic()
        if not board.worker or not board.loop_turned_at:
            return Verdict.FINE
        is_silent = now - board.loop_turned_at > SILENT_SECONDS
        if is_silent and now > board.blocking_deadline() + GRACE_SECONDS:
            _log.error("worker %d is stuck past its job's deadline: killing it", board.worker)
            return Verdict.KILL
        if is_silent and now > board.lease_until and not self._is_frozen():
            _log.error("worker %d is stuck and its lease is over: killing it", board.worker)
            return Verdict.KILL
        lease_left = board.lease_until - now
        is_late = lease_left < board.lease_seconds * (1 - LATE_PART)
        if not is_late or now < self._next_try_at:
            return Verdict.FINE
        if board.blocking_deadline() == NEVER or self._is_frozen():
            return Verdict.FINE
        return self._renew(now)

    def bury(self) -> None:
        """End the lease of a process that has died, so that its jobs go on elsewhere at once."""
        worker = self._board.worker
        if not worker:
            return
        self._board.drop_lease()
        try:
            self._leases.end(worker)
        except TaskForgeError:
            _log.warning("the lease of worker %d could not be ended; it will run out", worker)

    def _renew(self, now: float) -> Verdict:
        worker = self._board.worker
        self._next_try_at = now + self._board.lease_seconds * RENEW_PART
        try:
            answer = self._leases.beat(Heartbeat(worker=worker))
        except TaskForgeError:
            return Verdict.FINE
        if not answer.alive:
            _log.error("worker %d lost its lease while it was stuck: killing it", worker)
            return Verdict.KILL
        self._board.renewed(now + self._board.lease_seconds)
        return Verdict.FINE
