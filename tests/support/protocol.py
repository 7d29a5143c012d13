"""The storage protocol as a test speaks it: one connection, one method a function of the schema."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import psycopg
from attrs import define, frozen
from psycopg.types.json import Jsonb

SCHEDULED, READY, SUCCEEDED, FAILED, CANCELLED, DEAD = 2, 3, 5, 6, 7, 8
LIVE_TABLES = ("blocked", "scheduled", "ready", "running")


@frozen(kw_only=True)
class Claim:
    """One claimed attempt."""

    job: int
    attempt: int
    max_attempts: int
    token: int
    expired: bool = False


@define(eq=False)
class Protocol:
    """See the module. Autocommit, unless a test opens a transaction itself."""

    connection: psycopg.Connection
    queue: int

    @classmethod
    def connect(cls, url: str, queue: str = "default") -> Self:
        connection = psycopg.connect(url, autocommit=True)
        made = cls(connection, 0)
        made.queue = made.value("select taskforge.ensure_lane(1, %s, 0::smallint)", queue)
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.connection.close()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(query.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *values: object) -> Any:
        ((value,),) = self.rows(query, *values)
        return value

    def enqueue(
        self, *, max_attempts: int = 3, flags: int = 0, task: str = "m:f", **options: object
    ) -> int:
        """Enqueue one job; `options` as `taskforge.enqueue_one` takes them."""
        job: int = self.value(
            "select job_id from taskforge.enqueue_one(1, null, %s, 0::smallint, %s::smallint,"
            " 60000, %s::smallint, 2::smallint, %s, '\\x80', %s)",
            *(self.queue, max_attempts, flags, task, Jsonb(options)),
        )
        return job

    def enqueue_plain(self, count: int) -> list[int]:
        """Enqueue `count` jobs without features; return their numbers in order."""
        base: int = self.value("select base from taskforge.reserve_blocks(1)")
        jobs = list(range(base, base + count))
        self.connection.execute(
            "select taskforge.enqueue_plain(1, %(jobs)s, array_fill(%(queue)s, array[%(n)s]),"
            " array_fill(0::smallint, array[%(n)s]), array_fill(3::smallint, array[%(n)s]),"
            " array_fill(60000, array[%(n)s]), array_fill(0::smallint, array[%(n)s]),"
            " array_fill(2::smallint, array[%(n)s]), array_fill('m:f'::text, array[%(n)s]),"
            " array_fill('\\x80'::bytea, array[%(n)s]))",
            {"jobs": jobs, "queue": self.queue, "n": count},
        )
        return jobs

    def register(self, lease_seconds: float = 60.0) -> int:
        worker: int = self.value(
            "select taskforge.register_worker(1, %s, 'here', 1, '{}', 10, '', %s)",
            *(uuid.uuid4(), lease_seconds),
        )
        return worker

    def claim(
        self, worker: int, limit: int = 100, floors: dict[tuple[int, int], int] | None = None
    ) -> list[Claim]:
        token = secrets.randbits(62)
        known = floors or {}
        rows = self.rows(
            "select job_id, attempt, max_attempts, expired, ord, queue_id, priority"
            " from taskforge.claim(%s, %s, %s, %s, %s, %s, %s)",
            *(worker, token, limit, [self.queue]),
            *([queue for queue, _ in known], [priority for _, priority in known]),
            list(known.values()),
        )
        if floors is not None:
            for row in rows:
                lane = (row[5], row[6])
                floors[lane] = max(floors.get(lane, 0), row[4] + 1)
        return [
            Claim(
                job=row[0], attempt=row[1], max_attempts=row[2], token=token, expired=bool(row[3])
            )
            for row in rows
        ]

    def finish(
        self,
        claims: Sequence[Claim],
        states: int | Sequence[int] = SUCCEEDED,
        delay: float = 0.0,
        detail: dict[str, Any] | None = None,
    ) -> list[int]:
        """Finish attempts, sorted by job; return the jobs recorded by this call."""
        given = [states] * len(claims) if isinstance(states, int) else list(states)
        ordered = sorted(zip(claims, given, strict=True), key=lambda pair: pair[0].job)
        count = len(ordered)
        jobs = [claim.job for claim, _ in ordered]
        ((recorded, won),) = self.rows(
            "select recorded, won from taskforge.finish(%s, %s::smallint[], %s, %s::smallint[],"
            " %s::int[], %s::bytea[], %s::jsonb[], %s)",
            *(jobs, [claim.attempt for claim, _ in ordered]),
            *([claim.token for claim, _ in ordered], [state for _, state in ordered]),
            *([7] * count, [None] * count),
            *([Jsonb(detail) if detail else None] * count, [delay] * count),
        )
        return jobs if recorded == count else list(won or ())

    def release(self, claims: Sequence[Claim]) -> None:
        ordered = sorted(claims, key=lambda claim: claim.job)
        self.rows(
            "select taskforge.release(%s, %s)",
            [claim.job for claim in ordered],
            [claim.token for claim in ordered],
        )

    def cancel(self, *jobs: int, reason: str = "test") -> dict[int, int]:
        """Cancel jobs; return the state each is in."""
        rows = self.rows(
            "select job_id, state from taskforge.cancel(1, %s, %s)", list(jobs), reason
        )
        return {row[0]: row[1] for row in rows}

    def retry(self, *jobs: int) -> list[int]:
        return [
            row[0] for row in self.rows("select job_id from taskforge.retry(1, %s)", list(jobs))
        ]

    def stage(self) -> int:
        staged: int = self.value("select staged from taskforge.stage(1000)")
        return staged

    def rescue(self) -> tuple[int, int]:
        ((rescued, buried),) = self.rows("select rescued, buried from taskforge.rescue(1000)")
        return rescued, buried

    def expire(self) -> int:
        due: int = self.value("select due from taskforge.expire(1000)")
        return due

    def resolve(self) -> int:
        """Look for late parents and tell cascades until there is nothing left to tell."""
        told = 0
        while True:
            self.rows("select taskforge.mark_late()")
            step: int = self.value("select told from taskforge.resolve_late()")
            step += self.value("select told from taskforge.resolve_cascade(500)")
            told += step
            if not step:
                return told

    def place(self, job: int) -> set[str]:
        """The live tables (and dead) that hold the job."""
        return {
            table
            for table in (*LIVE_TABLES, "dead")
            if self.rows(f"select 1 from taskforge.{table} where job_id = %s", job)  # noqa: S608
        }

    def state(self, job: int) -> str | None:
        """The job's state as the view shows it."""
        name: str | None = self.value(
            "select taskforge.state_name(state) from taskforge.job_now(%s)", job
        )
        return name

    def outcomes(self, job: int) -> list[tuple[int, int]]:
        """(attempt, state) of the job's history, in order."""
        rows = self.rows(
            "select attempt, state from taskforge.outcome where job_id = %s order by attempt", job
        )
        return [(attempt, state) for attempt, state in rows]

    def due_now(self, table: str, column: str, job: int) -> None:
        """Make what a job waits for lie in the past: tests don't wait for time."""
        self.rows(
            f"update taskforge.{table} set {column} = now() - interval '1 second'"  # noqa: S608
            " where job_id = %s",
            job,
        )
