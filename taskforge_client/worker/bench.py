"""What all kinds of execution share.

The attempts that run now, per-task limits, and how an attempt is concluded.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from taskforge_client.wire.states import JobState
from taskforge_client.wire.workers import ClaimedJob, Finished
from taskforge_client.worker.attempt import RunningAttempt
from taskforge_client.worker.board import Board
from taskforge_client.worker.clock import Clock
from taskforge_client.worker.conclusion import GivenUp, outcome_of
from taskforge_client.worker.deadlines import Deadlines
from taskforge_client.worker.finish import OutcomeBuffer
from taskforge_client.worker.outcome import RESULT_LIMIT_BYTES, Random
from taskforge_client.worker.runnable import Catalogue, Runnable

_SUCCEEDED: Final = JobState.SUCCEEDED
_MICROSECONDS: Final = 1_000_000


class Bench:
    """Where attempts lie while they are worked on.

    `waiting` is the queue that jobs held back return to; `readmitted` is called when one does.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        outcomes: OutcomeBuffer,
        waiting: deque[ClaimedJob],
        clock: Clock,
        random: Random,
        result_limit_bytes: int = RESULT_LIMIT_BYTES,
        board: Board | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.outcomes = outcomes
        self.waiting = waiting
        self.clock = clock
        self.running: dict[int, RunningAttempt] = {}
        self.unix_offset = clock.unix() - clock.monotonic()
        self.deadlines = Deadlines(self.running, clock.monotonic, self.give_up)
        self.board = board or Board.alone()
        self.given_up = 0
        self.readmitted: Callable[[], None] = lambda: None
        self._random = random
        self._result_limit_bytes = result_limit_bytes
        self._record: Callable[[Finished], None] = outcomes.waiting.append

    def admit(self, job: ClaimedJob, runnable: Runnable) -> bool:
        """Return whether a job of a task with a limit of its own may start.

        One that may not is held.
        """
        if runnable.concurrency is not None and runnable.running >= runnable.concurrency:
            runnable.held.append(job)
            return False
        runnable.running += 1
        return True

    def begin(self, attempt: RunningAttempt) -> None:
        """Watch over an attempt that goes on beyond this moment."""
        self.running[attempt.job.number] = attempt
        self.deadlines.watch(attempt.deadline_at)

    def end(self, attempt: RunningAttempt) -> None:
        """Watch over it no longer."""
        if self.running.get(attempt.job.number) is attempt:
            del self.running[attempt.job.number]

    def conclude(self, attempt: RunningAttempt, ended_at: float) -> None:
        """Record an attempt whose code has ended with a value or a failure."""
        outcome = outcome_of(attempt, self._random, self._result_limit_bytes)
        self.settle(attempt, outcome, ended_at)

    def settle(self, attempt: RunningAttempt, outcome: Finished | None, ended_at: float) -> None:
        """Record an attempt's outcome, None for an attempt that was lost, and free its place."""
        runnable = attempt.runnable
        if runnable.concurrency is not None:
            self._readmit(runnable)
        if outcome is None:
            self.outcomes.forget(1)
            return
        seconds = ended_at - attempt.started_at
        outcome.duration_us = int(seconds * _MICROSECONDS)
        attempt.annotate(outcome)
        self._record(outcome)
        if outcome.state is _SUCCEEDED:
            runnable.tally.succeeded_seconds.append(seconds)
        else:
            runnable.tally.add(outcome.state, seconds)

    def restart_clock(self, attempt: RunningAttempt) -> None:
        """Count an attempt's time from now: until now it waited for a place to run in."""
        attempt.started_at = self.clock.monotonic()
        attempt.deadline_at = attempt.started_at + attempt.job.timeout_seconds

    def refuse(self, outcome: Finished) -> None:
        """Record a job that could not start."""
        self._record(outcome)

    def give_up(self, attempt: RunningAttempt) -> None:
        """End an attempt whose code goes on after its grace; what it still returns is dropped."""
        attempt.is_over = True
        self.given_up += 1
        self.end(attempt)
        if attempt.interrupt is not None:
            attempt.interrupt(attempt, True)  # noqa: FBT003 - the attribute is a plain callable
        attempt.failure = GivenUp()
        self.conclude(attempt, self.clock.monotonic())
        self.outcomes.nudge(quiet=True)

    def _readmit(self, runnable: Runnable) -> None:
        runnable.running -= 1
        if runnable.held:
            self.waiting.appendleft(runnable.held.popleft())
            self.readmitted()
