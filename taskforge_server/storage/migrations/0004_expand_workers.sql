-- The worker conversation: register, claim, extend, finish, release, resign; and rescue for those who fell silent.
--
-- Plans are pinned by the shape of the statements and by the settings on the functions: tables that were analysed while
-- empty would otherwise keep a plan that reads everything once rows arrive.

create function taskforge.register_worker(
    p_project int, p_incarnation uuid, p_host text, p_process_id int, p_queues jsonb, p_concurrency int, p_version text,
    p_lease_seconds double precision) returns bigint
language sql as $$
    insert into taskforge.worker as w (incarnation, project_id, host, process_id, queues, concurrency, version, expires_at)
    values (p_incarnation, p_project, p_host, p_process_id, p_queues, p_concurrency, p_version,
        clock_timestamp() + make_interval(secs => p_lease_seconds))
    on conflict (incarnation) do update set seen_at = clock_timestamp()
    returning id
$$;

-- Extends the lease and says what the worker should know. A lease that ran out is never revived: no row comes back.
-- `p_known` (every so often) names all jobs the worker has in hand: a claim whose answer was lost is given back.
create function taskforge.heartbeat(p_worker bigint, p_lease_seconds double precision, p_known bigint[] default null)
returns table (draining boolean, cancelled jsonb, strays bigint[])
language plpgsql as $$
begin
    update taskforge.worker w
    set expires_at = clock_timestamp() + make_interval(secs => p_lease_seconds), seen_at = clock_timestamp()
    where w.id = p_worker and w.expires_at > clock_timestamp()
    returning w.draining into draining;
    if not found then
        return;
    end if;
    select jsonb_object_agg(c.job_id, c.reason) into cancelled
    from taskforge.cancel_request c join taskforge.running r on r.job_id = c.job_id
    where r.worker_id = p_worker;
    if p_known is not null then
        select array_agg(job_id order by job_id) into strays from taskforge.running r
        where r.worker_id = p_worker and r.claimed_at < clock_timestamp() - interval '30 seconds'
            and not (r.job_id = any (p_known));
        if strays is not null then
            perform taskforge.release(strays, (select array_agg(token) from (
                select r.token from unnest(strays) with ordinality s (job_id, place)
                join taskforge.running r on r.job_id = s.job_id order by s.place) t));
        end if;
    end if;
    return next;
end $$;

create function taskforge.report_progress(
    p_jobs bigint[], p_done double precision[], p_total double precision[], p_note text[]) returns void
language sql as $$
    insert into taskforge.progress (job_id, done, total, note, reported_at)
    select job_id, done, total, note, clock_timestamp()
    from unnest(p_jobs, p_done, p_total, p_note) p (job_id, done, total, note)
    where exists (select from taskforge.running r where r.job_id = p.job_id)
    order by job_id
    on conflict (job_id) do update
        set done = excluded.done, total = excluded.total, note = excluded.note, reported_at = excluded.reported_at
$$;

-- Takes ready jobs of the queues in the order given, each queue's higher priorities first, oldest first within one.
-- Floors say below which `ord` a lane holds nothing but dead entries as far as this claimer knows; a claim without them (a sweep)
-- finds what was committed late. `p_token` fences every later word of the worker about these attempts.
create function taskforge.claim(
    p_worker bigint, p_token bigint, p_limit int, p_queues int[],
    p_floor_queues int[], p_floor_priorities smallint[], p_floors bigint[])
returns table (
    job_id bigint, ord bigint, attempt smallint, max_attempts smallint, queue_id int, priority smallint, flags smallint,
    encoding smallint, timeout_ms int, task text, payload bytea, expired boolean, extra jsonb)
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_queues int[];
    v_priorities smallint[];
    v_floors bigint[];
