-- Time-ordered numbers and the partitions they fall into. The layout of a number is told in taskforge_client/wire/ids.py.

create function taskforge.mint_base(unix_ms bigint, block bigint) returns bigint
language sql immutable as $$
    select ((unix_ms - 1735689600000) << 22) | ((block & 4095) << 10)
$$;

-- Up to 1,024 numbers from the one returned belong to the caller.
create function taskforge.mint() returns bigint
language sql volatile as $$
    select taskforge.mint_base((extract(epoch from clock_timestamp()) * 1000)::bigint, nextval('taskforge.block'))
$$;

create function taskforge.now_us() returns bigint
language sql volatile as $$
    select (extract(epoch from clock_timestamp()) * 1000000)::bigint
$$;

-- Blocks of 1,024 numbers for a bulk send, and the database's time in microseconds for their order.
create function taskforge.reserve_blocks(p_count int) returns table (base bigint, now_us bigint)
language sql volatile as $$
    select taskforge.mint(), taskforge.now_us() from generate_series(1, p_count)
$$;

create function taskforge.minted_at(number bigint) returns timestamptz
language sql immutable as $$
    select to_timestamp(((number >> 22) + 1735689600000) / 1000.0)
$$;

create function taskforge.number_text(p_prefix text, p_number bigint) returns text
language sql immutable strict as $$
    select p_prefix || string_agg(
        substr('0123456789abcdefghjkmnpqrstvwxyz', ((p_number >> (5 * place)) & 31)::int + 1, 1), '' order by place desc)
    from generate_series(0, 12) place
$$;

create function taskforge.text_number(p_prefix text, p_text text) returns bigint
language plpgsql immutable strict as $$
declare
    v_number bigint := 0;
    v_digit int;
begin
    if p_text !~ ('^' || p_prefix || '[0-7][0-9a-hjkmnp-tv-z]{12}$') then
        raise exception '% is not an id that starts with %', p_text, p_prefix using errcode = 'TF422';
    end if;
    for place in length(p_prefix) + 1 .. length(p_text) loop
        v_digit := position(substr(p_text, place, 1) in '0123456789abcdefghjkmnpqrstvwxyz') - 1;
        v_number := (v_number << 5) | v_digit;
    end loop;
    return v_number;
end $$;

-- The day's partitions of job and outcome; safe when any number of processes race.
create function taskforge.ensure_partition(p_day date) returns boolean
language plpgsql as $$
declare
    v_low bigint := taskforge.mint_base((extract(epoch from p_day::timestamp) * 1000)::bigint, 0);
    v_high bigint := taskforge.mint_base((extract(epoch from (p_day + 1)::timestamp) * 1000)::bigint, 0);
    v_parent text;
    v_name text;
    v_made boolean := false;
begin
    foreach v_parent in array array['job', 'outcome'] loop
        v_name := v_parent || '_' || to_char(p_day, 'YYYYMMDD');
        if to_regclass('taskforge.' || v_name) is null then
            execute format('create table taskforge.%I (like taskforge.%I including all) with '
                '(autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 1000000)', v_name, v_parent);
            execute format('alter table taskforge.%I attach partition taskforge.%I for values from (%s) to (%s)',
                v_parent, v_name, v_low, v_high);
            v_made := true;
        end if;
    end loop;
    return v_made;
end $$;

-- Partitions from yesterday to `p_days_ahead` days from now (UTC). Yesterday's takes numbers minted by a clock a little behind.
create function taskforge.ensure_partitions(p_days_ahead int default 8) returns int
language plpgsql as $$
declare
    v_made int := 0;
    v_today date := (clock_timestamp() at time zone 'UTC')::date;
begin
    perform pg_advisory_xact_lock(7268430001);
    for offset_days in -1 .. p_days_ahead loop
        if taskforge.ensure_partition(v_today + offset_days) then
            v_made := v_made + 1;
        end if;
    end loop;
    return v_made;
end $$;

select taskforge.ensure_partitions();
