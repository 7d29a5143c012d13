-- Queues as people see them: depths, pausing.

-- name: list_queues :many
-- Depths are counted from the live tables, never from history.
select q.name, q.paused_at is not null as paused, q.pause_reason, coalesce(r.count, 0) as ready, coalesce(s.count, 0) as scheduled,
    coalesce(b.count, 0) as blocked, coalesce(u.count, 0) as running, coalesce(d.count, 0) as dead,
    to_timestamp(r.oldest / 1e6) as oldest_ready_at
from taskforge.queue q
left join (select queue_id, count(*), min(ord) as oldest from taskforge.ready group by queue_id) r on r.queue_id = q.id
left join (select queue_id, count(*) from taskforge.scheduled group by queue_id) s on s.queue_id = q.id
left join (select queue_id, count(*) from taskforge.blocked group by queue_id) b on b.queue_id = q.id
left join (select queue_id, count(*) from taskforge.running group by queue_id) u on u.queue_id = q.id
left join (select queue_id, count(*) from taskforge.dead group by queue_id) d on d.queue_id = q.id
where q.project_id = %(project)s order by q.name;

-- name: pause_queue :one
update taskforge.queue set paused_at = coalesce(paused_at, now()), pause_reason = %(reason)s
where project_id = %(project)s and name = %(queue)s returning id;

-- name: resume_queue :one
update taskforge.queue set paused_at = null, pause_reason = null
where project_id = %(project)s and name = %(queue)s returning id;

-- name: ring_queues :none
-- The doorbell, in a transaction of its own.
select taskforge.ring(%(queues)s);
