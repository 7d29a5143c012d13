-- The SQL face: what triggers, other languages and open transactions may use. Everything else in this schema may change at any time.

-- Enqueues one job in the caller's transaction and returns its id. `args` is an object of named arguments.
create function taskforge.enqueue(
    task text, args jsonb default '{}', queue text default 'default', priority int default 0, delay interval default null,
    run_at timestamptz default null, expires interval default null, key text default null, tags text[] default null,
    meta jsonb default null, max_attempts int default 5, timeout interval default '1 hour', after text[] default null,
    on_parent_failure text default 'cancel') returns text
language plpgsql security definer set search_path = pg_catalog as $$
declare
    v_project int := taskforge.current_project();
    v_options jsonb;
begin
    if task is null or task = '' then
        raise exception 'task: it is empty; expected a name such as module:function' using errcode = 'TF422';
    end if;
    if jsonb_typeof(args) is distinct from 'object' then
        raise exception 'args: it is %; expected an object of named arguments', coalesce(jsonb_typeof(args), 'null') using errcode = 'TF422';
    end if;
    if delay < interval '0' then
        raise exception 'delay: % is negative; expected zero or more', delay using errcode = 'TF422';
    end if;
    if delay is not null and run_at is not null then
        raise exception 'run_at: it was given beside delay; expected one of the two' using errcode = 'TF422';
    end if;
    if max_attempts not between 1 and 10000 then
        raise exception 'max_attempts: % is out of range; expected 1 to 10000', max_attempts using errcode = 'TF422';
    end if;
    if on_parent_failure not in ('cancel', 'run_anyway') then
        raise exception 'on_parent_failure: % is unknown; expected cancel or run_anyway', quote_literal(on_parent_failure)
            using errcode = 'TF422';
    end if;
    v_options := jsonb_strip_nulls(jsonb_build_object(
        'delay_ms', extract(epoch from delay) * 1000, 'run_at', run_at, 'expires_ms', extract(epoch from expires) * 1000, 'key', key,
        'tags', to_jsonb(tags), 'meta', meta,
        'after', (select jsonb_agg(taskforge.text_number('job_', parent)) from unnest(after) parent),
        'on_parent_failure', case on_parent_failure when 'run_anyway' then 1 end));
    return (select taskforge.number_text('job_', e.job_id) from taskforge.enqueue_one(
        v_project, null, taskforge.ensure_lane(v_project, queue, priority::smallint), priority::smallint, max_attempts::smallint,
        (extract(epoch from timeout) * 1000)::int, 0::smallint, 1::smallint, task, convert_to(args::text, 'UTF8'), v_options) e);
end $$;

-- Enqueues one job of `task` for each element of `args` and returns their ids in order.
create function taskforge.enqueue_many(
    task text, args jsonb[], queue text default 'default', priority int default 0, max_attempts int default 5,
    timeout interval default '1 hour') returns text[]
language plpgsql security definer set search_path = pg_catalog as $$
declare
    v_project int := taskforge.current_project();
    v_queue int := taskforge.ensure_lane(v_project, queue, priority::smallint);
    v_total int := coalesce(cardinality(args), 0);
    v_chunk jsonb[];
    v_count int;
    v_base bigint;
    v_ids text[] := '{}';
begin
    for place in 1 .. v_total by 1000 loop
        v_chunk := args[place : least(place + 999, v_total)];
        v_count := cardinality(v_chunk);
        if exists (select from unnest(v_chunk) one where jsonb_typeof(one) is distinct from 'object') then
            raise exception 'args: one of elements % to % is not an object of named arguments', place, place + v_count - 1
                using errcode = 'TF422';
        end if;
        v_base := taskforge.mint();
        perform taskforge.enqueue_plain(v_project,
            (select array_agg(v_base + offset_ids) from generate_series(0, v_count - 1) offset_ids), array_fill(v_queue, array[v_count]),
            array_fill(priority::smallint, array[v_count]), array_fill(max_attempts::smallint, array[v_count]),
            array_fill((extract(epoch from timeout) * 1000)::int, array[v_count]), array_fill(0::smallint, array[v_count]),
            array_fill(1::smallint, array[v_count]), array_fill(task, array[v_count]),
            (select array_agg(convert_to(one::text, 'UTF8') order by rank) from unnest(v_chunk) with ordinality c (one, rank)));
        v_ids := v_ids || (select array_agg(taskforge.number_text('job_', v_base + offset_ids))
            from generate_series(0, v_count - 1) offset_ids);
    end loop;
    return v_ids;
end $$;

create function taskforge.state_name(p_state smallint) returns text
language sql immutable strict as $$
    select (array['blocked', 'scheduled', 'ready', 'running', 'succeeded', 'failed', 'cancelled', 'dead'])[p_state]
$$;

