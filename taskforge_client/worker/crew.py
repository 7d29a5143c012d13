"""What threads and child processes have in common.

A bounded number of hands and a queue of jobs for them.
"""

from abc import ABC, abstractmethod
from collections import deque

from taskforge_client.wire.workers import ClaimedJob
from taskforge_client.worker.attempt import RunningAttempt
from taskforge_client.worker.bench import Bench
from taskforge_client.worker.runnable import Runnable


class Crew(ABC):
    """Hands jobs to at most `limit` hands, one each.

    All of it on the loop but what a subclass moves elsewhere.
    """

    def __init__(self, bench: Bench, limit: int) -> None:
        self.limit = limit
        self.busy = 0
        self.queue: deque[tuple[ClaimedJob, Runnable]] = deque()
        self._bench = bench

    def submit(self, job: ClaimedJob, runnable: Runnable) -> None:
        """Start a job as soon as a hand is free and its task's own limit allows it."""
        if self._bench.admit(job, runnable):
            self.queue.append((job, runnable))
            self._start_next()

    def take_back(self) -> list[ClaimedJob]:
        """Return the jobs that have not started, which this crew forgets."""
        jobs = []
        for job, runnable in self.queue:
            if runnable.concurrency is not None:
                runnable.running -= 1
            jobs.append(job)
        self.queue.clear()
        return jobs

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of all hands; what still runs is not waited for."""

    @abstractmethod
    def _start(self, attempt: RunningAttempt) -> None:
        """Give an attempt to a free hand."""

    def _start_next(self) -> None:
        while self.queue and self.busy < self.limit:
            job, runnable = self.queue.popleft()
            self.busy += 1
            now = self._bench.clock.monotonic()
            attempt = RunningAttempt(job, now + self._bench.unix_offset, runnable, now)
            self._bench.begin(attempt)
            self._start(attempt)

    def _free(self) -> None:
        """Count a hand as free again."""
        self.busy -= 1
        self._start_next()
