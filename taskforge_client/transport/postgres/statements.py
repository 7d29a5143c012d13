"""The statements of the direct road: calls of the SQL face, and queues' own rows."""

from typing import Final

ENSURE_LANE: Final = "select taskforge.ensure_lane(%s, %s, %s::smallint)"
ENSURE_PARTITIONS: Final = "select taskforge.ensure_partitions()"
PROJECT: Final = "select id from taskforge.project where name = %s"
ENQUEUE_PLAIN: Final = "select taskforge.enqueue_plain(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
ENQUEUE_EACH: Final = (
    "select place, job_id, deduplicated, problem_state, problem"
    " from taskforge.enqueue_each(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
STORED: Final = "select task = %s and payload = %s from taskforge.job where id = %s"
RESERVE: Final = "select base, now_us from taskforge.reserve_blocks(%s)"
RING: Final = "select taskforge.ring(%s)"
CANCEL: Final = "select state, requested, worker_id from taskforge.cancel(%s, %s, %s)"
RETRY: Final = "select job_id, queue_id from taskforge.retry(%s, %s)"
RETRY_EDITED: Final = "select taskforge.retry_edited(%s, %s, %s, %s::smallint)"
WAKE_WORKER: Final = "select pg_notify('taskforge', 'cancel ' || %s)"
SHOW: Final = "select * from taskforge.show_job(%s, %s)"
SHOW_QUEUE: Final = (
    "select q.id, q.paused_at is not null, taskforge.oldest_ready(q.id)"
    " from taskforge.queue q where q.project_id = %s and q.name = %s"
)
QUEUE_DEPTHS: Final = (
    "select state, count, sampled_at from taskforge.queue_depths() where queue_id = %s"
)
PAUSE_QUEUE: Final = (
    "update taskforge.queue set paused_at = coalesce(paused_at, now())"
    " where project_id = %s and name = %s returning id"
)
RESUME_QUEUE: Final = (
    "update taskforge.queue set paused_at = null, pause_reason = null"
    " where project_id = %s and name = %s returning id"
)
FINALS: Final = "select taskforge.finals(%s)"
