-- Schedules: firing one, whoever tries and however often.

-- Makes the job of one fire time and notes it, or does nothing when that fire time was used before; then moves the schedule on to
-- `p_next_fire_at` (null: leaves it, for a fire by hand). All in the caller's transaction, so that neither can happen without the other.
create function taskforge.fire_schedule(p_schedule bigint, p_fire_at timestamptz, p_next_fire_at timestamptz)
returns table (job_id bigint, queue_id int)
language plpgsql as $$
declare
    v_schedule taskforge.schedule;
begin
    select * into v_schedule from taskforge.schedule s where s.id = p_schedule for update;
    if not found then
        return;
    end if;
    insert into taskforge.schedule_fire as f (schedule_id, fire_at, job_id) values (p_schedule, p_fire_at, 0) on conflict do nothing;
    if found then
        select e.job_id into job_id from taskforge.enqueue_one(
            v_schedule.project_id, null, v_schedule.queue_id, v_schedule.priority, v_schedule.max_attempts, v_schedule.timeout_ms,
            coalesce((v_schedule.options ->> 'flags')::smallint, 0::smallint), v_schedule.encoding, v_schedule.task, v_schedule.payload,
            coalesce(v_schedule.options -> 'features', '{}')
                || jsonb_build_object('fire_at', p_fire_at, 'schedule_id', p_schedule)) e;
        update taskforge.schedule_fire f set job_id = fire_schedule.job_id
        where f.schedule_id = p_schedule and f.fire_at = p_fire_at;
        queue_id := v_schedule.queue_id;
        return next;
    end if;
    update taskforge.schedule s
    set next_fire_at = coalesce(p_next_fire_at, s.next_fire_at), last_fire_at = greatest(s.last_fire_at, p_fire_at)
    where s.id = p_schedule;
end $$;
