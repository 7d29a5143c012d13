"""One attempt while it runs: what the task sees of it, and what the worker needs to stop it."""

from collections.abc import Callable
from typing import Any

from taskforge_client.context import CurrentJob
from taskforge_client.wire.states import JobState
from taskforge_client.wire.workers import ClaimedJob, Finished
from taskforge_client.worker.outcome import Stop
from taskforge_client.worker.runnable import Runnable


class RunningAttempt(CurrentJob):
    """The worker's side of `current_job()`.

    `deadline_at` and `started_at` are monotonic seconds. `interrupt` stops the work, in whatever
    way its kind of execution can, and is called again when the work goes on past the grace: then
    with `last_resort` True, after which the attempt is over for the worker, whatever its code still
    does. When the code ends, what it returned stands in `value` or what it raised in `failure`.
    """

    __slots__ = (
        "deadline_at",
        "detail",
        "failure",
        "interrupt",
        "is_over",
        "job",
        "runnable",
        "started_at",
        "stop",
        "value",
    )

    def __init__(
        self, job: ClaimedJob, started_unix: float, runnable: Runnable, started_at: float
    ) -> None:
        super().__init__(job, started_unix)
        self.job = job
        self.runnable = runnable
        self.started_at = started_at
        self.deadline_at = started_at + job.timeout_seconds
        self.stop: Stop | None = None
        self.detail = ""
        self.is_over = False
        self.interrupt: Callable[[RunningAttempt, bool], Any] | None = None
        self.value: Any = None
        self.failure: BaseException | None = None

    def extend(self, seconds: float) -> None:
        """Move the deadline `seconds` further away, unless it has passed."""
        super().extend(seconds)
        if self.stop is None:
            self.deadline_at += seconds

    def annotate(self, outcome: Finished) -> None:
        """Put what the task logged into its outcome, and what it spawned where it succeeded."""
        if self._log is not None:
            outcome.log = self._log.text
        if self._spawned is not None and outcome.state is JobState.SUCCEEDED:
            outcome.spawned = tuple(self._spawned)