begin
    if not exists (select from taskforge.worker w where w.id = p_worker and w.expires_at > clock_timestamp()) then
        raise exception 'worker % holds no lease', p_worker using errcode = 'TF498';
    end if;
    select array_agg(l.queue_id), array_agg(l.priority), array_agg(l.floor) into v_queues, v_priorities, v_floors
    from (
        select k.queue_id, k.priority, coalesce(f.floor, -9223372036854775808) as floor
        from unnest(p_queues) with ordinality w (queue_id, place)
        join taskforge.queue q on q.id = w.queue_id and q.paused_at is null
        join taskforge.lane k on k.queue_id = w.queue_id
        left join unnest(p_floor_queues, p_floor_priorities, p_floors) f (queue_id, priority, floor)
            on f.queue_id = k.queue_id and f.priority = k.priority
        order by w.place, k.priority desc) l;
    if v_queues is null then
        return;
    end if;
    return query
    with gone as (
        delete from taskforge.ready r where r.ctid = any (array(
            select x.ctid from unnest(v_queues, v_priorities, v_floors) w (queue_id, priority, floor)
            cross join lateral (
                select c.ctid from taskforge.ready c
                where c.queue_id = w.queue_id and c.priority = w.priority and c.ord >= w.floor
                order by c.ord limit p_limit for update skip locked) x
            limit p_limit))
        returning r.job_id, r.ord, r.attempt, r.max_attempts, r.queue_id, r.priority, r.flags),
    run as (
        insert into taskforge.running as u
            (job_id, token, worker_id, claimed_at, queue_id, priority, attempt, max_attempts, flags)
        select g.job_id, p_token, p_worker, now(), g.queue_id, g.priority, g.attempt + 1, g.max_attempts, g.flags
        from gone g)
    select g.job_id, g.ord, (g.attempt + 1)::smallint, g.max_attempts, g.queue_id, g.priority, g.flags,
        b.encoding, b.timeout_ms, b.task, b.payload, b.expired, b.extra
    from gone g cross join lateral (
        select j.encoding, j.timeout_ms, j.task, j.payload, g.flags & 16 = 16 and j.expires_at < now() as expired,
            case when j.key is null and j.tags is null and j.meta is null and j.retry is null and j.fire_at is null then null
            else jsonb_build_object('key', j.key, 'tags', j.tags, 'meta', j.meta, 'retry', j.retry,
                'fire_us', (extract(epoch from j.fire_at) * 1000000)::bigint) end as extra
        from taskforge.job j where j.id = g.job_id offset 0) b;
end $$;

-- Where jobs go that leave `running` without being final: back to ready at once, or to scheduled after a delay. Called as a statement
-- of its own after the rows were deleted, so that a cancellation that waited for them, or they for it, is seen: then they are cancelled.
create function taskforge.reenter(
    p_jobs bigint[], p_queues int[], p_priorities smallint[], p_attempts smallint[], p_max_attempts smallint[], p_flags smallint[],
    p_delays double precision[]) returns int[]
language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
declare
    v_now bigint := taskforge.now_us();
    v_cancelled bigint[];
    v_attempts smallint[];
    v_rung int[];
begin
    with back as (
        select b.*, exists (select from taskforge.cancel_request c where c.job_id = b.job_id) as cancelled
        from unnest(p_jobs, p_queues, p_priorities, p_attempts, p_max_attempts, p_flags, p_delays)
            b (job_id, queue_id, priority, attempt, max_attempts, flags, delay)),
    now_ready as (
        insert into taskforge.ready (ord, job_id, queue_id, priority, attempt, max_attempts, flags)
        select v_now + row_number() over (), job_id, queue_id, priority, attempt, max_attempts, flags
        from back where not cancelled and delay <= 0),
    later as (
        insert into taskforge.scheduled (run_at, job_id, queue_id, priority, attempt, max_attempts, flags)
        select clock_timestamp() + make_interval(secs => delay), job_id, queue_id, priority, attempt, max_attempts, flags
        from back where not cancelled and delay > 0)
    select array_agg(job_id) filter (where cancelled), array_agg(attempt) filter (where cancelled),
        array_agg(distinct queue_id) filter (where not cancelled and delay <= 0)
    into v_cancelled, v_attempts, v_rung from back;
    if v_cancelled is not null then
        perform taskforge.end_cancelled(v_cancelled, v_attempts);
    end if;
    return v_rung;
end $$;

-- Jobs whose cancellation was asked for and that no worker holds any more.
create function taskforge.end_cancelled(p_jobs bigint[], p_attempts smallint[]) returns int[]
language plpgsql as $$
declare
    v_job bigint;
    v_attempt smallint;
begin
    for v_job, v_attempt in select * from unnest(p_jobs, p_attempts) loop
        perform taskforge.close(array[v_job], array[v_attempt], 7::smallint, 'cancelled',
            (select reason from taskforge.cancel_request where job_id = v_job));
    end loop;
    perform taskforge.release_unique(p_jobs);
    return taskforge.resolve(p_jobs, p_jobs);
end $$;

-- Records how attempts ended. Arrays are sorted by job in the caller (lock order) and may be sent again: what was already recorded
-- is left as it is. `p_states`: 5 to 8 final; 2 tries again after `p_delays` seconds. A state of 3 gives the attempt back
-- (a snooze) after the delay and leaves no trace in history. `p_details` holds error, log, reason and note of those that have any.
-- Returns how many rows were recorded now, which they were if not all, and the queues to ring.
create type taskforge.left_running as (
    job_id bigint, attempt smallint, state smallint, queue_id int, priority smallint, max_attempts smallint, flags smallint,
    delay double precision, detail jsonb);

create function taskforge.finish(
    p_jobs bigint[], p_attempts smallint[], p_tokens bigint[], p_states smallint[], p_durations int[],
    p_results bytea[], p_details jsonb[], p_delays double precision[])
