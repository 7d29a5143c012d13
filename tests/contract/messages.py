"""One example of every message on the wire; the golden files are made of them."""

from datetime import UTC, datetime

from taskforge_client.wire.dead import BulkAnswer, DeadFilter, DeadGroup, DeadLetter, DeadPage
from taskforge_client.wire.fleet import WorkerView
from taskforge_client.wire.jobs import (
    AttemptView,
    BulkItem,
    CancelAnswer,
    CancelRequest,
    Encoding,
    Enqueued,
    ErrorView,
    JobOptions,
    JobSpec,
    JobView,
    Progress,
    RetryRequest,
)
from taskforge_client.wire.keys import KeyCreated, KeyView
from taskforge_client.wire.lists import JobFilter, JobPage
from taskforge_client.wire.policies import Backoff, RetryPolicy, UniquePolicy
from taskforge_client.wire.problems import MalformedValue, Problem
from taskforge_client.wire.queues import QueueView
from taskforge_client.wire.schedules import ScheduleKind, ScheduleSpec, ScheduleView
from taskforge_client.wire.states import JobState, OnParentFailure
from taskforge_client.wire.workers import (
    ClaimedJob,
    Finished,
    Heartbeat,
    HeartbeatAnswer,
    Lease,
    Registration,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 12, 0, 1, 500_000, tzinfo=UTC)

OPTIONS = JobOptions(
    queue="mail",
    priority=-7,
    run_at=NOON,
    expires_seconds=3600.0,
    timeout_seconds=30.5,
    retry=RetryPolicy(backoff=Backoff.LINEAR, attempts=8, first_seconds=0.5, jitter=1.0),
    key="order-42",
    unique=UniquePolicy(key=b"\x00\xff", window_seconds=60.0),
    tags=("red", "blau", "蓝"),
    meta={"who": "me"},
    after=("job_0000000000001",),
    on_parent_failure=OnParentFailure.RUN_ANYWAY,
    dead_letters=False,
)
ERROR = ErrorView(type="ValueError", message="no", traceback="Traceback …", group="abc")
VIEW = JobView(
    id="job_0000000000002",
    task="shop:charge",
    queue="mail",
    state=JobState.DEAD,
    priority=5,
    attempt=2,
    max_attempts=2,
    created_at=NOON,
    run_at=NOON,
    started_at=NOON,
    finished_at=LATER,
    key="order-42",
    tags=("red",),
    meta={"who": "me"},
    after=("job_0000000000001",),
    payload=b"\x81\xa8order_id\x2a",
    result=b"\xa2ok",
    result_kept=True,
    error=ERROR,
    reason="attempts_used_up",
    progress=Progress(done=1.0, total=3.0, note="rendering"),
    attempts=(
        AttemptView(
            attempt=1,
            state=JobState.SCHEDULED,
            finished_at=LATER,
            started_at=NOON,
            worker="wrk_0000000000007",
            error=ERROR,
            log="INFO begun",
        ),
    ),
    worker="wrk_0000000000007",
    edited_from="job_0000000000003",
    edited_as="job_0000000000004",
)
LETTER = DeadLetter(
    id="job_0000000000002",
    task="shop:charge",
    queue="mail",
    died_at=NOON,
    reason="attempts_used_up",
    attempt=2,
    error=ERROR,
)
KEY = KeyView(id="key_0000000000001", name="laptop", created_at=NOON, expires_at=LATER)
SCHEDULE = ScheduleSpec(
    name="nightly",
    kind=ScheduleKind.CRON,
    task="shop:close",
    expression="0 3 * * *",
    timezone="Asia/Jakarta",
    options=JobOptions(queue="night"),
)

MESSAGES: dict[str, object] = {
    "attempt_view": VIEW.attempts[0],
    "bulk_answer": BulkAnswer(asked=10, changed=9),
    "bulk_item": BulkItem(problem=MalformedValue("queue", "is odd", "a name").as_problem()),
    "cancel_answer": CancelAnswer(id="job_0000000000002", state=JobState.RUNNING, requested=True),
    "cancel_request": CancelRequest(reason="changed my mind"),
    "claimed_job": ClaimedJob(
        number=2,
        attempt=1,
        max_attempts=5,
        token=-(2**62),
        queue="mail",
        task="shop:charge",
        payload=b"\x80",
        encoding=Encoding.MSGPACK,
        timeout_seconds=30.0,
        tags=("red",),
        meta={"who": "me"},
        fire_time_us=1_795_521_600_000_000,
    ),
    "dead_filter": DeadFilter(jobs=("job_0000000000002",), queue="mail", group="abc"),
    "dead_group": DeadGroup(group="abc", count=3, first_at=NOON, last_at=LATER, sample=LETTER),
    "dead_letter": LETTER,
    "dead_page": DeadPage(letters=(LETTER,), cursor="next"),
    "enqueued": Enqueued(id="job_0000000000002", deduplicated=True),
    "error_view": ERROR,
    "finished": Finished(
        number=2,
        attempt=1,
        token=7,
        state=JobState.SCHEDULED,
        duration_us=1_500_000,
        error=ERROR,
        reason="again",
        log="INFO begun",
        delay_seconds=2.5,
    ),
    "heartbeat": Heartbeat(worker=7, running=(2, 3), progress={2: Progress(done=1.0)}),
    "heartbeat_answer": HeartbeatAnswer(alive=True, drain=True, cancelled={2: "enough"}),
    "job_filter": JobFilter(state=JobState.DEAD, queue="mail", created_after=NOON, limit=10),
    "job_options": OPTIONS,
    "job_page": JobPage(jobs=(VIEW,), cursor="next"),
    "job_spec": JobSpec(task="shop:charge", args={"order_id": 42}, options=OPTIONS),
    "job_spec_encoded": JobSpec(task="shop:charge", payload=b"{}", encoding=Encoding.JSON),
    "job_view": VIEW,
    "key_created": KeyCreated(key=KEY, secret="tfk_not_a_secret"),
    "key_view": KEY,
    "lease": Lease(worker=7),
    "problem": Problem(
        code=MalformedValue("queue", "is odd", "a name").as_problem().code,
        title="The request is not valid",
        status=422,
        field="queue",
        detail="is odd",
        hint="expected a name",
        instance="urn:taskforge:error:1",
    ),
    "progress": Progress(done=0.5),
    "queue_view": QueueView(name="mail", paused=True, depth={"ready": 3}, oldest_ready_at=NOON),
    "registration": Registration(
        incarnation="6f2c", host="db1", process_id=42, queues={"mail": 2}, concurrency=100
    ),
    "retry_policy": RetryPolicy(),
    "retry_request": RetryRequest(args={"order_id": 43}),
    "schedule_spec": SCHEDULE,
    "schedule_view": ScheduleView(id="sch_0000000000001", spec=SCHEDULE, next_at=NOON),
    "unique_policy": UniquePolicy(key=b"\x00\xff"),
    "worker_view": WorkerView(
        id="wrk_0000000000007",
        host="db1",
        process_id=42,
        concurrency=100,
        started_at=NOON,
        seen_at=LATER,
        alive=True,
        queues={"mail": 2},
    ),
}
