-- Enqueue, cancel and retry: what an application asks for.

-- The project the connected role works for.
create function taskforge.current_project() returns int
language sql stable as $$
    select coalesce((select project_id from taskforge.role_project where role_name = session_user), 1)
$$;

-- The queue's number; makes the queue and the lane when they are new. Numbers never change, so callers keep them.
create function taskforge.ensure_lane(p_project int, p_queue text, p_priority smallint) returns int
language plpgsql as $$
declare
    v_queue int;
begin
    select id into v_queue from taskforge.queue where project_id = p_project and name = p_queue;
    if v_queue is null then
        -- Names differ by more than their case.
        p_queue := lower(p_queue);
        select id into v_queue from taskforge.queue where project_id = p_project and name = p_queue;
    end if;
    if v_queue is null then
        if p_queue !~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$' then
            raise exception 'queue: % is not a queue name; expected 1 to 100 letters, digits, dots, dashes or underscores, a letter or digit first',
                quote_literal(p_queue) using errcode = 'TF422';
        end if;
        insert into taskforge.queue (project_id, name) values (p_project, p_queue) on conflict do nothing;
        select id into v_queue from taskforge.queue where project_id = p_project and name = p_queue;
    end if;
    if not exists (select from taskforge.lane where queue_id = v_queue and priority = p_priority) then
        if p_priority not between -100 and 100 then
            raise exception 'priority: % is out of range; expected -100 to 100', p_priority using errcode = 'TF422';
        end if;
        insert into taskforge.lane (queue_id, priority) values (v_queue, p_priority) on conflict do nothing;
    end if;
    return v_queue;
end $$;

-- Jobs that use no feature beyond a queue, a priority and a retry budget, in one statement. The caller brings the numbers
-- (reserve_blocks), so a call whose answer was lost is repeated by asking which of them exist.
create function taskforge.enqueue_plain(
    p_project int, p_jobs bigint[], p_queues int[], p_priorities smallint[], p_max_attempts smallint[], p_timeouts_ms int[],
    p_flags smallint[], p_encodings smallint[], p_tasks text[], p_payloads bytea[]) returns void
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_now bigint := taskforge.now_us();
begin
    with asked as (
        select * from unnest(p_jobs, p_queues, p_priorities, p_max_attempts, p_timeouts_ms, p_flags, p_encodings, p_tasks, p_payloads)
            with ordinality a (id, queue_id, priority, max_attempts, timeout_ms, flags, encoding, task, payload, place)),
    bodies as (
        insert into taskforge.job
            (id, project_id, queue_id, priority, max_attempts, timeout_ms, encoding, on_parent_failure, task, payload)
        select id, p_project, queue_id, priority, max_attempts, timeout_ms, encoding, 0, task, payload from asked)
    insert into taskforge.ready (ord, job_id, queue_id, priority, attempt, max_attempts, flags)
    select v_now + place, id, queue_id, priority, 0, max_attempts, flags from asked;
end $$;

-- One job with any of the features. `p_options` may hold: delay_ms, run_at, expires_ms, key, unique_key (hex), unique_ms, tags, meta,
-- retry, after (numbers), on_parent_failure (0 cancel, 1 run anyway), fire_at, schedule_id.
-- `p_job` is a number the caller holds, or null. Answers the job's number and whether it stood there before; SQLSTATE TF409 when the key names another request, TF404 for an unknown parent.
create function taskforge.enqueue_one(
    p_project int, p_job bigint, p_queue int, p_priority smallint, p_max_attempts smallint, p_timeout_ms int, p_flags smallint,
    p_encoding smallint, p_task text, p_payload bytea, p_options jsonb)
returns table (job_id bigint, deduplicated boolean)
language plpgsql as $$
declare
    v_job bigint := coalesce(p_job, taskforge.mint());
    v_flags smallint := p_flags;
    v_run_at timestamptz := coalesce((p_options ->> 'run_at')::timestamptz,
        clock_timestamp() + make_interval(secs => (p_options ->> 'delay_ms')::double precision / 1000));
    v_expires_at timestamptz :=
        coalesce(v_run_at, clock_timestamp()) + make_interval(secs => (p_options ->> 'expires_ms')::double precision / 1000);
    v_key text := p_options ->> 'key';
    v_unique bytea := decode(p_options ->> 'unique_key', 'hex');
    v_parents bigint[];
    v_fingerprint bytea;
    v_held bigint;
    v_waits boolean := false;
