"""One trial: a database under a fault, jobs sent to it, and the history to judge it by."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
from attrs import define, field

from taskforge_client.app import TaskForge
from taskforge_client.errors import TaskForgeError, Unreachable
from taskforge_client.task import Task
from taskforge_client.wire.ids import job_number
from tests.support.history import History, Verdict
from tests.support.polling import wait_until

_COUNT_LIVE = """
    select 'ready', count(*) from taskforge.ready
    union all select 'scheduled', count(*) from taskforge.scheduled
    union all select 'blocked', count(*) from taskforge.blocked
    union all select 'running', count(*) from taskforge.running
"""
_COUNT_ENDS = "select job_id, count(*) from taskforge.outcome where state >= 5 group by job_id"
_STATES = {5: "succeeded", 6: "failed", 7: "cancelled", 8: "dead"}
AnyTask = Task[Any, Any]


@define(kw_only=True, eq=False)
class Trial:
    """Sends jobs, watches the database past all faults, and judges.

    Attributes:
        url: The database itself, past any proxy.
        history: What was asked and what happened.
        app: Where jobs are sent from; its own way may lead through a proxy.
    """

    url: str
    history: History
    app: TaskForge
    _next_marker: int = field(init=False, default=1)

    @property
    def ledger(self) -> str:
        """The file that tasks write to."""
        return str(self.history.ledger)

    @property
    def gate(self) -> str:
        """What tasks that hold wait for; see `open_gate`."""
        return f"{self.ledger}-gate"

    def open_gate(self, *attempts: int) -> None:
        """Let these attempts of all jobs that hold go on; without any, the first ten."""
        for attempt in attempts or range(1, 11):
            Path(f"{self.gate}-{attempt}").touch()

    def wait_until_began(self, count: int, attempt: int = 1) -> None:
        """Wait until this attempt of so many jobs has begun."""
        wait_until(
            lambda: (
                len(
                    {
                        execution.marker
                        for execution in self.history.executions()
                        if execution.attempt == attempt
                    }
                )
                >= count
            ),
            60,
        )

    def markers(self, count: int) -> range:
        """Return so many new markers."""
        first = self._next_marker
        self._next_marker += count
        return range(first, first + count)

    def send(self, task: AnyTask, marker: int | None = None, *more: Any, **options: Any) -> int:
        """Send one job and note what came of it; an error but a missing answer is raised.

        Args:
            task: Takes the ledger, the marker and `more`.
            marker: Its marker; unset, a new one.
            more: Further arguments.
            options: Those of `Task.using`.
        """
        if marker is None:
            (marker,) = self.markers(1)
        self.history.attempt(marker)
        sent = task.via(self.app).using(**options)
        try:
            handle = sent.enqueue(self.ledger, marker, *more)
        except Unreachable:
            return marker
        except TaskForgeError:
            self.history.refuse(marker)
            raise
        self.history.acknowledge(marker, handle.id)
        return marker

    def send_many(self, task: AnyTask, count: int, *more: Any) -> list[int]:
        """Send a stream of jobs and note what came of it."""
        markers = list(self.markers(count))
        for marker in markers:
            self.history.attempt(marker)
        sent = task.via(self.app)
        receipt = self.app.enqueue_many(sent.bind(self.ledger, marker, *more) for marker in markers)
        assert receipt.failed == 0
        for marker, identifier in zip(markers, receipt.ids, strict=True):
            self.history.acknowledge(marker, identifier)
        return markers

    @contextlib.contextmanager
    def sending_to(self, url: str) -> Iterator[None]:
        """Send by another way, such as a proxy, for the length of the block."""
        straight, self.app = self.app, TaskForge(url)
        try:
            yield
        finally:
            self.app.close()
            self.app = straight

    # -- past all faults -----------------------------------------------------------------------

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *values: Any) -> Any:
        """Run one statement and return its one value."""
        ((value,),) = self.rows(query, *values)
        return value

    def number(self, marker: int) -> int:
        """Return the number of an acknowledged job."""
        return int(job_number(self.history.acknowledged[marker]))

    def numbers(self, markers: Iterable[int]) -> list[int]:
        """Return the numbers of acknowledged jobs."""
        return [self.number(marker) for marker in markers]

    def live(self) -> dict[str, int]:
        """Return how many jobs lie in each table of live work."""
        return {table: count for table, count in self.rows(_COUNT_LIVE) if count}

    def drain(self, timeout_seconds: float = 60.0) -> None:
        """Wait until no job is left alive."""
        wait_until(lambda: not self.live(), timeout_seconds)

    def wait_for_ended(self, count: int, worker: int) -> None:
        """Wait until a worker has recorded so many attempts."""
        query = "select count(*) from taskforge.outcome where worker_id = %s"
        wait_until(lambda: self.value(query, worker) >= count, 60)

    def lost_leases(self) -> int:
        """Return how many attempts were taken back from workers without a lease."""
        count = self.value(
            "select count(*) from taskforge.outcome where detail ->> 'reason' = 'worker_lost'"
        )
        return int(count)

    def wait_for_lost(self, count: int, timeout_seconds: float = 30.0) -> None:
        """Wait until so many attempts were taken back."""
        wait_until(lambda: self.lost_leases() >= count, timeout_seconds)

    def outcomes(self, marker: int) -> list[tuple[int, int, str | None]]:
        """Return attempt, state and reason of all that history holds of a job."""
        return self.rows(
            "select attempt, state, detail ->> 'reason' from taskforge.outcome"
            " where job_id = %s order by attempt",
            self.number(marker),
        )

    def final_states(self) -> dict[int, str]:
        """Return the state that each acknowledged job ended in, by marker."""
        query = "select job, taskforge.final_state(job) from unnest(%s) job"
        markers = {self.number(marker): marker for marker in self.history.acknowledged}
        found = self.rows(query, list(markers))
        return {markers[number]: _STATES[state] for number, state in found if state is not None}

    def final_state(self, marker: int) -> str | None:
        """Return the state a job ended in."""
        return self.final_states().get(marker)

    # -- judging -------------------------------------------------------------------------------

    def judge(
        self,
        *,
        duplicates_allowed: int = 0,
        repeats_allowed: int = 0,
        excused: Sequence[int] = (),
    ) -> Verdict:
        """Check the history, and that every acknowledged job has exactly one end."""
        self.check_ends()
        verdict = self.history.verdict(excused=excused)
        verdict.check(duplicates_allowed=duplicates_allowed, repeats_allowed=repeats_allowed)
        return verdict

    def check_ends(self) -> None:
        """Fail unless every acknowledged job stands in history with exactly one final outcome."""
        numbers = self.numbers(self.history.acknowledged)
        found: Counter[int] = Counter(dict(self.rows(_COUNT_ENDS)))
        endless = [number for number in numbers if found[number] == 0]
        twice = [number for number, count in found.items() if count > 1]
        assert not endless, f"jobs without an end: {endless}"
        assert not twice, f"jobs with more than one end: {twice}"
        assert not self.live(), f"jobs alive: {self.live()}"


def new_trial(url: str, folder: Path, app_url: str | None = None) -> Trial:
    """Return a trial over a database, its app sending to `app_url` or straight to it."""
    history = History(ledger=folder / "ledger")
    return Trial(url=url, history=history, app=TaskForge(app_url or url))