returns table (recorded int, won bigint[], rung int[])
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_parents boolean;
    v_other taskforge.left_running[];
    v_unique bigint[];
    v_ended bigint[];
    v_bad bigint[];
begin
    -- The number comes before the snapshot: a late sweep that starts once this statement can't see an edge any more must get a
    -- higher one. Taken by the first write, it would come after the snapshot, and a sweep that fell between would drop its row.
    perform pg_current_xact_id();
    with ended as (
        delete from taskforge.running r
        using unnest(p_jobs, p_attempts, p_tokens, p_states, p_durations, p_results, p_details, p_delays)
            f (job_id, attempt, token, state, duration_us, result, detail, delay)
        where r.job_id = f.job_id and r.attempt = f.attempt and r.token = f.token
        returning f.job_id, f.attempt, f.token, f.state, f.duration_us, f.result, f.detail, f.delay,
            r.worker_id, r.queue_id, r.priority, r.max_attempts, r.flags),
    history as (
        insert into taskforge.outcome (job_id, token, worker_id, finished_at, duration_us, attempt, state, result, detail)
        select e.job_id, e.token, e.worker_id, now(), coalesce(e.duration_us, 0), e.attempt, e.state, e.result, e.detail
        from ended e where e.state <> 3)
    select count(*), bool_or(exists (select from taskforge.edge x where x.parent_id = e.job_id)), array_agg(e.job_id),
        array_agg(row (e.job_id, e.attempt, e.state, e.queue_id, e.priority, e.max_attempts, e.flags, e.delay, e.detail)
            ::taskforge.left_running) filter (where e.state in (2, 3, 8)),
        array_agg(e.job_id) filter (where e.flags & 4 = 4 and e.state >= 5)
    into recorded, v_parents, won, v_other, v_unique
    from ended e;

    if recorded = 0 then
        return next;
        return;
    end if;

    if v_other is not null then
        -- Statements of their own: a cancellation that held the running row has committed by now.
        rung := taskforge.leave_running(v_other);
    end if;

    if v_parents then
        -- What stands in history, not what was sent: a batch may hold an older attempt of the same job beside the one that counts.
        select array_agg(o.job_id), array_agg(o.job_id) filter (where o.state > 5)
        into v_ended, v_bad
        from unnest(p_jobs, p_attempts, p_tokens) f (job_id, attempt, token)
        cross join lateral (
            select c.job_id, c.state from taskforge.outcome c
            where c.job_id = f.job_id and c.attempt = f.attempt and c.token = f.token and c.state >= 5 offset 0) o;
        if v_ended is not null then
            rung := rung || taskforge.resolve(v_ended, coalesce(v_bad, '{}'));
        end if;
    end if;

    if v_unique is not null then
        perform taskforge.release_unique(v_unique);
    end if;

    if recorded = cardinality(p_jobs) then
        won := null;
    end if;
    return next;
end $$;

-- Buries attempts that ended dead and sends the rest back: retries and snoozes.
create function taskforge.leave_running(p_left taskforge.left_running[]) returns int[]
language plpgsql as $$
declare
    v_jobs bigint[];
    v_queues int[];
    v_priorities smallint[];
    v_attempts smallint[];
    v_max smallint[];
    v_flags smallint[];
    v_delays double precision[];
begin
    insert into taskforge.dead (job_id, died_at, queue_id, priority, attempt, max_attempts, flags, reason, error_group)
    select l.job_id, now(), l.queue_id, l.priority, l.attempt, l.max_attempts, l.flags,
        coalesce(l.detail ->> 'reason', 'attempts_used_up'), coalesce(l.detail -> 'error' ->> 'group', '')
    from unnest(p_left) l where l.state = 8;

    select array_agg(l.job_id), array_agg(l.queue_id), array_agg(l.priority),
        array_agg((l.attempt - case when l.state = 3 then 1 else 0 end)::smallint),
        array_agg(l.max_attempts), array_agg(l.flags), array_agg(coalesce(l.delay, 0))
    into v_jobs, v_queues, v_priorities, v_attempts, v_max, v_flags, v_delays
    from unnest(p_left) l where l.state in (2, 3);
    if v_jobs is null then
        return null;
    end if;
    return taskforge.reenter(v_jobs, v_queues, v_priorities, v_attempts, v_max, v_flags, v_delays);
end $$;

-- Which of these attempts stand in history under the token given: recorded by an earlier call whose answer was lost.
-- What the rescuer recorded bears the token of the attempt that it ended, and is not the worker's own word.
create function taskforge.recorded_before(p_jobs bigint[], p_attempts smallint[], p_tokens bigint[]) returns bigint[]
language sql stable as $$
    select array_agg(f.job_id) from unnest(p_jobs, p_attempts, p_tokens) f (job_id, attempt, token)
    cross join lateral (
        select from taskforge.outcome o where o.job_id = f.job_id and o.attempt = f.attempt and o.token = f.token
            and o.detail ->> 'reason' is distinct from 'worker_lost') o
