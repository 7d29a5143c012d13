-- What a finished job sets free. Every function here is VOLATILE PL/pgSQL on purpose: each of its statements takes a
-- snapshot of its own, and the protocol needs that between locking a child and counting it down.
--
-- Lock order, everywhere: running, edge, blocked, unique_work, each in key order.

-- Unique keys held until their job is final. ON CONFLICT DO UPDATE locks even a row that it leaves alone,
-- so keys must be released in key order, never in job order.
create function taskforge.release_unique(p_jobs bigint[]) returns void
language plpgsql as $$
begin
    delete from taskforge.unique_work where ctid = any (array(
        select u.ctid from taskforge.unique_work u
        where u.job_id = any (p_jobs) and u.until is null
        order by u.project_id, u.key for update));
end $$;

-- Records that jobs ended without (or after) an attempt: cancelled, expired. An attempt that already stands in history keeps its error.
create function taskforge.close(p_jobs bigint[], p_attempts smallint[], p_state smallint, p_reason text, p_note text)
returns void
language plpgsql as $$
begin
    insert into taskforge.outcome as o (job_id, token, finished_at, duration_us, attempt, state, detail)
    select c.job_id, 0, clock_timestamp(), 0, c.attempt, p_state,
        jsonb_strip_nulls(jsonb_build_object('reason', p_reason, 'note', p_note))
    from unnest(p_jobs, p_attempts) c (job_id, attempt)
    on conflict (job_id, attempt) do update
        set state = excluded.state, finished_at = excluded.finished_at, token = 0,
            detail = coalesce(o.detail, '{}') || excluded.detail;
end $$;

-- Tells the children of parents that are final. `p_bad` holds those that did not succeed.
-- Returns the queues that got ready jobs.
create function taskforge.resolve(p_parents bigint[], p_bad bigint[]) returns int[]
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_children bigint[];
    v_counts int[];
    v_bads int[];
    v_killed bigint[];
    v_killed_attempts smallint[];
    v_unique bigint[];
    v_queues int[];
    v_now bigint;
    v_time timestamptz;
begin
    -- Whoever deletes the edge row does the counting down, so each edge counts once.
    with gone as (
        delete from taskforge.edge where parent_id = any (p_parents) returning parent_id, children),
    hit as (
        select child, count(*)::int as parents, (count(*) filter (where g.parent_id = any (p_bad)))::int as bad
        from gone g cross join lateral unnest(g.children) child group by child)
    select array_agg(h.child), array_agg(h.parents), array_agg(h.bad) into v_children, v_counts, v_bads
    from (select * from hit order by child) h
    cross join lateral (select from taskforge.blocked b where b.job_id = h.child for update) b;
    if v_children is null then
        return null;
    end if;

    -- One reading of the clock decides whether a child is due: two could place it twice or nowhere.
    v_now := taskforge.now_us();
    v_time := clock_timestamp();
    with hit as (
        select * from unnest(v_children, v_counts, v_bads) h (child, parents, bad)),
    killed as (
        delete from taskforge.blocked b using hit h
        where b.job_id = h.child and h.bad > 0 and b.on_parent_failure = 0
        returning b.job_id, b.flags, b.attempt),
    told as (
        insert into taskforge.cascade (job_id) select job_id from killed),
    freed as (
        delete from taskforge.blocked b using hit h
        where b.job_id = h.child and (h.bad = 0 or b.on_parent_failure = 1) and b.remaining <= h.parents
        returning b.job_id, b.queue_id, b.priority, b.attempt, b.max_attempts, b.flags, b.run_at),
    now_ready as (
        insert into taskforge.ready (ord, job_id, queue_id, priority, attempt, max_attempts, flags)
        select v_now + row_number() over (), job_id, queue_id, priority, attempt, max_attempts, flags
        from freed where run_at is null or run_at <= v_time),
    later as (
        insert into taskforge.scheduled (run_at, job_id, queue_id, priority, attempt, max_attempts, flags)
        select run_at, job_id, queue_id, priority, attempt, max_attempts, flags
        from freed where run_at > v_time),
    counted as (
        update taskforge.blocked b set remaining = b.remaining - h.parents from hit h
        where b.job_id = h.child and (h.bad = 0 or b.on_parent_failure = 1) and b.remaining > h.parents)
    select (select array_agg(distinct queue_id) from freed),
        (select array_agg(job_id order by job_id) from killed),
        (select array_agg(attempt order by job_id) from killed),
        (select array_agg(job_id) from killed where flags & 4 = 4)
    into v_queues, v_killed, v_killed_attempts, v_unique;

    if v_killed is not null then
        perform taskforge.close(v_killed, v_killed_attempts, 7::smallint, 'parent_failed', null);
        if v_unique is not null then
            perform taskforge.release_unique(v_unique);
        end if;
    end if;
    return v_queues;
end $$;

-- Tells the children of jobs that were themselves cancelled by a parent; bounded, so that a long chain never makes a long transaction.
create function taskforge.resolve_cascade(p_limit int) returns table (told int, rung int[])
language plpgsql as $$
declare
    v_jobs bigint[];
begin
    with gone as (
        delete from taskforge.cascade where job_id = any (array(
            select job_id from taskforge.cascade order by job_id limit p_limit for update skip locked))
        returning job_id)
    select array_agg(job_id) into v_jobs from gone;
    told := coalesce(cardinality(v_jobs), 0);
    if told > 0 then
        rung := taskforge.resolve(v_jobs, v_jobs);
    end if;
    return next;
end $$;

-- The state of a job that is final, or null while it lives (again).
create function taskforge.final_state(p_job bigint) returns smallint
language sql stable as $$
    select o.state from taskforge.outcome o
    where o.job_id = p_job and o.state >= 5
        and not exists (select from taskforge.ready where job_id = p_job)
        and not exists (select from taskforge.scheduled where job_id = p_job)
        and not exists (select from taskforge.blocked where job_id = p_job)
        and not exists (select from taskforge.running where job_id = p_job)
    order by o.attempt desc limit 1
$$;

-- Marks late rows in a transaction of its own (autocommit, nothing before it): a finish that could have missed the edge has a lower xid.
-- The sweep's own xid is the horizon; one past the highest completed xid is not enough, an open finish may be above it.
create function taskforge.mark_late() returns int
language plpgsql as $$
declare
    v_count int;
begin
    if not exists (select from taskforge.late where horizon is null) then
        return 0;
    end if;
    update taskforge.late set horizon = pg_current_xact_id() where horizon is null;
    get diagnostics v_count = row_count;
    return v_count;
end $$;

-- Resolves late parents that are final, and drops the rows that no open finish can concern any more.
create function taskforge.resolve_late() returns table (told int, rung int[])
language plpgsql as $$
declare
    v_parents bigint[];
    v_bad bigint[];
begin
    told := 0;
    if exists (select from taskforge.late) then
        with over as (
            delete from taskforge.late where horizon <= pg_snapshot_xmin(pg_current_snapshot())),
        final as (
            select d.parent_id, taskforge.final_state(d.parent_id) as state
            from (select distinct parent_id from taskforge.late where horizon is not null) d)
        select array_agg(parent_id), array_agg(parent_id) filter (where state <> 5)
        into v_parents, v_bad from final where state is not null;
        if v_parents is not null then
            told := cardinality(v_parents);
            rung := taskforge.resolve(v_parents, coalesce(v_bad, '{}'));
        end if;
    end if;
    return next;
end $$;
