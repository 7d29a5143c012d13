"""What a worker does under one lease.

It claims, runs and finishes jobs until it is told to leave or loses the lease.

A lost lease ends the shift at once: everything that runs is stopped and its outcome dropped, for
somebody else may have the jobs by now. The next shift begins with a new incarnation and nothing in
hand.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Final

from taskforge_client.errors import Unreachable
from taskforge_client.wire.jobs import Progress
from taskforge_client.wire.workers import ClaimedJob, Heartbeat, HeartbeatAnswer, Lease
from taskforge_client.worker.backoff import Backoff
from taskforge_client.worker.bench import Bench
from taskforge_client.worker.board import Board
from taskforge_client.worker.catalogue import AppCatalogue
from taskforge_client.worker.children import ChildCrew
from taskforge_client.worker.clock import Clock
from taskforge_client.worker.crew import Crew
from taskforge_client.worker.drain import drain
from taskforge_client.worker.finish import OutcomeBuffer
from taskforge_client.worker.heartbeat import HeartThread
from taskforge_client.worker.lanes import Lanes
from taskforge_client.worker.metrics import MetricsSink
from taskforge_client.worker.outcome import Random, Stop, expired, unknown_task
from taskforge_client.worker.pool import Claimer, Slots
from taskforge_client.worker.runnable import Place, Runnable
from taskforge_client.worker.settings import WorkerSettings
from taskforge_client.worker.source import JobSource
from taskforge_client.worker.threads import ThreadCrew

HOUSEKEEPING_SECONDS: Final = 1.0
LAST_FLUSH_SECONDS: Final = 2.0
TURNS_BETWEEN_ROLL_CALLS: Final = 10

_log = logging.getLogger(__name__)


class Ending(Enum):
    """Why a shift ended."""

    DRAINED = "drained"
    ABANDONED = "abandoned"
    LEASE_LOST = "lease_lost"


class Shift:
    """One lease's worth of work. Made and run on the loop."""

    def __init__(
        self,
        lease: Lease,
        source: JobSource,
        catalogue: AppCatalogue,
        settings: WorkerSettings,
        *,
        clock: Clock,
        random: Random,
        metrics: MetricsSink,
        drain_requested: Callable[[], None],
        board: Board,
    ) -> None:
        self._lease = lease
        self._source = source
        self._catalogue = catalogue
        self._settings = settings
        self._random = random
        self._metrics = metrics
        self._clock = clock
        self._drain_requested = drain_requested
        self._loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        self._hasten = asyncio.Event()
        self._is_lost = False
        self._failure: BaseException | None = None
        self._empty = asyncio.Event()
        self._roll_call: tuple[int, ...] | None = None
        self._turns = 0
        self.slots = Slots(settings.concurrency, clock.monotonic)
        self.outcomes = OutcomeBuffer(
            source,
            acknowledged=self._acknowledged,
            monotonic=clock.monotonic,
            backoff=Backoff(random),
            metrics=metrics,
        )
        self._waiting: deque[ClaimedJob] = deque()
        self.bench = Bench(
            catalogue=catalogue,
            outcomes=self.outcomes,
            waiting=self._waiting,
            clock=clock,
            random=random,
            result_limit_bytes=settings.result_limit_bytes,
            board=board,
        )
        self._lanes = Lanes(self.bench, settings.concurrency, self._divert)
        self.threads = ThreadCrew(self.bench, settings.threads)
        self._crews: dict[Place, Crew] = {
            Place.THREAD: self.threads,
            Place.PROCESS: ChildCrew(
                self.bench,
                settings.children,
                app_path=lambda: settings.app_path or catalogue.app_path(),
                limits=settings.child_limits,
                random=random,
                result_limit_bytes=settings.result_limit_bytes,
            ),
        }
        self.bench.readmitted = lambda: self._lanes.grow(1)
        self._claimer = Claimer(
            source,
            self.slots,
            deliver=self._deliver,
            unstarted=self._count_unstarted,
            refused=self._claim_refused,
            spread=random,
        )
        self._heart = HeartThread(
            lease,
            beat=source.heartbeat,
            report=self._report,
            listener=self,
            monotonic=clock.monotonic,
            board=board,
        )
        self._claiming: asyncio.Task[None] | None = None

    # -- from outside --------------------------------------------------------------------------

    def leave(self) -> None:
        """Drain; called again, drain in haste."""
        if self._leave.is_set():
            self._hasten.set()
        self._leave.set()

    async def run(self) -> Ending:
        """Work until told to leave or until the lease is lost."""
        self._claiming = self._loop.create_task(self._claimer.run())
        loops = (
            self._claiming,
            self._loop.create_task(self.outcomes.run()),
            self._loop.create_task(self._keep_house()),
            self._loop.create_task(self._watch_lease()),
        )
        for task in loops:
            task.add_done_callback(self._loop_ended)
        self._source.on_notice(self._heart.beat_soon)
        self._heart.start()
        try:
            await self._leave.wait()
            if self._is_lost:
                await self._abandon()
                return Ending.LEASE_LOST
            in_order = await drain(self, self._settings.grace, self._hasten)
            if self._failure is not None:
                raise self._failure
            return Ending.DRAINED if in_order else Ending.ABANDONED
        finally:
            for task in loops:
                task.cancel()
            await self._loop.run_in_executor(None, self._heart.stop)
            self.bench.deadlines.close()
            for crew in self._crews.values():
                await crew.aclose()
            self._catalogue.flush_tallies(self._metrics)

    # -- the heartbeat's thread ----------------------------------------------------------------

    def heard(self, answer: HeartbeatAnswer) -> None:
        """Take the answer to a heartbeat over to the loop."""
        if answer.cancelled or answer.drain:
            self._loop.call_soon_threadsafe(self._obey, answer)

    def lease_lost(self) -> None:
        """Tell the loop that the lease is gone."""
        self._loop.call_soon_threadsafe(self._lose)

    def _report(self) -> Heartbeat:
        progress: dict[int, Progress] = {}
        for number, attempt in list(self.bench.running.items()):
            reported = attempt.reported
            if reported is not None:
                attempt.reported = None
                progress[number] = reported
        running, self._roll_call = self._roll_call, None
        return Heartbeat(worker=self._lease.worker, running=running, progress=progress)

    # -- the loop ------------------------------------------------------------------------------

    def _obey(self, answer: HeartbeatAnswer) -> None:
        for number, reason in answer.cancelled.items():
            attempt = self.bench.running.get(number)
            if attempt is not None:
                self.bench.deadlines.stop(attempt, Stop.CANCELLED, reason)
        if answer.drain and not self._leave.is_set():
            self._drain_requested()

    async def _watch_lease(self) -> None:
        """Notice a lease that is over while its heartbeat still waits for an answer."""
        while (left := self._heart.seconds_left()) > 0:  # noqa: ASYNC110 - it moves meanwhile
            await asyncio.sleep(left)
        self._lose()

    def _lose(self) -> None:
        if self._is_lost:
            return
        _log.warning("the lease of worker %d is lost: stopping what runs", self._lease.worker)
        self._is_lost = True
        self._claimer.stop()
        self._leave.set()
        self._hasten.set()

    def _loop_ended(self, task: asyncio.Task[None]) -> None:
        """Leave when a loop of the worker itself fails: better a fresh process than half a one."""
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self._leave.set()

    def _deliver(self, jobs: list[ClaimedJob]) -> None:
        if self._is_lost:
            return
        self._waiting.extend(jobs)
        self._lanes.grow(1)

    def _count_unstarted(self) -> int:
        return len(self._waiting) + sum(len(crew.queue) for crew in self._crews.values())

    def _claim_refused(self) -> None:
        self._heart.beat_soon()

    def _divert(self, job: ClaimedJob, runnable: Runnable | None) -> None:
        if job.expired:
            self.bench.refuse(expired(job))
        elif runnable is None:
            self.bench.refuse(unknown_task(job))
        else:
            self._crews[runnable.place].submit(job, runnable)

    def _acknowledged(self, number: int) -> None:
        self.slots.free(number)
        self._claimer.nudge()
        if not self.slots.in_hand:
            self._empty.set()

    async def _keep_house(self) -> None:
        while True:
            self.bench.board.loop_turned(self._clock.monotonic())
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            self.bench.unix_offset = self._clock.unix() - self._clock.monotonic()
            self._catalogue.flush_tallies(self._metrics)
            self.threads.show_deadline()
            self._metrics.in_hand(self.slots.in_hand, len(self.bench.running))
            self._turns += 1
            if self._turns % TURNS_BETWEEN_ROLL_CALLS == 0:
                self._roll_call = self._call_the_roll()
            await self._release_held()

    def _call_the_roll(self) -> tuple[int, ...]:
        """Return the numbers of all jobs in hand.

        Between two turns of the loop each is in one of these places.
        """
        numbers = [job.number for job in self._waiting]
        numbers.extend(self.bench.running)
        for crew in self._crews.values():
            numbers.extend(job.number for job, _runnable in crew.queue)
        for runnable in self._catalogue.all():
            numbers.extend(job.number for job in runnable.held)
        numbers.extend(outcome.number for outcome in self.outcomes.unacknowledged())
        return tuple(numbers)

    async def _release_held(self) -> None:
        """Give back what one task's own limit holds up when that takes all slots."""
        if self.slots.room(0):
            return
        jobs: list[ClaimedJob] = []
        for runnable in self._catalogue.all():
            while len(runnable.held) > (runnable.concurrency or 0):
                jobs.append(runnable.held.pop())
        if jobs:
            await self.release(jobs)

    # -- leaving -------------------------------------------------------------------------------

    async def stop_claiming(self) -> None:
        """Claim no more, and return when no claim is in flight."""
        self._claimer.stop()
        if self._claiming is not None:
            await asyncio.wait((self._claiming,))

    def take_back(self) -> list[ClaimedJob]:
        """Return the claimed jobs that have not started and will not."""
        jobs = list(self._waiting)
        self._waiting.clear()
        for crew in self._crews.values():
            jobs.extend(crew.take_back())
        for runnable in self._catalogue.all():
            jobs.extend(runnable.held)
            runnable.held.clear()
        return jobs

    async def release(self, jobs: list[ClaimedJob]) -> None:
        """Give jobs back; while the source is away, try again until the shift has no time left."""
        backoff = Backoff(self._random)
        while jobs:
            try:
                await self._source.release(jobs)
            except Unreachable:
                if self._hasten.is_set():
                    return
                await asyncio.sleep(backoff.next_seconds())
            else:
                self._acknowledged(len(jobs))
                return

    async def settled(self) -> None:
        """Return when nothing runs and every outcome was acknowledged."""
        while self.slots.in_hand:
            self._empty.clear()
            self.outcomes.nudge(quiet=True)
            await self._empty.wait()

    def stop_running(self) -> None:
        """Ask everything that runs to stop."""
        for attempt in list(self.bench.running.values()):
            self.bench.deadlines.stop(attempt, Stop.DRAINED)

    def give_up(self) -> None:
        """End everything that runs, whatever its code does."""
        for attempt in list(self.bench.running.values()):
            self.bench.give_up(attempt)

    async def _abandon(self) -> None:
        """Stop everything at once and drop what comes of it.

        Outcomes from before may still be in time, and code that is told to stop may clean up, both
        within the margin that the lease leaves.
        """
        self._claimer.stop()
        self._acknowledged(len(self.take_back()))
        for attempt in list(self.bench.running.values()):
            self.bench.deadlines.stop(attempt, Stop.LOST)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_FLUSH_SECONDS):
                await self.settled()
        self.give_up()