begin
    if p_job is not null and exists (select from taskforge.job j where j.id = p_job) then
        -- An earlier call stored it, and its answer was lost.
        job_id := p_job;
        deduplicated := false;
        return next;
        return;
    end if;

    if v_key is not null then
        v_fingerprint := sha256(convert_to(p_task, 'UTF8') || '\x00'::bytea || p_payload);
        insert into taskforge.job_key as k (project_id, key, job_id, fingerprint) values (p_project, v_key, v_job, v_fingerprint)
        on conflict do nothing;
        select k.job_id, k.fingerprint = v_fingerprint into v_held, deduplicated
        from taskforge.job_key k where k.project_id = p_project and k.key = v_key;
        if v_held <> v_job then
            if not deduplicated then
                raise exception 'key: % already names %, which has another task or other arguments',
                    quote_literal(v_key), taskforge.number_text('job_', v_held) using errcode = 'TF409';
            end if;
            job_id := v_held;
            return next;
            return;
        end if;
    end if;

    if v_unique is not null then
        insert into taskforge.unique_work as u (project_id, key, job_id, until)
        values (p_project, v_unique, v_job,
            clock_timestamp() + make_interval(secs => (p_options ->> 'unique_ms')::double precision / 1000))
        on conflict (project_id, key) do update set job_id = excluded.job_id, until = excluded.until
            where u.until < clock_timestamp();
        if not found then
            select u.job_id into v_held from taskforge.unique_work u where u.project_id = p_project and u.key = v_unique;
            if v_key is not null then
                update taskforge.job_key k set job_id = v_held where k.project_id = p_project and k.key = v_key;
            end if;
            job_id := v_held;
            deduplicated := true;
            return next;
            return;
        end if;
        if p_options ->> 'unique_ms' is null then
            v_flags := v_flags | 4;
        end if;
    end if;

    if p_options ? 'after' then
        select array_agg(distinct parent::bigint) into v_parents from jsonb_array_elements_text(p_options -> 'after') parent;
    end if;
    if v_expires_at is not null then
        v_flags := v_flags | 16;
        insert into taskforge.expiring (expires_at, job_id) values (v_expires_at, v_job);
    end if;
    insert into taskforge.job (id, project_id, queue_id, priority, max_attempts, timeout_ms, encoding, on_parent_failure, task, payload,
        expires_at, fire_at, schedule_id, key, tags, meta, retry, parents)
    values (v_job, p_project, p_queue, p_priority, p_max_attempts, p_timeout_ms, p_encoding,
        coalesce((p_options ->> 'on_parent_failure')::smallint, 0), p_task, p_payload, v_expires_at,
        (p_options ->> 'fire_at')::timestamptz, (p_options ->> 'schedule_id')::bigint, v_key,
        (select array_agg(tag) from jsonb_array_elements_text(p_options -> 'tags') tag), p_options -> 'meta', p_options -> 'retry',
        v_parents);

    if v_parents is not null then
        v_waits := taskforge.wait_for_parents(p_project, v_job, v_parents, p_queue, p_priority, p_max_attempts, v_flags,
            coalesce((p_options ->> 'on_parent_failure')::smallint, 0::smallint), v_run_at);
    end if;
    if not v_waits then
        if v_run_at > clock_timestamp() then
            insert into taskforge.scheduled (run_at, job_id, queue_id, priority, attempt, max_attempts, flags)
            values (v_run_at, v_job, p_queue, p_priority, 0, p_max_attempts, v_flags);
        else
            insert into taskforge.ready (ord, job_id, queue_id, priority, attempt, max_attempts, flags)
            values (taskforge.now_us(), v_job, p_queue, p_priority, 0, p_max_attempts, v_flags);
        end if;
    end if;
    job_id := v_job;
    deduplicated := false;
    return next;
end $$;

-- Several jobs with features in one transaction, each failing alone. Worked through in key order, so that two such calls never wait
-- for each other; answered in the order asked. `problem_state` is the SQLSTATE of a refusal and null for a job that stands.
create function taskforge.enqueue_each(
    p_project int, p_jobs bigint[], p_queues int[], p_priorities smallint[], p_max_attempts smallint[], p_timeouts_ms int[],
    p_flags smallint[], p_encodings smallint[], p_tasks text[], p_payloads bytea[], p_options jsonb[])
returns table (place int, job_id bigint, deduplicated boolean, problem_state text, problem text)
language plpgsql as $$
begin
    for place in
        select a.place::int from unnest(p_options) with ordinality a (options, place)
        order by a.options ->> 'key' nulls first, a.options ->> 'unique_key' nulls first, a.place
    loop
        problem_state := null;
        problem := null;
        begin
            select e.job_id, e.deduplicated into job_id, deduplicated
            from taskforge.enqueue_one(p_project, p_jobs[place], p_queues[place], p_priorities[place], p_max_attempts[place],
                p_timeouts_ms[place], p_flags[place], p_encodings[place], p_tasks[place], p_payloads[place],
                coalesce(p_options[place], '{}')) e;
        exception when sqlstate 'TF404' or sqlstate 'TF409' or sqlstate 'TF422' then
            job_id := null;
            problem_state := sqlstate;
            problem := sqlerrm;
        end;
        return next;
    end loop;
