-- Jobs as lists show them, the newest first. Nothing here locks.

-- name: list_window :one
-- Numbers below `before`, from the end of the primary key of job, or of the index by job of a live state's table.
select taskforge.list_window(%(state)s, %(before)s, %(from)s, %(window)s) as jobs;

-- name: list_shown :many
-- Those of a window that fit; by primary keys alone.
select id, task, queue, priority, state, attempt, max_attempts, created_at, run_at, started_at, finished_at, worker_id, key, tags,
    meta, parents, detail
from taskforge.list_shown(%(project)s, %(jobs)s, %(state)s, %(queue)s, %(task)s, %(tag)s, %(limit)s);

-- name: known_tasks :many
-- Names of tasks among the newest jobs, to find what a mistyped name meant.
select distinct task from (
    select j.task from taskforge.job j where j.project_id = %(project)s order by j.id desc limit 2000) newest
order by task;
