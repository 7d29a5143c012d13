from __future__ import annotations

from datetime import UTC, datetime

import pytest

from taskforge_client import Cancel, CurrentJob, TaskForge, current_job
from taskforge_client.context import CURRENT_JOB, LOG_LIMIT
from taskforge_client.errors import InvalidRequest
from taskforge_client.wire.jobs import Encoding, Progress
from taskforge_client.wire.workers import ClaimedJob

pytestmark = pytest.mark.unit
STARTED = datetime(2026, 11, 24, 12, tzinfo=UTC)


def make(extended: list[float] | None = None) -> CurrentJob:
    claimed = ClaimedJob(
        number=2,
        attempt=2,
        max_attempts=5,
        token=9,
        queue="mail",
        task="shop:charge",
        payload=b"\x80",
        encoding=Encoding.MSGPACK,
        timeout_seconds=30.0,
        key="order-42",
        tags=("red",),
        meta={"who": "me"},
        fire_time_us=int(STARTED.timestamp() * 1_000_000) + 1,
    )
    on_extend = None if extended is None else extended.append
    return CurrentJob(claimed, STARTED.timestamp(), on_extend)


def test_it_shows_the_attempt() -> None:
    job = make()
    assert (job.id, job.task, job.queue) == ("job_0000000000002", "shop:charge", "mail")
    assert (job.attempt, job.max_attempts, job.key) == (2, 5, "order-42")
    assert (job.tags, job.meta) == (("red",), {"who": "me"})
    assert job.deadline == datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)
    assert job.fire_time == datetime(2026, 11, 24, 12, 0, 0, 1, tzinfo=UTC)


def test_extending_moves_the_deadline_and_tells_the_worker() -> None:
    told: list[float] = []
    job = make(told)
    job.extend(15)
    job.extend(5)
    assert told == [15, 5]
    assert job.deadline == datetime(2026, 11, 24, 12, 0, 50, tzinfo=UTC)


def test_progress_is_kept_until_the_worker_asks() -> None:
    job = make()
    assert make().reported is None
    job.progress(1, 3, "rendering")
    assert job.reported == Progress(done=1, total=3, note="rendering")


def test_a_cancelled_job_can_look_or_be_stopped() -> None:
    job = make()
    job.raise_if_cancelled()
    seen = [job.cancelled]
    job.request_cancel("enough")
    seen.append(job.cancelled)
    assert seen == [False, True]
    with pytest.raises(Cancel) as stopped:
        job.raise_if_cancelled()
    assert stopped.value.reason == "enough"


def test_the_log_is_kept_up_to_its_limit() -> None:
    job = make()
    assert make().log_text is None
    job.log.info("sent %d of %d", 1, 2)
    job.log.warning("slow: 100%")
    job.log.debug("x")
    job.log.error("y")
    assert job.log_text == "INFO sent 1 of 2\nWARNING slow: 100%\nDEBUG x\nERROR y"
    for _ in range(3):
        job.log.info("z" * (LOG_LIMIT // 2))
    assert job.log_text is not None
    assert len(job.log_text) <= LOG_LIMIT + 100
    assert job.log_text.endswith("(2 more lines were dropped)")


def test_spawned_jobs_are_encoded_at_once() -> None:
    app = TaskForge()

    @app.task(name="t")
    def charge(order_id: int) -> None:
        pass

    job = make()
    assert make().spawned == ()
    job.spawn(charge.bind(1), charge.using(priority=3).bind(2))
    job.spawn(charge.bind(3))
    sent = list(job.spawned)
    assert [one.payload[-1] for one in sent] == [1, 2, 3]
    assert [one.options.priority for one in sent] == [0, 3, 0]
    with pytest.raises(InvalidRequest, match="order_id"):
        job.spawn(charge.bind("nonsense"))  # type: ignore[arg-type]


def test_outside_a_worker_it_is_a_quiet_dummy() -> None:
    job = current_job()
    job.progress(1, 2)
    job.log.info("hello")
    job.extend(3)
    job.raise_if_cancelled()
    assert (job.attempt, job.task, job.key, job.fire_time, job.cancelled) == (
        1,
        "",
        None,
        None,
        False,
    )
    assert job.id.startswith("job_")
    assert current_job().log_text is None


def test_inside_a_worker_it_is_the_workers_job() -> None:
    job = make()
    token = CURRENT_JOB.set(job)
    try:
        assert current_job() is job
    finally:
        CURRENT_JOB.reset(token)
