"""A worker's jobs straight from PostgreSQL: one connection to claim, one to finish.

One to listen, one for the lease.
"""

import random
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from taskforge_client.transport.base import OutgoingJob
from taskforge_client.transport.postgres.arrays import (
    ByteaArray,
    Float8Array,
    Int2Array,
    Int4Array,
    Int8Array,
    JsonbArray,
)
from taskforge_client.transport.postgres.directory import Directory
from taskforge_client.transport.postgres.doorbell import Doorbell
from taskforge_client.transport.postgres.link import AsyncLink, Link, only_row
from taskforge_client.transport.postgres.sending import Sender
from taskforge_client.wire.jobs import ENCODINGS_BY_NUMBER, ErrorView
from taskforge_client.wire.states import STATE_NUMBERS, JobState
from taskforge_client.wire.workers import (
    ClaimedJob,
    Fate,
    Finished,
    Heartbeat,
    HeartbeatAnswer,
    Lease,
    Registration,
)
from taskforge_client.worker.floors import Floors
from taskforge_client.worker.postgres_ear import Ear
from taskforge_client.worker.postgres_lease import LeaseKeeper

_TOKEN_BITS: Final = 62
_SNOOZED: Final = 3
_ENCODED_NONE: Final = msgspec.msgpack.encode(None)
_REGISTER: Final = "select taskforge.register_worker(%s, %s::uuid, %s, %s, %s::jsonb, %s, %s, %s)"
_CLAIM: Final = "select * from taskforge.claim(%s, %s, %s, %s, %s, %s, %s)"
_FINISH: Final = "select recorded, won, rung from taskforge.finish(%s, %s, %s, %s, %s, %s, %s, %s)"
_RECORDED_BEFORE: Final = "select taskforge.recorded_before(%s, %s, %s)"
_RELEASE: Final = "select taskforge.release(%s, %s)"
_END_LEASE: Final = "select taskforge.end_lease(%s)"


