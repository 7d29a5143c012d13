"""What a worker counts, and the seam through which the counts leave; it knows no metrics library.

Counting costs a list append a job. Each flush of outcomes sorts what was appended and hands it to
the sink at once.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, Protocol

from attrs import Factory, define

from taskforge_client.wire.states import JobState

DURATION_BOUNDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    1800.0,
)


class MetricsSink(Protocol):
    """Takes counts from a worker, from its event loop, a few times a second.

    Must not block or raise.
    """

    def attempts_ended(
        self,
        task: str,
        state: JobState,
        counts: Sequence[int],
        total_seconds: float,
    ) -> None:
        """Count attempts of `task` that moved their jobs to `state`.

        `counts` has one number for each bound of `DURATION_BOUNDS` (attempts not longer than it and
        longer than the bound before) and a last one for those longer than all.
        """
        ...

    def outcomes_lost(self, number: int) -> None:
        """Count outcomes that came too late: their attempts had been given to somebody else."""
        ...

    def flushed(self, number: int, seconds: float) -> None:
        """Count one acknowledged flush of `number` outcomes that took `seconds`."""
        ...

    def in_hand(self, claimed: int, running: int) -> None:
        """Tell how many jobs are in hand (claimed, not acknowledged), and how many run."""
        ...


class NoMetrics:
    """Counts nothing."""

    def attempts_ended(
        self,
        task: str,
        state: JobState,
        counts: Sequence[int],
        total_seconds: float,
    ) -> None:
        """Forget it."""

    def outcomes_lost(self, number: int) -> None:
        """Forget it."""

    def flushed(self, number: int, seconds: float) -> None:
        """Forget it."""

    def in_hand(self, claimed: int, running: int) -> None:
        """Forget it."""


@define(eq=False)
class Tally:
    """The durations of one task's attempts since the last flush, by the state they led to."""

    task: str
    succeeded_seconds: list[float] = Factory(list)
    other_seconds: dict[JobState, list[float]] = Factory(dict)

    def add(self, state: JobState, seconds: float) -> None:
        """Count one attempt."""
        if state is JobState.SUCCEEDED:
            self.succeeded_seconds.append(seconds)
        else:
            self.other_seconds.setdefault(state, []).append(seconds)

    def flush(self, sink: MetricsSink) -> None:
        """Hand everything to `sink` and start anew."""
        if self.succeeded_seconds:
            _hand_over(sink, self.task, JobState.SUCCEEDED, self.succeeded_seconds)
            self.succeeded_seconds.clear()
        if self.other_seconds:
            for state, seconds in self.other_seconds.items():
                _hand_over(sink, self.task, state, seconds)
            self.other_seconds.clear()


def _hand_over(sink: MetricsSink, task: str, state: JobState, seconds: list[float]) -> None:
    sink.attempts_ended(task, state, bucket_counts(seconds), sum(seconds))


def bucket_counts(seconds: list[float]) -> list[int]:
    """Return how many durations fall between neighbouring bounds; sorts `seconds` in place."""
    seconds.sort()
    counts = []
    below = 0
    for bound in DURATION_BOUNDS:
        upto = bisect_right(seconds, bound, below)
        counts.append(upto - below)
        below = upto
    counts.append(len(seconds) - below)
    return counts
