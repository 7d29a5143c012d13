"""Random histories on a real PostgreSQL against a small model in memory.

The model says what each act must come to; after every act, each job must stand where the model has
it, in exactly one place, with the attempt it expects.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from attrs import Factory, define
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.postgres import Database
from tests.support.protocol import (
    CANCELLED,
    DEAD,
    FAILED,
    READY,
    SCHEDULED,
    SUCCEEDED,
    Claim,
    Protocol,
)
from tests.support.twins import break_function

pytestmark = pytest.mark.model

FINAL = {"succeeded", "failed", "cancelled", "dead"}
WAITING = {"blocked", "scheduled", "ready"}
ENDINGS = {SUCCEEDED: "succeeded", FAILED: "failed", CANCELLED: "cancelled", DEAD: "dead"}
QUEUES = itertools.count()


@define(eq=False)
class ModelJob:
    """What the model knows about one job."""

    number: int
    state: str
    budget: int
    attempt: int = 0
    delayed: bool = False
    run_anyway: bool = False
    waits_for: set[int] = Factory(set)
    unique: str | None = None
    may_expire: bool = False
    has_entry: bool = False
    cancel_asked: bool = False
    claim: Claim | None = None


@define(eq=False)
class Model:
    """All jobs, and who holds which unique key."""

    jobs: dict[int, ModelJob] = Factory(dict)
    holders: dict[str, int] = Factory(dict)

    def having(self, *states: str) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.state in states]

    def end(self, job: ModelJob, state: str) -> None:
        """Make a job final and tell its children, and theirs."""
        job.state, job.claim = state, None
        if job.unique is not None:
            self.holders.pop(job.unique, None)
            job.unique = None
        for child in self.having("blocked"):
            if job.number not in child.waits_for:
                continue
            child.waits_for.discard(job.number)
            if state != "succeeded" and not child.run_anyway:
                self.end(child, "cancelled")
            elif not child.waits_for:
                child.state = "scheduled" if child.delayed else "ready"

    def leave_running(self, job: ModelJob, state: str) -> None:
        """A job goes back to where it waits, unless somebody asked for its end."""
        job.claim = None
        if job.cancel_asked:
            self.end(job, "cancelled")
        else:
            job.state = state


class Lives(RuleBasedStateMachine):
    """Acts on both, and compares."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.protocol = Protocol.connect(self.url, queue=f"model-{next(QUEUES)}")
        self.model = Model()
        self.stale: list[Claim] = []
        self.worker = 0

    @initialize()
    def begin(self) -> None:
        self.worker = self.protocol.register(600)

    def teardown(self) -> None:
        with self.protocol as protocol:
            protocol.rows("select taskforge.end_lease(%s)", self.worker)
            protocol.rows("delete from taskforge.running")
            protocol.cancel(*self.model.jobs)

    def pick(self, data: st.DataObject, *states: str) -> ModelJob:
        return data.draw(st.sampled_from(self.model.having(*states)), label="job")

    @rule(
        data=st.data(),
        delayed=st.booleans(),
        run_anyway=st.booleans(),
        unique=st.sampled_from([None, None, "aa", "bb"]),
        expires=st.booleans(),
        budget=st.integers(1, 3),
    )
    def enqueue(
        self,
        data: st.DataObject,
        *,
        delayed: bool,
        run_anyway: bool,
        unique: str | None,
        expires: bool,
        budget: int,
    ) -> None:
        live = self.model.having("running", *sorted(WAITING))
        numbers = [job.number for job in [*self.model.having(*sorted(FINAL))[-1:], *live[-3:]]]
        parents = data.draw(st.sets(st.sampled_from(numbers), max_size=3)) if numbers else set()
        options: dict[str, Any] = {"on_parent_failure": int(run_anyway)}
        if delayed:
            options["delay_ms"] = 3_600_000
        if unique is not None:
            # Keys are a project's; each example has its own.
            options["unique_key"] = f"{self.protocol.queue:08x}{unique}"
        if expires:
            options["expires_ms"] = 7_200_000
        if parents:
            options["after"] = sorted(parents)
        number = self.protocol.enqueue(max_attempts=budget, **options)
        if unique in self.model.holders:
            assert number == self.model.holders[unique]
            return
        job = ModelJob(number, "scheduled" if delayed else "ready", budget)
        job.delayed, job.run_anyway, job.unique = delayed, run_anyway, unique
        job.may_expire = job.has_entry = expires
        self.model.jobs[number] = job
        if unique is not None:
            self.model.holders[unique] = number
        states = {parent: self.model.jobs[parent].state for parent in parents}
        failed = any(state in FINAL - {"succeeded"} for state in states.values())
        job.waits_for = {parent for parent, state in states.items() if state not in FINAL}
        if failed and not run_anyway:
            job.waits_for = set()
            self.model.end(job, "cancelled")
        elif job.waits_for:
            job.state = "blocked"

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        ready = self.model.having("ready")
        claims = self.protocol.claim(self.worker, limit=limit)
        assert len(claims) == min(limit, len(ready))
        for claim in claims:
            job = self.model.jobs[claim.job]
            assert job.state == "ready"
            assert (claim.attempt, claim.max_attempts) == (job.attempt + 1, job.budget)
            assert not claim.expired
            job.state, job.attempt, job.claim = "running", claim.attempt, claim

    @precondition(lambda self: self.model.having("running"))
    @rule(data=st.data(), state=st.sampled_from(sorted(ENDINGS)))
    def finish(self, data: st.DataObject, state: int) -> None:
        job = self.pick(data, "running")
        assert job.claim is not None
        self.stale.append(job.claim)
        assert self.protocol.finish([job.claim], state) == [job.number]
        self.model.end(job, ENDINGS[state])

    @precondition(lambda self: self.model.having("running"))
    @rule(data=st.data(), snooze=st.booleans(), delay=st.sampled_from([0.0, 3600.0]))
    def try_again(self, data: st.DataObject, *, snooze: bool, delay: float) -> None:
        job = self.pick(data, "running")
        assert job.claim is not None
        self.stale.append(job.claim)
        state = READY if snooze else SCHEDULED
        assert self.protocol.finish([job.claim], state, delay) == [job.number]
        job.attempt -= int(snooze)
        self.model.leave_running(job, "scheduled" if delay else "ready")

    @precondition(lambda self: self.model.having("running"))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        job = self.pick(data, "running")
        assert job.claim is not None
        self.stale.append(job.claim)
        self.protocol.release([job.claim])
        job.attempt -= 1
        self.model.leave_running(job, "ready")

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), state=st.sampled_from([*ENDINGS, SCHEDULED, READY]))
    def finish_too_late(self, data: st.DataObject, state: int) -> None:
        claim = data.draw(st.sampled_from(self.stale), label="stale")
        assert self.protocol.finish([claim], state) == []
        self.protocol.release([claim])

    @rule()
    def lose_the_lease(self) -> None:
        self.protocol.rows("select taskforge.end_lease(%s)", self.worker)
        self.protocol.rescue()
        for job in self.model.having("running"):
            assert job.claim is not None
            self.stale.append(job.claim)
            if job.attempt >= job.budget:
                self.model.end(job, "dead")
            else:
                self.model.leave_running(job, "ready")
        self.worker = self.protocol.register(600)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(list(self.model.jobs.values())), label="job")
        self.protocol.cancel(job.number)
        if job.state == "running":
            job.cancel_asked = True
        elif job.state in WAITING:
            self.model.end(job, "cancelled")

    @precondition(lambda self: self.model.having("running"))
    @rule(data=st.data(), give_back=st.booleans())
    def cancel_what_runs(self, data: st.DataObject, *, give_back: bool) -> None:
        job = self.pick(data, "running")
        assert job.claim is not None
        assert self.protocol.cancel(job.number) == {job.number: 4}
        job.cancel_asked = True
        if give_back:
            self.protocol.release([job.claim])
            job.attempt -= 1
            self.model.leave_running(job, "ready")

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(list(self.model.jobs.values())), label="job")
        again = job.state in FINAL - {"succeeded"}
        assert self.protocol.retry(job.number) == ([job.number] if again else [])
        if again:
            first_budget = self.protocol.value(
                "select max_attempts from taskforge.job where id = %s", job.number
            )
            job.state, job.budget = "ready", job.attempt + first_budget
            job.cancel_asked = job.may_expire = False

    @precondition(lambda self: self.model.having("scheduled"))
    @rule(data=st.data())
    def come_due(self, data: st.DataObject) -> None:
        job = self.pick(data, "scheduled")
        self.protocol.due_now("scheduled", "run_at", job.number)
        assert self.protocol.stage() >= 1
        job.state = "ready"

    @precondition(lambda self: any(job.has_entry for job in self.model.jobs.values()))
    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        job = data.draw(
            st.sampled_from([job for job in self.model.jobs.values() if job.has_entry]), label="job"
        )
        self.protocol.due_now("expiring", "expires_at", job.number)
        assert self.protocol.expire() == 1
        job.has_entry = False
        if job.may_expire and job.state in WAITING:
            self.model.end(job, "cancelled")

    @invariant()
    def each_job_stands_where_the_model_has_it(self) -> None:
        self.protocol.resolve()
        found = dict(self._places())
        for number, job in self.model.jobs.items():
            expected = [job.state] if job.state in WAITING | {"running", "dead"} else []
            assert found.get(number, []) == expected, f"job {number}: {job}"
            assert self.protocol.state(number) == job.state

    def _places(self) -> Iterator[tuple[int, list[str]]]:
        yield from self.protocol.rows(
            "select job_id, array_agg(place) from ("
            " select job_id, 'blocked' from taskforge.blocked"
            " union all select job_id, 'scheduled' from taskforge.scheduled"
            " union all select job_id, 'ready' from taskforge.ready"
            " union all select job_id, 'running' from taskforge.running"
            " union all select job_id, 'dead' from taskforge.dead) live (job_id, place)"
            " where job_id = any (%s) group by job_id",
            list(self.model.jobs),
        )


def live(url: str, *phases: Phase, examples: int = 40) -> None:
    run_state_machine_as_test(
        type("LivesHere", (Lives,), {"url": url}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            report_multiple_bugs=False,
            phases=phases or tuple(Phase),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_every_history_ends_where_the_model_says(database: Database) -> None:
    live(database.url)


@pytest.mark.twin
@pytest.mark.parametrize(
    "function,right,wrong",
    [
        ("release", "(attempt - 1)::smallint", "attempt"),
        ("reenter", "where c.job_id = b.job_id)", "where c.job_id = b.job_id and false)"),
        ("resolve", "b.on_parent_failure = 0", "b.on_parent_failure = 1"),
        ("retry", "continue when v_state = 5", "continue when v_state = 4"),
    ],
)
def test_a_broken_protocol_is_noticed(
    database: Database, function: str, right: str, wrong: str
) -> None:
    break_function(database.url, function, (right, wrong))
    with pytest.raises((AssertionError, ValueError, psycopg.Error, KeyError)):
        live(database.url, Phase.generate, examples=400)