class PostgresSource:
    """`JobSource` over a PostgreSQL URL, for one worker incarnation after another.

    Args:
        url: the database.
        project: the project's name.
        lease_seconds: how long a lease lasts without being renewed.
    """

    def __init__(
        self,
        url: str,
        project: str = "default",
        *,
        lease_seconds: float = Lease(worker=0).lease_seconds,
    ) -> None:
        self._lease_seconds = lease_seconds
        self._directory = Directory(project)
        self._claiming = Link(url, "taskforge claim")
        self._finishing = Link(url, "taskforge finish")
        self._doorbell = Doorbell(Link(url, "taskforge doorbell"))
        self._sender = Sender(self._finishing, self._directory)
        self._keeper = LeaseKeeper(url, lease_seconds)
        self._ear = Ear(url)
        self._worker = 0
        self._queues: dict[int, str] = {}
        self._weights: dict[int, int] = {}
        self._floors = Floors(time.monotonic)

    def on_notice(self, callback: Callable[[], None]) -> None:
        """Have `callback` called on the loop when a cancellation or a drain request may wait."""
        self._ear.on_notice = callback

    async def register(self, registration: Registration) -> Lease:
        """Open a lease for a new incarnation and begin to listen for the doorbell."""

        async def work(connection: AsyncLink) -> int:
            project = await self._directory.project(connection)
            self._weights = {
                await self._directory.queue(connection, name, 0): weight
                for name, weight in registration.queues.items()
            }
            cursor = await connection.execute(
                _REGISTER,
                (
                    project,
                    registration.incarnation,
                    registration.host,
                    registration.process_id,
                    msgspec.json.encode(registration.queues).decode(),
                    registration.concurrency,
                    registration.version,
                    self._lease_seconds,
                ),
            )
            return int((await only_row(cursor))[0])

        self._worker = await self._claiming.call(work)
        self._queues = dict(zip(self._weights, registration.queues, strict=True))
        self._floors = Floors(time.monotonic)
        self._ear.listen(self._worker, self._queues)
        return Lease(worker=self._worker, lease_seconds=self._lease_seconds)

    async def claim(self, limit: int) -> list[ClaimedJob]:
        """Take up to `limit` ready jobs, higher priorities first.

        Queues in an order drawn by their weights.
        """
        token = secrets.randbits(_TOKEN_BITS)
        floor_queues, floor_priorities, floors = self._floors.begin()
        parameters = (
            self._worker,
            token,
            limit,
            Int4Array(self._queue_order()),
            Int4Array(floor_queues),
            Int2Array(floor_priorities),
            Int8Array(floors),
        )

        async def work(connection: AsyncLink) -> list[tuple[Any, ...]]:
            cursor = connection.cursor(binary=True)
            await cursor.execute(_CLAIM, parameters, prepare=True)
            return await cursor.fetchall()

        rows = await self._claiming.call(work)
        self._floors.end()
        return self._jobs(rows, token) if rows else []

    async def wait(self, timeout_seconds: float) -> None:
        """Return when the doorbell rang for one of the queues, a notice came, or time is over."""
        await self._ear.wait(timeout_seconds)

    async def finish(self, outcomes: Sequence[Finished]) -> list[Fate]:
        """Record outcomes; those that spawn jobs in a transaction of their own with these."""
        plain = [outcome for outcome in outcomes if not outcome.spawned]
        lost = await self._record(plain) if plain else set()
        for outcome in outcomes:
            if outcome.spawned and not await self._record_spawning(outcome):
                lost.add(outcome.number)
        if not lost:
            return [Fate.MINE] * len(outcomes)
        return [Fate.LOST if outcome.number in lost else Fate.MINE for outcome in outcomes]

    async def release(self, jobs: Sequence[ClaimedJob]) -> None:
        """Give back claimed jobs that never started."""
        ordered = sorted(jobs, key=_number)
        numbers = Int8Array([job.number for job in ordered])
        tokens = Int8Array([job.token for job in ordered])

        async def work(connection: AsyncLink) -> list[int]:
            cursor = await connection.execute(_RELEASE, (numbers, tokens))
            return (await only_row(cursor))[0] or []

        self._doorbell.ring(await self._finishing.call(work))

    def heartbeat(self, beat: Heartbeat) -> HeartbeatAnswer:
        """Extend the lease; called from the heartbeat's thread."""
        return self._keeper.beat(beat)

    async def resign(self) -> None:
        """End the lease."""

        async def work(connection: AsyncLink) -> None:
            await connection.execute(_END_LEASE, (self._worker,))

        await self._finishing.call(work)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._ear.aclose()
        await self._doorbell.aclose()
        await self._claiming.aclose()
        await self._finishing.aclose()
        self._keeper.close()

    def _queue_order(self) -> list[int]:
        if len(self._weights) == 1:
            return list(self._weights)
        # Of exponential draws with the weights as rates, a queue's is the smallest with the
        # probability of its share (Efraimidis and Spirakis, 2006).
        return sorted(self._weights, key=lambda queue: random.expovariate(self._weights[queue]))

    def _jobs(self, rows: list[tuple[Any, ...]], token: int) -> list[ClaimedJob]:
        highest: dict[tuple[int, int], int] = {}
        jobs = []
        queues = self._queues
        for (
            number, ord_, attempt, max_attempts, queue, priority, flags,
            encoding, timeout_ms, task, payload, expired, extra,
        ) in rows:  # fmt: skip
            lane = (queue, priority)
            if ord_ > highest.get(lane, -1):
                highest[lane] = ord_
            job = ClaimedJob(
                number, attempt, max_attempts, token, queues[queue], task, payload,
                ENCODINGS_BY_NUMBER[encoding], timeout_ms / 1000, flags,
            )  # fmt: skip
            if expired:
                job.expired = True
            if extra is not None:
                _add_extra(job, extra)
            jobs.append(job)
        for lane, top in highest.items():
            self._floors.took(lane, top)
        if len(highest) > 1:
            order = {number: place for place, number in enumerate(_by_urgency(rows))}
            jobs.sort(key=lambda job: order[job.number])
        return jobs

    async def _record(self, outcomes: Sequence[Finished]) -> set[int]:
        """Record outcomes that spawn nothing; return the numbers of lost attempts."""
        ordered = sorted(outcomes, key=_number)
        parameters = _finish_parameters(ordered)

        async def work(connection: AsyncLink) -> tuple[set[int], list[int]]:
            return await _finish(connection, ordered, parameters)

        lost, rung = await self._finishing.call(work)
        self._doorbell.ring(rung)
        return lost

    async def _record_spawning(self, outcome: Finished) -> bool:
        jobs = [job for job in outcome.spawned if isinstance(job, OutgoingJob)]
        parameters = _finish_parameters([outcome])

        async def work(connection: AsyncLink) -> tuple[bool, list[int]]:
            async with connection.transaction():
                lost, rung = await _finish(connection, [outcome], parameters)
                if not lost and not await _stood_before(connection, outcome):
                    rung = [*rung, *await self._sender.send_within(connection, jobs)]
            return not lost, rung

        mine, rung = await self._finishing.call(work)
        self._doorbell.ring(rung)
        return mine


