-- Schedules: put, shown, found due, fired. Lock order: schedules by id, then whatever an enqueue locks.

-- name: ensure_lane :one
select taskforge.ensure_lane(%(project)s, %(queue)s, %(priority)s::smallint), now();

-- name: put :one
-- The same again changes nothing but `declared_at`; other times move the next fire, other work keeps it.
insert into taskforge.schedule as s (project_id, name, specification, task, payload, encoding, queue_id, priority, max_attempts,
    timeout_ms, options, next_fire_at)
values (%(project)s, %(name)s, %(specification)s, %(task)s, %(payload)s, %(encoding)s, %(queue_id)s, %(priority)s,
    %(max_attempts)s, %(timeout_ms)s, %(options)s, %(next_fire_at)s)
on conflict (project_id, name) do update set
    specification = excluded.specification, task = excluded.task, payload = excluded.payload, encoding = excluded.encoding,
    queue_id = excluded.queue_id, priority = excluded.priority, max_attempts = excluded.max_attempts,
    timeout_ms = excluded.timeout_ms, options = excluded.options, declared_at = now(), orphaned_at = null,
    next_fire_at = case
        when s.specification = excluded.specification and s.orphaned_at is null and s.next_fire_at is not null then s.next_fire_at
        else excluded.next_fire_at end
returning id, next_fire_at;

-- name: due :many
-- By schedule_due; a schedule that another node has in hand is left to it.
select s.id, s.name, s.specification, s.next_fire_at, now() as now from taskforge.schedule s
where s.next_fire_at <= now() and s.paused_at is null and s.orphaned_at is null
order by s.next_fire_at limit %(limit)s for update skip locked;

-- name: fire :many
select job_id, queue_id from taskforge.fire_schedule(%(schedule)s, %(fire_at)s, %(next_fire_at)s);

-- name: postpone :none
-- A schedule that can't be worked out any more stops; the next `put` starts it again.
update taskforge.schedule set next_fire_at = %(next_fire_at)s where id = %(schedule)s;

-- name: list :many
select s.id, s.name, s.specification, s.task, s.payload, s.encoding, s.options, s.next_fire_at, s.last_fire_at,
    s.paused_at is not null as paused, s.orphaned_at is not null as orphaned,
    (select f.job_id from taskforge.schedule_fire f where f.schedule_id = s.id order by f.fire_at desc limit 1) as last_job
from taskforge.schedule s
where s.project_id = %(project)s and (%(name)s::text is null or s.name = %(name)s)
order by s.name;

-- name: trigger :many
-- Fires once by hand, now, beside its times.
select f.job_id, f.queue_id
from taskforge.schedule s cross join lateral taskforge.fire_schedule(s.id, clock_timestamp(), null) f
where s.project_id = %(project)s and s.name = %(name)s;

-- name: pause :many
update taskforge.schedule set paused_at = coalesce(paused_at, now()) where project_id = %(project)s and name = %(name)s returning id;

-- name: resume :many
-- Times that passed in a pause are not made up for: the next is counted from now by the caller.
update taskforge.schedule set paused_at = null, next_fire_at = %(next_fire_at)s
where project_id = %(project)s and name = %(name)s returning id;

-- name: mark_orphaned :many
-- Schedules of these tasks that the application no longer declares.
update taskforge.schedule set orphaned_at = now()
where project_id = %(project)s and orphaned_at is null and task = any (%(tasks)s) and not (name = any (%(names)s)) returning name;