-- Where a job is now: its state, attempt, budget, time it is due and worker. Live tables first, else the last word of history.
create function taskforge.job_now(p_job bigint)
returns table (state smallint, attempt smallint, max_attempts smallint, run_at timestamptz, claimed_at timestamptz, worker_id bigint,
    finished_at timestamptz)
language sql stable as $$
    select * from (
        select 4::smallint, r.attempt, r.max_attempts, null::timestamptz, r.claimed_at, r.worker_id, null::timestamptz
        from taskforge.running r where r.job_id = p_job
        union all
        select 3::smallint, r.attempt, r.max_attempts, null, null, null, null from taskforge.ready r where r.job_id = p_job
        union all
        select 2::smallint, s.attempt, s.max_attempts, s.run_at, null, null, null from taskforge.scheduled s where s.job_id = p_job
        union all
        select 1::smallint, b.attempt, b.max_attempts, b.run_at, null, null, null from taskforge.blocked b where b.job_id = p_job
        union all
        (select o.state, o.attempt, null::smallint, null, null, o.worker_id, o.finished_at
         from taskforge.outcome o where o.job_id = p_job order by o.attempt desc limit 1)
    ) places limit 1
$$;

create view taskforge.jobs as
    select taskforge.number_text('job_', j.id) as id, p.name as project, q.name as queue, j.task, j.priority,
        taskforge.state_name(n.state) as state, coalesce(n.attempt, 0) as attempt, coalesce(n.max_attempts, j.max_attempts) as max_attempts,
        taskforge.minted_at(j.id) as created_at, n.run_at, n.claimed_at as started_at, n.finished_at,
        j.key, j.tags, j.meta, j.expires_at
    from taskforge.job j
    join taskforge.queue q on q.id = j.queue_id
    join taskforge.project p on p.id = j.project_id
    left join lateral taskforge.job_now(j.id) n on true
    where j.project_id = taskforge.current_project();

create view taskforge.attempts as
    select taskforge.number_text('job_', o.job_id) as job, o.attempt, taskforge.state_name(o.state) as moved_to,
        o.finished_at - make_interval(secs => o.duration_us / 1e6) as started_at, o.finished_at, o.duration_us / 1000.0 as duration_ms,
        o.worker_id, o.detail -> 'error' ->> 'type' as error_type, o.detail -> 'error' ->> 'message' as error_message,
        o.detail ->> 'reason' as reason, o.detail ->> 'log' as log
    from taskforge.outcome o join taskforge.job j on j.id = o.job_id
    where j.project_id = taskforge.current_project() and o.attempt > 0;

create view taskforge.queues as
    select q.name, q.paused_at is not null as paused, q.pause_reason, q.paused_at, q.created_at
    from taskforge.queue q where q.project_id = taskforge.current_project();

-- Everything there is to show of one job; no row where the project has no such job.
create function taskforge.show_job(p_project int, p_job bigint)
returns table (task text, queue text, state smallint, priority smallint, attempt smallint, max_attempts smallint, run_at timestamptz,
    claimed_at timestamptz, worker_id bigint, finished_at timestamptz, key text, tags text[], meta jsonb, parents bigint[],
    payload bytea, encoding smallint, result bytea, detail jsonb, attempts jsonb, done double precision, total double precision,
    note text, edited_from bigint, edited_as bigint)
language sql stable as $$
    select j.task, q.name, n.state, j.priority, coalesce(n.attempt, 0::smallint), coalesce(n.max_attempts, j.max_attempts), n.run_at,
        n.claimed_at, n.worker_id, n.finished_at, j.key, j.tags, j.meta, j.parents, j.payload, j.encoding, last.result, last.detail,
        (select jsonb_agg(jsonb_build_object('attempt', o.attempt, 'state', o.state, 'finished_at', o.finished_at,
                'duration_us', o.duration_us, 'worker', o.worker_id, 'detail', o.detail) order by o.attempt)
            from taskforge.outcome o where o.job_id = p_job and o.attempt > 0),
        p.done, p.total, p.note,
        (select e.old_job_id from taskforge.edited e where e.new_job_id = p_job limit 1),
        (select e.new_job_id from taskforge.edited e where e.old_job_id = p_job)
    from taskforge.job j
    join taskforge.queue q on q.id = j.queue_id
    left join lateral taskforge.job_now(p_job) n on true
    left join lateral (
        select o.result, o.detail from taskforge.outcome o
        where o.job_id = p_job and n.state >= 5 order by o.attempt desc limit 1) last on true
    left join taskforge.progress p on p.job_id = p_job
    where j.id = p_job and j.project_id = p_project
$$;

-- Which of these jobs are final: a final outcome, and not run again since.
create function taskforge.finals(p_jobs bigint[]) returns bigint[]
language sql stable as $$
    select array_agg(x) from unnest(p_jobs) x
    where exists (select from taskforge.outcome o where o.job_id = x and o.state >= 5) and taskforge.final_state(x) is not null
$$;
