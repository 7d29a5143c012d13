-- Lists of jobs at any size: a window of numbers is read from the end of an index, then shown. No plan depends on statistics.

-- The next numbers below `p_before`, the highest first: those in the table of a live state, else of all jobs.
create function taskforge.list_window(p_state smallint, p_before bigint, p_from bigint, p_limit int) returns bigint[]
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
declare
    v_jobs bigint[];
begin
    if taskforge.live_table(p_state) is null then
        select array_agg(w.id order by w.id desc) into v_jobs
        from (select j.id from taskforge.job j where j.id < p_before and j.id >= p_from order by j.id desc limit p_limit) w;
    else
        execute format('select array_agg(w.job_id order by w.job_id desc) from (select l.job_id from taskforge.%I l'
            ' where l.job_id < $1 and l.job_id >= $2 order by l.job_id desc limit $3) w', taskforge.live_table(p_state))
        using p_before, p_from, p_limit into v_jobs;
    end if;
    return v_jobs;
end $$;

-- Those of the given jobs that fit, as lists show them, the newest first.
create function taskforge.list_shown(
    p_project int, p_jobs bigint[], p_state smallint, p_queue text, p_task text, p_tag text, p_limit int)
returns table (id bigint, task text, queue text, priority smallint, state smallint, attempt smallint, max_attempts smallint,
    created_at timestamptz, run_at timestamptz, started_at timestamptz, finished_at timestamptz, worker_id bigint, key text,
    tags text[], meta jsonb, parents bigint[], detail jsonb)
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off set plan_cache_mode = force_generic_plan
as $$
begin
    return query
    select j.id, j.task, q.name, j.priority, coalesce(n.state, 3::smallint), coalesce(n.attempt, 0::smallint),
        coalesce(n.max_attempts, j.max_attempts), taskforge.minted_at(j.id), n.run_at, n.claimed_at, n.finished_at, n.worker_id,
        j.key, j.tags, j.meta, j.parents,
        (select o.detail from taskforge.outcome o where o.job_id = j.id order by o.attempt desc limit 1)
    from unnest(p_jobs) with ordinality asked (id, place)
    cross join lateral (
        select * from taskforge.job b
        where b.id = asked.id and b.project_id = p_project and (p_task is null or b.task = p_task)
            and (p_tag is null or b.tags @> array[p_tag]) offset 0) j
    cross join lateral (
        select c.name from taskforge.queue c where c.id = j.queue_id and (p_queue is null or c.name = p_queue) offset 0) q
    left join lateral taskforge.job_now(j.id) n on true
    where p_state is null or n.state = p_state
    limit p_limit;
end $$;
