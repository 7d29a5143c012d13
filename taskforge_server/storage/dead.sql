-- Dead letters: what was buried, in groups of like errors, run again or purged. A purged letter stays in the job's history.
-- Lock order: the rows of `dead` by job.

-- name: list_dead :many
-- By dead's primary key, newest job first.
select d.job_id, j.task, q.name as queue, d.died_at, d.reason, d.error_group, d.attempt,
    o.detail -> 'error' ->> 'type' as error_type, o.detail -> 'error' ->> 'message' as error_message
from taskforge.dead d
join taskforge.job j on j.id = d.job_id
join taskforge.queue q on q.id = d.queue_id
left join taskforge.outcome o on o.job_id = d.job_id and o.attempt = d.attempt
where q.project_id = %(project)s and d.job_id < %(before)s
    and (%(queue)s::text is null or q.name = %(queue)s)
    and (%(task)s::text is null or j.task = %(task)s)
    and (%(error_group)s::text is null or d.error_group = %(error_group)s)
order by d.job_id desc limit %(limit)s;

-- name: dead_groups :many
-- One pass over dead, then one job and its error for each group.
select g.error_group, g.count, g.first_at, g.last_at, g.sample as job_id, j.task, q.name as queue, g.reason, d.died_at, d.attempt,
    o.detail -> 'error' ->> 'type' as error_type, o.detail -> 'error' ->> 'message' as error_message
from (
    select d.error_group, d.reason, count(*) as count, min(d.died_at) as first_at, max(d.died_at) as last_at, max(d.job_id) as sample
    from taskforge.dead d join taskforge.queue p on p.id = d.queue_id
    where p.project_id = %(project)s and (%(queue)s::text is null or p.name = %(queue)s)
    group by d.error_group, d.reason order by count(*) desc limit %(limit)s) g
join taskforge.dead d on d.job_id = g.sample
join taskforge.job j on j.id = g.sample
join taskforge.queue q on q.id = j.queue_id
left join taskforge.outcome o on o.job_id = g.sample and o.attempt = d.attempt
order by g.count desc, g.error_group;

-- name: count_dead :one
select count(*) as count
from taskforge.dead d join taskforge.queue q on q.id = d.queue_id join taskforge.job j on j.id = d.job_id
where q.project_id = %(project)s
    and (%(jobs)s::bigint[] is null or d.job_id = any (%(jobs)s))
    and (%(queue)s::text is null or q.name = %(queue)s)
    and (%(task)s::text is null or j.task = %(task)s)
    and (%(error_group)s::text is null or d.error_group = %(error_group)s);

-- name: choose_dead :many
-- The next dead letters above a job, in job order, for one bounded transaction.
select d.job_id
from taskforge.dead d join taskforge.queue q on q.id = d.queue_id join taskforge.job j on j.id = d.job_id
where q.project_id = %(project)s and d.job_id > %(above)s
    and (%(jobs)s::bigint[] is null or d.job_id = any (%(jobs)s))
    and (%(queue)s::text is null or q.name = %(queue)s)
    and (%(task)s::text is null or j.task = %(task)s)
    and (%(error_group)s::text is null or d.error_group = %(error_group)s)
order by d.job_id limit %(limit)s;

-- name: retry_jobs :many
-- Runs ended jobs once more; answers those that were started.
select job_id, queue_id from taskforge.retry(%(project)s, %(jobs)s);

-- name: purge_dead :one
with gone as (
    delete from taskforge.dead d using taskforge.queue q
    where d.job_id = any (%(jobs)s) and q.id = d.queue_id and q.project_id = %(project)s returning d.job_id)
select count(*) as count from gone;
