-- History that is dropped whole. Bounds are job numbers; a span's days follow from them.

-- name: attached :many
-- Every partition of job, with its bounds; `pending`: a detachment was cut short and must be finished.
select c.relname, pg_get_expr(c.relpartbound, c.oid) as bound, i.inhdetachpending as pending
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = %(parent)s::regclass order by c.relname;

-- name: left_over :many
-- Partitions that were detached and whose drop had to wait for a reader.
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'taskforge' and c.relkind = 'r' and not c.relispartition and c.relname ~ '^(job|outcome)_[0-9]{8}(_[0-9]{8})?$'
order by c.relname;

-- name: is_busy :one
-- Whether a live job's number lies in the range; by the indexes on job_id.
select exists (select from taskforge.ready where job_id >= %(low)s and job_id < %(high)s)
    or exists (select from taskforge.scheduled where job_id >= %(low)s and job_id < %(high)s)
    or exists (select from taskforge.blocked where job_id >= %(low)s and job_id < %(high)s)
    or exists (select from taskforge.running where job_id >= %(low)s and job_id < %(high)s)
    or exists (select from taskforge.dead where job_id >= %(low)s and job_id < %(high)s);

-- name: forget_keys :one
with gone as (delete from taskforge.job_key where ctid = any (array(
    select ctid from taskforge.job_key where job_id >= %(low)s and job_id < %(high)s limit %(limit)s)) returning 1)
select count(*) from gone;

-- name: forget_unique :one
-- In key order, as everywhere.
with gone as (delete from taskforge.unique_work where ctid = any (array(
    select ctid from taskforge.unique_work where job_id >= %(low)s and job_id < %(high)s
    order by project_id, key limit %(limit)s for update)) returning 1)
select count(*) from gone;

-- name: forget_edited :one
with gone as (delete from taskforge.edited where ctid = any (array(
    select ctid from taskforge.edited where old_job_id >= %(low)s and old_job_id < %(high)s limit %(limit)s)) returning 1)
select count(*) from gone;

-- name: lock_partitions :one
-- The lock under which partitions are made, so that making, merging and dropping take turns.
select pg_advisory_xact_lock(7268430001);