async def _finish(
    connection: AsyncLink, ordered: Sequence[Finished], parameters: tuple[object, ...]
) -> tuple[set[int], list[int]]:
    cursor = connection.cursor(binary=True)
    await cursor.execute(_FINISH, parameters, prepare=True)
    recorded, won, rung = await only_row(cursor)
    if recorded == len(ordered):
        return set(), rung or []
    left = {outcome.number: outcome for outcome in ordered}
    for number in won or ():
        del left[number]
    rest = list(left.values())
    cursor = await connection.execute(
        _RECORDED_BEFORE,
        (
            Int8Array([outcome.number for outcome in rest]),
            Int2Array([outcome.attempt for outcome in rest]),
            Int8Array([outcome.token for outcome in rest]),
        ),
    )
    before = set((await only_row(cursor))[0] or ())
    return set(left) - before, rung or []


def _finish_parameters(ordered: Sequence[Finished]) -> tuple[object, ...]:
    details = [_detail(outcome) for outcome in ordered]
    results = [_stored_result(outcome) for outcome in ordered]
    states = [_state_number(outcome) for outcome in ordered]
    delays = any(outcome.delay_seconds for outcome in ordered)
    return (
        Int8Array([outcome.number for outcome in ordered]),
        Int2Array([outcome.attempt for outcome in ordered]),
        Int8Array([outcome.token for outcome in ordered]),
        Int2Array(states),
        Int4Array([min(outcome.duration_us, 2_147_483_647) for outcome in ordered]),
        ByteaArray(results if any(result is not None for result in results) else ()),
        JsonbArray(details if any(detail is not None for detail in details) else ()),
        Float8Array([outcome.delay_seconds for outcome in ordered] if delays else ()),
    )


def _stored_result(outcome: Finished) -> bytes | None:
    """Return a result as storage keeps it: nothing for None, which most tasks return.

    An empty value tells that a result was not to be kept.
    """
    if outcome.result == _ENCODED_NONE:
        return None
    if outcome.result is None and outcome.state is JobState.SUCCEEDED:
        return b""
    return outcome.result


def _state_number(outcome: Finished) -> int:
    if outcome.state is JobState.SCHEDULED and not outcome.burns_attempt:
        return _SNOOZED
    return STATE_NUMBERS[outcome.state]


def _detail(outcome: Finished) -> bytes | None:
    if outcome.error is None and outcome.reason is None and outcome.log is None:
        return None
    detail: dict[str, object] = {}
    if outcome.error is not None:
        detail["error"] = _error(outcome.error)
    if outcome.reason is not None:
        detail["reason"] = outcome.reason
    if outcome.log is not None:
        detail["log"] = outcome.log
    # PostgreSQL's text holds no NUL.
    return msgspec.json.encode(detail).replace(b"\\u0000", b"\\ufffd")


def _error(error: ErrorView) -> dict[str, str]:
    return {
        "type": error.type,
        "message": error.message,
        "traceback": error.traceback,
        "group": error.group,
    }


def _add_extra(job: ClaimedJob, extra: dict[str, Any]) -> None:
    job.key = extra["key"]
    job.tags = tuple(extra["tags"] or ())
    job.meta = extra["meta"] or {}
    job.fire_time_us = extra["fire_us"]
    if extra["retry"] is not None:
        job.retry = msgspec.json.encode(extra["retry"]).decode()


def _by_urgency(rows: list[tuple[Any, ...]]) -> list[int]:
    ordered = sorted(rows, key=lambda row: (-row[5], row[1]))
    return [row[0] for row in ordered]


async def _stood_before(connection: AsyncLink, outcome: Finished) -> bool:
    """Whether an earlier call, whose answer was lost, already sent what this outcome spawns."""
    cursor = await connection.execute(
        "select finished_at < now() from taskforge.outcome where job_id = %s and attempt = %s",
        (outcome.number, outcome.attempt),
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


def _number(one: ClaimedJob | Finished) -> int:
    return one.number