$$;

-- Gives claimed jobs back that never started: the attempt is not counted and leaves no trace.
create function taskforge.release(p_jobs bigint[], p_tokens bigint[]) returns int[]
language plpgsql as $$
declare
    v_jobs bigint[];
    v_queues int[];
    v_priorities smallint[];
    v_attempts smallint[];
    v_max smallint[];
    v_flags smallint[];
    v_delays double precision[];
begin
    with gone as (
        delete from taskforge.running r using unnest(p_jobs, p_tokens) f (job_id, token)
        where r.job_id = f.job_id and r.token = f.token
        returning r.job_id, r.queue_id, r.priority, r.attempt, r.max_attempts, r.flags)
    select array_agg(job_id), array_agg(queue_id), array_agg(priority), array_agg((attempt - 1)::smallint),
        array_agg(max_attempts), array_agg(flags), array_agg(0::double precision)
    into v_jobs, v_queues, v_priorities, v_attempts, v_max, v_flags, v_delays from gone;
    if v_jobs is null then
        return null;
    end if;
    return taskforge.reenter(v_jobs, v_queues, v_priorities, v_attempts, v_max, v_flags, v_delays);
end $$;

-- Ends a lease at once: by the worker itself when it has nothing in hand, or by whoever saw the process die. Rings for the rescuer.
create function taskforge.end_lease(p_worker bigint) returns boolean
language plpgsql as $$
begin
    delete from taskforge.worker where id = p_worker;
    if found then
        perform pg_notify('taskforge', 'lease ' || p_worker);
    end if;
    return found;
end $$;

-- Takes back what workers without a lease hold: to ready, or to the dead letters when the attempts are used up.
-- The worker row's deletion is the end of its lease (a renewal that waits for it finds nothing); orphans are found by what is missing,
-- not by what is stale, so nothing depends on the order in which rows were pruned.
create function taskforge.rescue(p_limit int) returns table (rescued int, buried int, rung int[])
language plpgsql as $$
declare
    v_jobs bigint[];
    v_attempts smallint[];
    v_tokens bigint[];
    v_states smallint[];
    v_details jsonb[];
begin
    delete from taskforge.worker where id = any (array(
        select id from taskforge.worker where expires_at < clock_timestamp() order by id for update skip locked))
        and expires_at < clock_timestamp();
    select array_agg(s.job_id), array_agg(s.attempt), array_agg(s.token),
        array_agg((case when s.attempt < s.max_attempts then 2 when s.flags & 32 = 32 then 6 else 8 end)::smallint),
        array_agg(jsonb_build_object('reason', 'worker_lost', 'error', jsonb_build_object(
            'type', 'WorkerLost', 'message', 'the worker that ran this attempt died or lost its lease', 'group', 'worker_lost')))
    into v_jobs, v_attempts, v_tokens, v_states, v_details
    from (
        select r.* from taskforge.running r
        where not exists (select from taskforge.worker w where w.id = r.worker_id)
        order by r.job_id limit p_limit for update of r skip locked) s;
    rescued := coalesce(cardinality(v_jobs), 0);
    buried := 0;
    if rescued > 0 then
        select count(*) into buried from unnest(v_states) state where state <> 2;
        select f.rung into rung
        from taskforge.finish(v_jobs, v_attempts, v_tokens, v_states, null, null, v_details, null) f;
    end if;
    return next;
end $$;

-- Moves jobs whose time has come to ready.
create function taskforge.stage(p_limit int) returns table (staged int, rung int[])
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_now bigint := taskforge.now_us();
begin
    with due as (
        delete from taskforge.scheduled s where s.ctid = any (array(
            select c.ctid from taskforge.scheduled c where c.run_at <= clock_timestamp()
            order by c.run_at limit p_limit for update skip locked))
        returning s.job_id, s.queue_id, s.priority, s.attempt, s.max_attempts, s.flags),
    now_ready as (
        insert into taskforge.ready (ord, job_id, queue_id, priority, attempt, max_attempts, flags)
        select v_now + row_number() over (), job_id, queue_id, priority, attempt, max_attempts, flags from due)
    select count(*), array_agg(distinct queue_id) into staged, rung from due;
    return next;
end $$;

-- The doorbell. Never called in a transaction that enqueues: a commit that notified takes a database-wide lock. Nothing is lost
-- with a lost ring, so its own commit need not wait for the disk.
create function taskforge.ring(p_queues int[]) returns void
language plpgsql as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    perform pg_notify('taskforge', 'ready ' || queue_id) from unnest(p_queues) queue_id;
end $$;
