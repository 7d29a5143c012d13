-- What the doctor asks. Reads only.

-- name: database_facts :one
select current_setting('server_version') as version, current_setting('server_version_num')::int as version_number,
    current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes,
    current_setting('synchronous_commit') as synchronous_commit, current_setting('autovacuum') as autovacuum,
    current_setting('max_connections')::int as max_connections,
    (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as connections,
    pg_is_in_recovery() as is_replica, clock_timestamp() as now,
    (select extract(epoch from max(clock_timestamp() - xact_start))::double precision from pg_stat_activity
     where state <> 'idle' and xact_start is not null and pid <> pg_backend_pid() and backend_type = 'client backend')
        as oldest_transaction_seconds;

-- name: work_facts :one
select (select count(*) from taskforge.worker where expires_at > now()) as workers,
    (select count(*) from taskforge.worker where expires_at <= now()) as expired_workers,
    (select count(*) from taskforge.running r
     where not exists (select from taskforge.worker w where w.id = r.worker_id)) as orphans,
    (select count(*) from taskforge.scheduled where run_at < now() - interval '30 seconds') as overdue,
    (select count(*) from taskforge.schedule
     where paused_at is null and orphaned_at is null and next_fire_at < now() - interval '1 minute') as late_schedules,
    (select count(*) from taskforge.dead) as dead,
    exists (select from taskforge.leader where expires_at > now()) as has_leader;

-- name: unserved_queues :many
-- Queues that are not paused, hold ready jobs for longer than a minute, and that no living worker listens to.
select q.name, w.oldest_at, w.count
from (select queue_id, to_timestamp(min(ord) / 1e6) as oldest_at, count(*) as count from taskforge.ready group by queue_id) w
join taskforge.queue q on q.id = w.queue_id
where q.paused_at is null and w.oldest_at < now() - interval '1 minute'
    and not exists (select from taskforge.worker k where k.expires_at > now() and k.queues ? q.name)
order by q.name;

-- name: partition_facts :one
-- Whether the partitions for the coming days are there.
select count(*) filter (where c.relname = 'job_' || to_char((now() at time zone 'UTC')::date, 'YYYYMMDD')) as today,
    count(*) filter (where c.relname = 'job_' || to_char((now() at time zone 'UTC')::date + 1, 'YYYYMMDD')) as tomorrow,
    count(*) as attached
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'taskforge.job'::regclass;

-- name: bloat_facts :many
select relname as table_name, n_dead_tup as dead_rows, n_live_tup as live_rows
from pg_stat_user_tables
where schemaname = 'taskforge' and relname in ('ready', 'running', 'scheduled', 'blocked') and n_dead_tup > 500000;
