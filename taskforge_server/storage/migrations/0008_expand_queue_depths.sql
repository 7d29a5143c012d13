-- How many live jobs queues hold: exact while there are few, sampled when there are many, quick either way.

create table taskforge.queue_sample (
    queue_id int not null,
    state smallint not null,
    count bigint not null,
    sampled_at timestamptz not null,
    primary key (queue_id, state)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create function taskforge.live_table(p_state smallint) returns text
language sql immutable strict as $$
    select case p_state when 1 then 'blocked' when 2 then 'scheduled' when 3 then 'ready' when 4 then 'running' when 8 then 'dead' end
$$;

-- Depths by queue and state. A table of up to 10,000 rows is counted; of a larger one the last sample is told with its time, or,
-- before there is one, the share of each queue among the first rows times the planner's idea of the table.
create function taskforge.queue_depths() returns table (queue_id int, state smallint, count bigint, sampled_at timestamptz)
language plpgsql as $$
declare
    v_cap constant int := 10000;
    v_rows bigint;
    v_queues int[];
    v_counts bigint[];
    v_total double precision;
begin
    foreach state in array array[1, 2, 3, 4, 8]::smallint[] loop
        select sum(q.count), max(q.sampled_at) into v_rows, sampled_at from taskforge.queue_sample q where q.state = queue_depths.state;
        if v_rows <= v_cap or v_rows is null or sampled_at < clock_timestamp() - interval '2 minutes' then
            execute format('select sum(c)::bigint, array_agg(queue_id), array_agg(c) from (select queue_id, count(*) as c'
                ' from (select queue_id from taskforge.%I limit %s) few group by queue_id) counted',
                taskforge.live_table(state), v_cap + 1) into v_rows, v_queues, v_counts;
            if coalesce(v_rows, 0) <= v_cap then
                sampled_at := null;
                return query select c.queue_id, queue_depths.state, c.count, null::timestamptz
                    from unnest(v_queues, v_counts) c (queue_id, count);
                continue;
            elsif sampled_at is null then
                select greatest(c.reltuples, v_rows) into v_total from pg_class c
                where c.oid = ('taskforge.' || taskforge.live_table(state))::regclass;
                return query select c.queue_id, queue_depths.state, (c.count * v_total / v_rows)::bigint, clock_timestamp()
                    from unnest(v_queues, v_counts) c (queue_id, count);
                continue;
            end if;
        end if;
        return query select q.queue_id, q.state, q.count, q.sampled_at from taskforge.queue_sample q
            where q.state = queue_depths.state and q.count > 0;
    end loop;
end $$;

-- Counts every live table once and keeps the result.
create function taskforge.sample_queues() returns table (queue_id int, state smallint, count bigint)
language plpgsql as $$
begin
    foreach state in array array[1, 2, 3, 4, 8]::smallint[] loop
        execute format('insert into taskforge.queue_sample as q (queue_id, state, count, sampled_at)'
            ' select queue_id, $1, count(*), clock_timestamp() from taskforge.%I group by queue_id order by queue_id'
            ' on conflict (queue_id, state) do update set count = excluded.count, sampled_at = excluded.sampled_at',
            taskforge.live_table(state)) using state;
        -- Queues that are empty now were not among those counted.
        update taskforge.queue_sample q set count = 0, sampled_at = clock_timestamp()
        where q.state = sample_queues.state and q.count > 0 and q.sampled_at < statement_timestamp();
    end loop;
    return query select q.queue_id, q.state, q.count from taskforge.queue_sample q order by 1, 2;
end $$;

-- When the longest waiting ready job of each queue became ready; by the head of each lane.
create function taskforge.oldest_ready(p_queue int) returns timestamptz
language sql stable as $$
    select to_timestamp(min(head.ord) / 1e6) from taskforge.lane l
    cross join lateral (
        select r.ord from taskforge.ready r where r.queue_id = l.queue_id and r.priority = l.priority order by r.ord limit 1) head
    where l.queue_id = p_queue
$$;
