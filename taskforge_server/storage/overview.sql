-- What people ask of the whole system. Reads only, except where a worker is told to drain.

-- name: list_workers :many
select w.id, w.host, w.process_id, w.queues, w.concurrency, w.version, w.started_at, w.seen_at, w.expires_at, w.draining,
    w.expires_at > now() as alive, (select count(*) from taskforge.running r where r.worker_id = w.id) as running
from taskforge.worker w where w.project_id = %(project)s order by w.id;

-- name: drain_workers :many
-- All workers of the project, or those named.
update taskforge.worker set draining = true
where project_id = %(project)s and (%(workers)s::bigint[] is null or id = any (%(workers)s)) returning id;

-- name: finished_total :one
-- Attempts that ended since the statistics began, from counters alone: costs the same at any size of history.
select coalesce(sum(n_tup_ins), 0)::bigint as count from pg_stat_user_tables
where schemaname = 'taskforge' and relname like 'outcome\_%%';