end $$;

-- Puts a new job behind its parents. False when nothing is left to wait for. A parent that finishes meanwhile is not locked:
-- its edge and a late row are written, and resolve_late() looks again once no open finish can have missed them.
create function taskforge.wait_for_parents(
    p_project int, p_job bigint, p_parents bigint[], p_queue int, p_priority smallint, p_max_attempts smallint, p_flags smallint,
    p_on_parent_failure smallint, p_run_at timestamptz) returns boolean
language plpgsql as $$
declare
    v_parent bigint;
    v_state smallint;
    v_open bigint[] := '{}';
begin
    foreach v_parent in array p_parents loop
        if not exists (select from taskforge.job j where j.id = v_parent and j.project_id = p_project) then
            raise exception 'after: there is no job %', taskforge.number_text('job_', v_parent) using errcode = 'TF404';
        end if;
        v_state := taskforge.final_state(v_parent);
        if v_state is null then
            v_open := v_open || v_parent;
        elsif v_state <> 5 and p_on_parent_failure = 0 then
            perform taskforge.close(array[p_job], array[0::smallint], 7::smallint, 'parent_failed',
                taskforge.number_text('job_', v_parent));
            perform taskforge.release_unique(array[p_job]);
            return true;
        end if;
    end loop;
    if v_open = '{}' then
        return false;
    end if;
    insert into taskforge.blocked (job_id, queue_id, remaining, run_at, priority, max_attempts, flags, on_parent_failure)
    values (p_job, p_queue, cardinality(v_open), p_run_at, p_priority, p_max_attempts, p_flags, p_on_parent_failure);
    insert into taskforge.edge (parent_id, children) select parent, array[p_job] from unnest(v_open) parent;
    insert into taskforge.late (parent_id) select parent from unnest(v_open) parent;
    return true;
end $$;

-- Takes jobs that have not started out of where they wait, those that carry all of `p_flags`; null arrays when there are none.
-- Locks in job order, table by table, so that two callers with the same jobs in another order don't wait for each other.
create function taskforge.take_waiting(p_jobs bigint[], p_flags smallint) returns table (jobs bigint[], attempts smallint[])
language plpgsql as $$
begin
    perform from taskforge.blocked b where b.job_id = any (p_jobs) and b.flags & p_flags = p_flags order by b.job_id for update;
    perform from taskforge.scheduled s where s.job_id = any (p_jobs) and s.flags & p_flags = p_flags order by s.job_id for update;
    perform from taskforge.ready r where r.job_id = any (p_jobs) and r.flags & p_flags = p_flags order by r.job_id for update;
    with waiting as (
        delete from taskforge.blocked b where b.job_id = any (p_jobs) and b.flags & p_flags = p_flags
        returning b.job_id, b.attempt),
    later as (
        delete from taskforge.scheduled s where s.job_id = any (p_jobs) and s.flags & p_flags = p_flags
        returning s.job_id, s.attempt),
    now_ready as (
        delete from taskforge.ready r where r.job_id = any (p_jobs) and r.flags & p_flags = p_flags
        returning r.job_id, r.attempt),
    gone as (
        select * from waiting union all select * from later union all select * from now_ready)
    select array_agg(g.job_id order by g.job_id), array_agg(g.attempt order by g.job_id) into jobs, attempts from gone g;
    return next;
end $$;

-- Cancels what has not started; asks for what runs. One row a job: its state now (null: no such job) and whether a worker was asked.
-- The running rows are locked first, so a finish that sends a job back sees the request, or the cancel sees where the job went.
create function taskforge.cancel(p_project int, p_jobs bigint[], p_reason text)
returns table (job_id bigint, state smallint, requested boolean, worker_id bigint)
language plpgsql as $$
declare
    v_left bigint[];
    v_gone bigint[];
    v_attempts smallint[];
    v_job bigint;
begin
    select array_agg(j.id order by j.id) into v_left from taskforge.job j where j.id = any (p_jobs) and j.project_id = p_project;
    for turn in 1 .. 20 loop
        exit when v_left is null;
        for job_id, worker_id in
            select r.job_id, r.worker_id from taskforge.running r where r.job_id = any (v_left) order by r.job_id for update
        loop
            insert into taskforge.cancel_request as c (job_id, reason) values (cancel.job_id, p_reason) on conflict do nothing;
            state := 4;
            requested := true;
            v_left := array_remove(v_left, job_id);
            return next;
        end loop;
        worker_id := null;
        requested := false;

        select t.jobs, t.attempts into v_gone, v_attempts from taskforge.take_waiting(v_left, 0::smallint) t;
        if v_gone is not null then
            perform taskforge.close(v_gone, v_attempts, 7::smallint, 'cancelled', p_reason);
            perform taskforge.release_unique(v_gone);
            perform taskforge.resolve(v_gone, v_gone);
            foreach v_job in array v_gone loop
                v_left := array_remove(v_left, v_job);
                job_id := v_job;
                state := 7;
                return next;
            end loop;
        end if;

        foreach v_job in array v_left loop
            state := taskforge.final_state(v_job);
            if state is not null then
                v_left := array_remove(v_left, v_job);
                job_id := v_job;
                return next;
            end if;
        end loop;
        exit when v_left = '{}';
    end loop;
