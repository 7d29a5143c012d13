-- Queues as people see them: depths, pausing.

-- name: list_queues :many
-- Depths as taskforge.queue_depths() tells them: quick at any backlog. `sampled_at` is the time of the oldest sample among them.
select q.name, q.paused_at is not null as paused, q.pause_reason, coalesce(d.ready, 0) as ready, coalesce(d.scheduled, 0) as scheduled,
    coalesce(d.blocked, 0) as blocked, coalesce(d.running, 0) as running, coalesce(d.dead, 0) as dead, d.sampled_at,
    taskforge.oldest_ready(q.id) as oldest_ready_at
from taskforge.queue q
left join (
    select queue_id, min(sampled_at) as sampled_at, sum(count) filter (where state = 1)::bigint as blocked,
        sum(count) filter (where state = 2)::bigint as scheduled, sum(count) filter (where state = 3)::bigint as ready,
        sum(count) filter (where state = 4)::bigint as running, sum(count) filter (where state = 8)::bigint as dead
    from taskforge.queue_depths() group by queue_id) d on d.queue_id = q.id
where q.project_id = %(project)s order by q.name;

-- name: sample_queues :many
select q.name, taskforge.state_name(s.state) as state, s.count, taskforge.oldest_ready(q.id) as oldest_ready_at, now() as now
from taskforge.sample_queues() s join taskforge.queue q on q.id = s.queue_id;

-- name: pause_queue :one
update taskforge.queue set paused_at = coalesce(paused_at, now()), pause_reason = %(reason)s
where project_id = %(project)s and name = %(queue)s returning id;

-- name: resume_queue :one
update taskforge.queue set paused_at = null, pause_reason = null
where project_id = %(project)s and name = %(queue)s returning id;

-- name: ring_queues :none
-- The doorbell, in a transaction of its own.
select taskforge.ring(%(queues)s);
