-- Keeping the house: partitions ahead, rows whose job is gone or ended, dead tuples.

-- name: ensure_partitions :one
select taskforge.ensure_partitions(%(days_ahead)s);

-- name: prune_cancel_requests :one
-- Requests whose job no worker holds any more.
with gone as (
    delete from taskforge.cancel_request c where c.job_id = any (array(
        select c2.job_id from taskforge.cancel_request c2
        where c2.requested_at < now() - interval '1 minute'
            and not exists (select from taskforge.running r where r.job_id = c2.job_id) limit %(limit)s))
    returning 1)
select count(*) from gone;

-- name: prune_progress :one
with gone as (
    delete from taskforge.progress p where p.job_id = any (array(
        select p2.job_id from taskforge.progress p2
        where p2.reported_at < now() - interval '1 hour'
            and not exists (select from taskforge.running r where r.job_id = p2.job_id) limit %(limit)s))
    returning 1)
select count(*) from gone;

-- name: prune_unique_windows :one
with gone as (
    delete from taskforge.unique_work u where u.ctid = any (array(
        select u2.ctid from taskforge.unique_work u2 where u2.until < now() - interval '1 minute'
        order by u2.project_id, u2.key limit %(limit)s for update skip locked))
    returning 1)
select count(*) from gone;

-- name: prune_fires :one
-- Old fire times, except each schedule's last, which shows when it ran.
with gone as (
    delete from taskforge.schedule_fire f where (f.schedule_id, f.fire_at) in (
        select f2.schedule_id, f2.fire_at from taskforge.schedule_fire f2
        where f2.fire_at < now() - make_interval(days => %(days)s)
            and f2.fire_at < (select max(f3.fire_at) from taskforge.schedule_fire f3 where f3.schedule_id = f2.schedule_id)
        limit %(limit)s)
    returning 1)
select count(*) from gone;

-- name: bloated :many
-- Hot tables with many dead rows; partitions are insert-only and left to autovacuum.
select s.relname, s.n_dead_tup
from pg_stat_user_tables s
where s.schemaname = 'taskforge' and s.n_dead_tup >= %(dead_rows)s
    and s.relname = any (array['ready', 'scheduled', 'blocked', 'running', 'dead', 'edge', 'late', 'cascade', 'unique_work', 'job_key',
        'expiring', 'worker', 'leader', 'progress', 'cancel_request', 'schedule', 'schedule_fire', 'queue_sample'])
order by s.n_dead_tup desc;