end $$;

-- Runs jobs that ended otherwise than `succeeded` once more, under their own ids; their attempts count on, with a fresh budget.
-- Returns the numbers of those that were started again.
create function taskforge.retry(p_project int, p_jobs bigint[]) returns table (job_id bigint, queue_id int)
language plpgsql as $$
declare
    v_job bigint;
    v_body record;
    v_attempt smallint;
    v_state smallint;
begin
    for v_job in select j.id from taskforge.job j where j.id = any (p_jobs) and j.project_id = p_project order by j.id loop
        -- The last outcome's row is the lock: two retries of one job start it once.
        select o.attempt into v_attempt from taskforge.outcome o
        where o.job_id = v_job order by o.attempt desc limit 1 for update;
        v_state := coalesce(taskforge.final_state(v_job), 5);
        continue when v_state = 5;
        select j.queue_id, j.priority, j.max_attempts into v_body from taskforge.job j where j.id = v_job;
        delete from taskforge.dead d where d.job_id = v_job;
        delete from taskforge.cancel_request c where c.job_id = v_job;
        insert into taskforge.ready (ord, job_id, queue_id, priority, attempt, max_attempts, flags)
        values (taskforge.now_us(), v_job, v_body.queue_id, v_body.priority, v_attempt, v_attempt + v_body.max_attempts,
            case v_state when 6 then 32 else 0 end);  -- what failed without a dead letter goes on without one
        job_id := v_job;
        queue_id := v_body.queue_id;
        return next;
    end loop;
end $$;

-- Makes a new job from an ended one with other arguments; the old one stays in history and names the new one.
create function taskforge.retry_edited(p_project int, p_job bigint, p_payload bytea, p_encoding smallint) returns bigint
language plpgsql as $$
declare
    v_old taskforge.job;
    v_state smallint;
    v_new bigint;
begin
    select * into v_old from taskforge.job j where j.id = p_job and j.project_id = p_project;
    if not found then
        raise exception 'there is no job %', taskforge.number_text('job_', p_job) using errcode = 'TF404';
    end if;
    perform from taskforge.outcome o where o.job_id = p_job order by o.attempt desc limit 1 for update;
    v_state := coalesce(taskforge.final_state(p_job), 5);
    if v_state = 5 then
        raise exception 'job % has not failed, died or been cancelled; only such a job can be run again',
            taskforge.number_text('job_', p_job) using errcode = 'TF410';
    end if;
    select e.new_job_id into v_new from taskforge.edited e where e.old_job_id = p_job;
    if found then
        raise exception 'job % was already run again, as %', taskforge.number_text('job_', p_job),
            taskforge.number_text('job_', v_new) using errcode = 'TF410';
    end if;
    select e.job_id into v_new from taskforge.enqueue_one(p_project, null, v_old.queue_id, v_old.priority, v_old.max_attempts,
        v_old.timeout_ms, case v_state when 6 then 32 else 0 end::smallint, p_encoding, v_old.task, p_payload,
        jsonb_strip_nulls(jsonb_build_object('tags', to_jsonb(v_old.tags), 'meta', v_old.meta, 'retry', v_old.retry))) e;
    insert into taskforge.edited (old_job_id, new_job_id) values (p_job, v_new);
    delete from taskforge.dead d where d.job_id = p_job;
    return v_new;
end $$;

-- Ends jobs that waited too long to start.
create function taskforge.expire(p_limit int) returns table (due int, rung int[])
language plpgsql as $$
declare
    v_due bigint[];
    v_gone bigint[];
    v_attempts smallint[];
begin
    with due as (
        delete from taskforge.expiring where ctid = any (array(
            select ctid from taskforge.expiring where expires_at < clock_timestamp()
            order by expires_at limit p_limit for update skip locked))
        returning job_id)
    select array_agg(job_id) into v_due from due;
    due := coalesce(cardinality(v_due), 0);
    if due > 0 then
        -- Only what carries the flag: a job that somebody ran again by hand has no time limit any more.
        select t.jobs, t.attempts into v_gone, v_attempts from taskforge.take_waiting(v_due, 16::smallint) t;
    end if;
    if v_gone is not null then
        perform taskforge.close(v_gone, v_attempts, 7::smallint, 'expired', null);
        perform taskforge.release_unique(v_gone);
        rung := taskforge.resolve(v_gone, v_gone);
    end if;
    return next;
end $$;
