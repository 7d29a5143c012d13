-- What the engine does to jobs by itself. Each statement is one guarded function of the schema (migrations 0003 to 0005),
-- which states the indexes it relies on and the order in which it locks.

-- name: stage :one
select staged, rung from taskforge.stage(%(limit)s);

-- name: expire :one
select due, rung from taskforge.expire(%(limit)s);

-- name: rescue :one
select rescued, buried, rung from taskforge.rescue(%(limit)s);

-- name: mark_late :one
select taskforge.mark_late();

-- name: resolve_late :one
select told, rung from taskforge.resolve_late();

-- name: resolve_cascade :one
select told, rung from taskforge.resolve_cascade(%(limit)s);

-- name: ring :one
select taskforge.ring(%(queues)s);

-- name: look :one
-- One look at everything that may be due, by the heads of scheduled_by_time, schedule_due,
-- expiring_by_time and ready_by_lane; locks nothing.
select
    extract(epoch from (select min(run_at) from taskforge.scheduled) - now())::double precision as stage_in,
    extract(epoch from (select min(next_fire_at) from taskforge.schedule where paused_at is null and orphaned_at is null)
        - now())::double precision as fire_in,
    extract(epoch from (select min(expires_at) from taskforge.expiring) - now())::double precision as expire_in,
    exists (select from taskforge.late) or exists (select from taskforge.cascade) as unresolved,
    exists (select from taskforge.worker where expires_at < now()) as lease_lost,
    -- Ready for a while and claimed by nobody: sent within somebody's transaction or through SQL, where nobody rings. The window
    -- is twice the time between two looks, so that a look never reads the dead entries of more.
    (select array_agg(distinct l.queue_id) from taskforge.lane l where exists (
        select from taskforge.ready r where r.queue_id = l.queue_id and r.priority = l.priority
            and r.ord between (extract(epoch from now()) * 1000000)::bigint - 600000
                and (extract(epoch from now()) * 1000000)::bigint - 20000)) as unrung;
