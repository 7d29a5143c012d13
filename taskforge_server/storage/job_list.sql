-- Jobs as lists show them, the newest first. Nothing here locks.

-- name: list_jobs :many
-- Any state: walks job's primary key backwards, partition by partition, until enough rows fit.
select j.id, j.task, q.name as queue, j.priority, coalesce(n.state, 3::smallint) as state, coalesce(n.attempt, 0::smallint) as attempt,
    coalesce(n.max_attempts, j.max_attempts) as max_attempts, taskforge.minted_at(j.id) as created_at, n.run_at,
    n.claimed_at as started_at, n.finished_at, n.worker_id, j.key, j.tags, j.meta, j.parents,
    (select o.detail from taskforge.outcome o where o.job_id = j.id order by o.attempt desc limit 1) as detail
from taskforge.job j
join taskforge.queue q on q.id = j.queue_id
left join lateral taskforge.job_now(j.id) n on true
where j.project_id = %(project)s and j.id < %(before)s and j.id >= %(from)s
    and (%(queue)s::text is null or q.name = %(queue)s)
    and (%(task)s::text is null or j.task = %(task)s)
    and (%(tag)s::text is null or j.tags @> array[%(tag)s])
    and (%(state)s::smallint is null or n.state = %(state)s)
order by j.id desc limit %(limit)s;

-- name: list_live_jobs :many
-- One state that has a table of its own (blocked, scheduled, ready, running, dead): reads that table by job, newest first.
select j.id, j.task, q.name as queue, j.priority, n.state, coalesce(n.attempt, 0::smallint) as attempt,
    coalesce(n.max_attempts, j.max_attempts) as max_attempts, taskforge.minted_at(j.id) as created_at, n.run_at,
    n.claimed_at as started_at, n.finished_at, n.worker_id, j.key, j.tags, j.meta, j.parents,
    (select o.detail from taskforge.outcome o where o.job_id = j.id order by o.attempt desc limit 1) as detail
from (
    select job_id from taskforge.blocked where %(state)s = 1
    union all select job_id from taskforge.scheduled where %(state)s = 2
    union all select job_id from taskforge.ready where %(state)s = 3
    union all select job_id from taskforge.running where %(state)s = 4
    union all select job_id from taskforge.dead where %(state)s = 8) live
join taskforge.job j on j.id = live.job_id
join taskforge.queue q on q.id = j.queue_id
left join lateral taskforge.job_now(j.id) n on true
where j.project_id = %(project)s and j.id < %(before)s and j.id >= %(from)s
    and (%(queue)s::text is null or q.name = %(queue)s)
    and (%(task)s::text is null or j.task = %(task)s)
    and (%(tag)s::text is null or j.tags @> array[%(tag)s])
order by j.id desc limit %(limit)s;

-- name: known_tasks :many
-- Names of tasks among the newest jobs, to find what a mistyped name meant.
select distinct task from (
    select j.task from taskforge.job j where j.project_id = %(project)s order by j.id desc limit 2000) newest
order by task;
