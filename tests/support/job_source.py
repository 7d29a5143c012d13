"""A job source in memory, for tests of the worker loop alone: a fake at a real seam.

It keeps what storage would keep about each job (its attempt, its token, its outcome) and refuses
what storage would refuse, so that the fence is in force. Time does not pass in it: leases end when
a test says so.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence

from attrs import Factory, define

from taskforge_client.errors import Conflict, Unreachable
from taskforge_client.wire.jobs import Encoding
from taskforge_client.wire.states import JobState
from taskforge_client.wire.workers import (
    ClaimedJob,
    Fate,
    Finished,
    Heartbeat,
    HeartbeatAnswer,
    Lease,
    Registration,
)

EMPTY_PAYLOAD = b"\x80"


@define(eq=False)
class MemorySource:
    """See the module. `unreachable` makes that many of the next calls fail.

    `lease_lost` ends the lease.
    """

    ready: deque[ClaimedJob] = Factory(deque)
    running: dict[int, ClaimedJob] = Factory(dict)
    finished: list[Finished] = Factory(list)
    batches: list[int] = Factory(list)
    claims: list[int] = Factory(list)
    released: list[int] = Factory(list)
    beats: list[Heartbeat] = Factory(list)
    registrations: list[Registration] = Factory(list)
    lost: list[Finished] = Factory(list)
    cancelled: dict[int, str] = Factory(dict)
    unreachable: int = 0
    refuse_results: set[bytes] = Factory(set)
    lease_lost: bool = False
    drain: bool = False
    resigned: bool = False
    closed: bool = False
    notice: Callable[[], None] = lambda: None
    _numbers: int = 0
    _doorbell: asyncio.Event = Factory(asyncio.Event)
    _heard: threading.Event = Factory(threading.Event)

    def put(self, task: str, payload: bytes = EMPTY_PAYLOAD, **fields: object) -> int:
        self._numbers += 1
        values: dict[str, object] = {
            "number": self._numbers,
            "attempt": 0,
            "max_attempts": 5,
            "token": 0,
            "queue": "default",
            "task": task,
            "payload": payload,
            "encoding": Encoding.MSGPACK,
            "timeout_seconds": 3600.0,
        }
        self.ready.append(ClaimedJob(**(values | fields)))  # type: ignore[arg-type]  # a test's own field names
        self._doorbell.set()
        return self._numbers

    def on_notice(self, callback: Callable[[], None]) -> None:
        self.notice = callback

    async def register(self, registration: Registration) -> Lease:
        self._answer()
        self.registrations.append(registration)
        self.lease_lost = False
        return Lease(worker=len(self.registrations))

    async def claim(self, limit: int) -> list[ClaimedJob]:
        await asyncio.sleep(0)
        self._answer()
        if self.lease_lost:
            raise Conflict
        self.claims.append(limit)
        jobs = [self.ready.popleft() for _ in range(min(limit, len(self.ready)))]
        for job in jobs:
            job.attempt += 1
            job.token = job.number * 1000 + job.attempt
            self.running[job.number] = job
        return jobs

    async def wait(self, timeout_seconds: float) -> None:
        self._doorbell.clear()
        if not self.ready:
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._doorbell.wait()
            except TimeoutError:
                return

    async def finish(self, outcomes: Sequence[Finished]) -> list[Fate]:
        await asyncio.sleep(0)
        self._answer()
        if any(outcome.result in self.refuse_results for outcome in outcomes if outcome.result):
            message = "the source can't store this"
            raise ValueError(message)
        self.batches.append(len(outcomes))
        return [self._finish_one(outcome) for outcome in outcomes]

    async def release(self, jobs: Sequence[ClaimedJob]) -> None:
        self._answer()
        for job in jobs:
            if self.running.pop(job.number, None) is not None:
                job.attempt -= 1
                self.released.append(job.number)
                self.ready.append(job)

    def heartbeat(self, beat: Heartbeat) -> HeartbeatAnswer:
        self._answer()
        self.beats.append(beat)
        self._heard.set()
        cancelled = {n: why for n, why in self.cancelled.items() if n in self.running}
        return HeartbeatAnswer(alive=not self.lease_lost, drain=self.drain, cancelled=cancelled)

    async def resign(self) -> None:
        self._answer()
        self.resigned = True

    async def aclose(self) -> None:
        self.closed = True

    def take_back(self, number: int) -> None:
        """Give a running job's attempt to nobody, as a rescue does."""
        job = self.running.pop(number)
        self.ready.append(job)

    def outcome(self, number: int) -> Finished:
        """Return the only outcome recorded for a job."""
        (found,) = [outcome for outcome in self.finished if outcome.number == number]
        return found

    def _finish_one(self, outcome: Finished) -> Fate:
        job = self.running.get(outcome.number)
        if job is None or job.token != outcome.token:
            if any(o.number == outcome.number and o.token == outcome.token for o in self.finished):
                return Fate.MINE
            self.lost.append(outcome)
            return Fate.LOST
        del self.running[outcome.number]
        self.finished.append(outcome)
        if outcome.state is JobState.SCHEDULED and not outcome.burns_attempt:
            job.attempt -= 1
        return Fate.MINE

    def _answer(self) -> None:
        if self.unreachable:
            self.unreachable -= 1
            raise Unreachable
