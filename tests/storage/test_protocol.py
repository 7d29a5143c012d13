"""The storage protocol, one move at a time: where a job stands, and what history keeps."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

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

pytestmark = pytest.mark.storage


@pytest.fixture
def worker(protocol: Protocol) -> int:
    return protocol.register()


def test_a_plain_life(protocol: Protocol, worker: int) -> None:
    jobs = protocol.enqueue_plain(3)
    claims = protocol.claim(worker)
    assert [claim.job for claim in claims] == jobs
    assert all(protocol.place(job) == {"running"} for job in jobs)
    assert protocol.finish(claims) == jobs
    assert protocol.finish(claims) == []
    assert all(protocol.place(job) == set() for job in jobs)
    assert protocol.outcomes(jobs[0]) == [(1, SUCCEEDED)]
    known = protocol.value(
        "select taskforge.recorded_before(%s, %s::smallint[], %s)",
        *([claim.job for claim in claims], [1, 1, 1], [claim.token for claim in claims]),
    )
    assert sorted(known) == jobs


def test_a_stale_token_or_attempt_changes_nothing(protocol: Protocol, worker: int) -> None:
    job = protocol.enqueue()
    (claim,) = protocol.claim(worker)
    stale = Claim(job=job, attempt=1, max_attempts=3, token=claim.token + 1)
    assert protocol.finish([stale]) == []
    older = Claim(job=job, attempt=2, max_attempts=3, token=claim.token)
    assert protocol.finish([older]) == []
    protocol.release([stale])
    assert protocol.place(job) == {"running"}


def test_a_retry_waits_its_delay_and_counts(protocol: Protocol, worker: int) -> None:
    job = protocol.enqueue()
    protocol.finish(protocol.claim(worker), SCHEDULED, delay=60)
    assert protocol.place(job) == {"scheduled"}
    assert protocol.stage() == 0
    protocol.due_now("scheduled", "run_at", job)
    assert protocol.stage() == 1
    (claim,) = protocol.claim(worker)
    assert claim.attempt == 2
    protocol.finish([claim])
    assert protocol.outcomes(job) == [(1, SCHEDULED), (2, SUCCEEDED)]


def test_a_snooze_and_a_release_give_the_attempt_back(protocol: Protocol, worker: int) -> None:
    job = protocol.enqueue(max_attempts=1)
    protocol.finish(protocol.claim(worker), READY)
    protocol.release(protocol.claim(worker))
    (claim,) = protocol.claim(worker)
    assert claim.attempt == 1
    assert protocol.outcomes(job) == []


def test_dead_letters_are_kept_and_can_be_run_again(protocol: Protocol, worker: int) -> None:
    job = protocol.enqueue(max_attempts=1)
    error = {"type": "KeyError", "message": "'x'", "group": "g1"}
    protocol.finish(protocol.claim(worker), DEAD, detail={"error": error})
    assert protocol.place(job) == {"dead"}
    assert protocol.rows("select reason, error_group from taskforge.dead") == [
        ("attempts_used_up", "g1")
    ]
    assert protocol.retry(job) == [job]
    assert protocol.retry(job) == []
    (claim,) = protocol.claim(worker)
    assert (claim.attempt, claim.max_attempts) == (2, 2)
    assert protocol.finish([claim]) == [job]
    assert protocol.retry(job) == []


def test_what_failed_without_a_dead_letter_goes_on_without_one(
    protocol: Protocol, worker: int
) -> None:
    job = protocol.enqueue(max_attempts=1, flags=32)
    protocol.finish(protocol.claim(worker), FAILED)
    protocol.retry(job)
    assert protocol.rows("select flags from taskforge.ready") == [(32,)]


def test_an_edited_rerun_is_a_job_of_its_own(protocol: Protocol, worker: int) -> None:
    job = protocol.enqueue(max_attempts=1, tags=["a"], meta={"k": "v"})
    protocol.finish(protocol.claim(worker), DEAD)
    new = protocol.value("select taskforge.retry_edited(1, %s, '\\x01', 2::smallint)", job)
    assert (protocol.state(job), protocol.state(new)) == ("dead", "ready")
    assert protocol.place(job) == set()
    row = protocol.rows("select tags, meta, edited_from from taskforge.show_job(1, %s)", new)
    assert row == [(["a"], {"k": "v"}, job)]
    with pytest.raises(psycopg.errors.DatabaseError, match="has not failed"):
        protocol.value("select taskforge.retry_edited(1, %s, '\\x01', 2::smallint)", new)
    with pytest.raises(psycopg.errors.DatabaseError, match="already run again, as job_"):
        protocol.value("select taskforge.retry_edited(1, %s, '\\x01', 2::smallint)", job)


def test_a_lost_lease_gives_the_jobs_back_until_the_attempts_are_used_up(
    protocol: Protocol,
) -> None:
    job, kept = protocol.enqueue(max_attempts=2), protocol.enqueue(max_attempts=1, flags=32)
    for attempt in (1, 2):
        worker = protocol.register()
        claims = protocol.claim(worker)
        assert protocol.rescue() == (0, 0)
        protocol.rows("update taskforge.worker set expires_at = now() - interval '1 second'")
        assert protocol.rescue() == ((2, 1) if attempt == 1 else (1, 1))
        assert protocol.finish(claims) == []
    assert protocol.place(job) == {"dead"}
    assert protocol.outcomes(kept) == [(1, FAILED)]
    assert protocol.rows("select reason from taskforge.dead") == [("worker_lost",)]


def test_a_pruned_worker_row_leaves_no_orphans(protocol: Protocol, worker: int) -> None:
    job = protocol.enqueue()
    protocol.claim(worker)
    assert protocol.value("select taskforge.end_lease(%s)", worker) is True
    assert protocol.value("select taskforge.end_lease(%s)", worker) is False
    assert protocol.rescue() == (1, 0)
    assert protocol.place(job) == {"ready"}
    with pytest.raises(psycopg.errors.DatabaseError, match="holds no lease"):
        protocol.claim(worker)


def test_a_heartbeat_tells_and_gives_strays_back(protocol: Protocol, worker: int) -> None:
    jobs = protocol.enqueue_plain(3)
    claims = protocol.claim(worker)
    protocol.cancel(jobs[0], reason="enough")
    protocol.rows("update taskforge.running set claimed_at = now() - interval '1 minute'")
    ((draining, cancelled, strays),) = protocol.rows(
        "select * from taskforge.heartbeat(%s, 30, %s)", worker, [jobs[0], jobs[2]]
    )
    assert (draining, cancelled, strays) == (False, {str(jobs[0]): "enough"}, [jobs[1]])
    assert protocol.place(jobs[1]) == {"ready"}
    assert protocol.finish(claims) == [jobs[0], jobs[2]]
    protocol.rows("update taskforge.worker set expires_at = now() - interval '1 second'")
    assert protocol.rows("select * from taskforge.heartbeat(%s, 30)", worker) == []


@pytest.mark.parametrize("place", ["ready", "scheduled", "blocked"])
def test_cancel_ends_what_waits(protocol: Protocol, worker: int, place: str) -> None:
    parent = protocol.enqueue()
    options: dict[str, dict[str, Any]] = {
        "ready": {},
        "scheduled": {"delay_ms": 60_000},
        "blocked": {"after": [parent]},
    }
    job = protocol.enqueue(**options[place])
    child = protocol.enqueue(after=[job])
    assert protocol.place(job) == {place}
    assert protocol.cancel(job, 7) == {job: CANCELLED}
    assert protocol.cancel(job) == {job: CANCELLED}
    assert protocol.place(job) == set()
    assert protocol.state(child) == "cancelled"
    assert protocol.retry(job) == [job]


@pytest.mark.parametrize("leave", ["release", "retry", "snooze", "rescue"])
def test_a_cancelled_job_never_runs_again_whatever_its_worker_does(
    protocol: Protocol, worker: int, leave: str
) -> None:
    job = protocol.enqueue()
    claims = protocol.claim(worker)
    assert protocol.cancel(job) == {job: 4}
    if leave == "release":
        protocol.release(claims)
    elif leave == "rescue":
        protocol.value("select taskforge.end_lease(%s)", worker)
        protocol.rescue()
    else:
        protocol.finish(claims, SCHEDULED if leave == "retry" else READY, delay=5)
    assert protocol.place(job) == set()
    assert protocol.state(job) == "cancelled"


def test_expiry_ends_what_waits_and_spares_what_started(protocol: Protocol, worker: int) -> None:
    started = protocol.enqueue(expires_ms=60_000)
    (claim,) = protocol.claim(worker)
    assert not claim.expired
    waiting = protocol.enqueue(expires_ms=60_000)
    freed = protocol.enqueue(after=[waiting], on_parent_failure=1)
    for job in (started, waiting):
        protocol.due_now("expiring", "expires_at", job)
    ((due, rung),) = protocol.rows("select due, rung from taskforge.expire(10)")
    assert (due, rung) == (2, [protocol.queue])
    assert (protocol.state(waiting), protocol.state(started)) == ("cancelled", "running")
    assert protocol.place(freed) == {"ready"}


def test_running_an_expired_job_again_lifts_its_time_limit(protocol: Protocol, worker: int) -> None:
    job = protocol.enqueue(expires_ms=60_000)
    protocol.cancel(job)
    protocol.rows("update taskforge.job set expires_at = now() - interval '1 hour'")
    protocol.due_now("expiring", "expires_at", job)
    assert protocol.retry(job) == [job]
    assert protocol.expire() == 1
    (claim,) = protocol.claim(worker)
    assert not claim.expired


def test_a_claim_shows_what_expired_between_two_places(protocol: Protocol, worker: int) -> None:
    protocol.enqueue(expires_ms=60_000)
    protocol.rows("update taskforge.job set expires_at = now() - interval '1 hour'")
    assert protocol.claim(worker)[0].expired


def test_keys_name_one_request(protocol: Protocol) -> None:
    job = protocol.enqueue(key="k")
    assert protocol.enqueue(key="k") == job
    with pytest.raises(psycopg.errors.DatabaseError, match="already names"):
        protocol.enqueue(key="k", task="m:other")


def test_unique_work_is_held_until_it_is_final(protocol: Protocol, worker: int) -> None:
    job = protocol.enqueue(unique_key="aa")
    assert protocol.enqueue(unique_key="aa", key="named") == job
    protocol.finish(protocol.claim(worker), SCHEDULED, delay=0)
    assert protocol.enqueue(unique_key="aa") == job
    protocol.finish(protocol.claim(worker))
    assert protocol.enqueue(unique_key="aa") != job
    assert protocol.enqueue(key="named") == job


def test_a_unique_window_outlives_the_job(protocol: Protocol, worker: int) -> None:
    job = protocol.enqueue(unique_key="bb", unique_ms=60_000)
    protocol.finish(protocol.claim(worker))
    assert protocol.enqueue(unique_key="bb", unique_ms=60_000) == job
    protocol.due_now("unique_work", "until", job)
    assert protocol.enqueue(unique_key="bb", unique_ms=60_000) != job


def test_children_wait_for_all_their_parents(protocol: Protocol, worker: int) -> None:
    parents = protocol.enqueue_plain(3)
    child = protocol.enqueue(after=parents)
    later = protocol.enqueue(after=parents, delay_ms=60_000)
    claims = protocol.claim(worker)
    protocol.finish(claims[:2])
    assert protocol.place(child) == {"blocked"}
    protocol.finish(claims[2:])
    assert (protocol.place(child), protocol.place(later)) == ({"ready"}, {"scheduled"})
    assert protocol.enqueue(after=parents) in {claim.job for claim in protocol.claim(worker)}
    with pytest.raises(psycopg.errors.DatabaseError, match="there is no job"):
        protocol.enqueue(after=[5])


def test_a_retry_frees_no_child_and_a_final_failure_cancels_the_line(
    protocol: Protocol, worker: int
) -> None:
    parent = protocol.enqueue(max_attempts=2)
    child = protocol.enqueue(after=[parent])
    grandchild = protocol.enqueue(after=[child])
    anyway = protocol.enqueue(after=[parent], on_parent_failure=1)
    protocol.finish(protocol.claim(worker), SCHEDULED)
    assert protocol.place(child) == {"blocked"}
    protocol.finish(protocol.claim(worker), DEAD)
    assert protocol.state(child) == "cancelled"
    assert protocol.place(anyway) == {"ready"}
    assert protocol.place(grandchild) == {"blocked"}
    assert protocol.resolve() >= 1
    assert protocol.state(grandchild) == "cancelled"
    assert protocol.state(protocol.enqueue(after=[grandchild])) == "cancelled"


def test_an_older_attempt_in_the_batch_frees_nobody(protocol: Protocol, worker: int) -> None:
    parent = protocol.enqueue()
    child = protocol.enqueue(after=[parent])
    (old,) = protocol.claim(worker)
    protocol.release([old])
    (current,) = protocol.claim(worker)
    assert protocol.finish([old, current], [SUCCEEDED, SCHEDULED], delay=60) == [parent]
    assert protocol.place(child) == {"blocked"}


def test_paused_queues_and_priorities(protocol: Protocol, worker: int) -> None:
    low = protocol.enqueue()
    protocol.rows("select taskforge.ensure_lane(1, 'DEFAULT', 9::smallint)")
    assert protocol.rows("select name from taskforge.queue") == [("default",)]
    protocol.rows("update taskforge.ready set priority = 9 where job_id = %s", protocol.enqueue())
    high = protocol.value("select job_id from taskforge.ready where priority = 9")
    protocol.rows("update taskforge.queue set paused_at = now()")
    assert protocol.claim(worker) == []
    protocol.rows("update taskforge.queue set paused_at = null")
    assert [protocol.claim(worker, limit=1)[0].job for _ in range(2)] == [high, low]


@pytest.mark.postgres_versions
def test_a_life_on_every_supported_version(database: Database) -> None:
    with Protocol.connect(database.url) as protocol:
        worker = protocol.register()
        parent = protocol.enqueue(unique_key="cc", key="k", expires_ms=60_000)
        child = protocol.enqueue(after=[parent])
        protocol.finish(protocol.claim(worker), SCHEDULED)
        protocol.finish(protocol.claim(worker))
        protocol.finish(protocol.claim(worker))
        assert protocol.state(child) == "succeeded"
        assert protocol.resolve() >= 0
