-- 28_partitions: the history is kept in partitions by event id: created ahead of time, and dropped once they are
-- sealed and old.

create or replace function bus.guard_partition(p_partition regclass)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format(
        'create or replace trigger _110_no_truncate before truncate on %s '
        'for each statement execute function bus.tg_append_only()',
        p_partition
    );
    execute format('alter table %s enable always trigger _110_no_truncate', p_partition);
end;
$$;

comment on function bus.guard_partition is
    'Law L9: refuses to truncate a partition of the events. Partitions inherit the other guard triggers of their '
    'table, but not this one.';

-- A job creates partitions, and no file lists them: each deployment guards those that exist.
select bus.guard_partition(h.inhrelid::regclass)
from pg_inherits as h
where h.inhparent = 'bus.events'::regclass;

create or replace function api.make_partitions(p_size bigint default 10000000)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    v_last  bigint := coalesce((select max(e.event_id) from bus.events as e), 0);
    v_next  bigint := (v_last / p_size + 1) * p_size;
    v_from  bigint := (
        select max(substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \(''(\d+)''\)')::bigint)
        from pg_inherits as h
        join pg_class as c on c.oid = h.inhrelid
        where h.inhparent = 'bus.events'::regclass
    );
    v_name  text;
    v_count integer := 0;
begin
    -- Continue after the last partition, or at the next border if events have passed it into the default partition.
    v_from := case when v_from > v_last then v_from else v_next end;

    -- Stop when two partitions lie ahead of the one that events go to now.
    while v_from <= v_next + p_size loop
        v_name := format('events_from_%s', v_from);
        -- Create the table first, then attach it: this takes no lock that a writer of events would wait for.
        execute format('create table bus.%I (like bus.events including defaults including comments)', v_name);
        execute format('comment on table bus.%I is %L', v_name, format('Events from %s.', v_from));
        perform bus.guard_partition(format('bus.%I', v_name)::regclass);
        execute format(
            'alter table bus.events attach partition bus.%I for values from (%s) to (%s)',
            v_name, v_from, v_from + p_size
        );
        v_from := v_from + p_size;
        v_count := v_count + 1;
    end loop;

    return v_count;
end;
$$;

comment on function api.make_partitions is
    'Creates the partitions that events will soon need, for p_size event ids each; returns how many. Raises 55P03 if '
    'it cannot get a lock within 200 ms.';

create or replace function bus.youngest_history()
returns interval
language sql
immutable
parallel safe
begin atomic
    select interval '30 days';
end;

comment on function bus.youngest_history is 'Events younger than this are never dropped, even on request.';

create or replace function api.drop_partitions(
    p_before timestamptz,
    p_reason text
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    v_name  text;
    v_old   jsonb := '{}';
    v_young boolean;
    v_range jsonb;
    v_count integer := 0;
    v_all   jsonb := (
        select coalesce(jsonb_agg(jsonb_build_object('from', d.from_id, 'to', d.to_id) order by d.from_id), '[]')
        from bus.dropped_events as d
    );
begin
    if (isfinite(p_before) and p_before <= bus.clock() - bus.youngest_history()) is not true then
        raise exception 'history before % cannot be dropped', coalesce(p_before::text, 'nothing')
            using errcode = 'TRI01',
                  hint = format('Name an instant at least %s ago.', bus.youngest_history());
    end if;

    if coalesce(trim(p_reason), '') = '' then
        raise exception 'dropping history needs a reason'
            using errcode = 'TRI01', hint = 'Say why: it is recorded, and the history is gone for good.';
    end if;

    for v_name in
        select c.relname
        from pg_inherits as h
        join pg_class as c on c.oid = h.inhrelid
        where h.inhparent = 'bus.events'::regclass and c.relname like 'events\_from\_%'
        order by c.relname
    loop
        execute format(
            'select count(*) = 0 or bool_or(e.at >= $1 or s.event_id is null) '
            'from bus.%I as e left join bus.seals as s on s.event_id = e.event_id',
            v_name
        ) into v_young using p_before;
        continue when v_young;

        execute format(
            'select jsonb_build_object(''from'', min(e.event_id), ''to'', max(e.event_id)) from bus.%I as e', v_name
        ) into v_range;
        v_old := v_old || jsonb_build_object(v_name, v_range);
    end loop;

    -- Drop only after all reads: from the first drop to the commit, every writer of events waits.
    for v_name, v_range in
        select o.key, o.value from jsonb_each(v_old) as o order by (o.value -> 'from')::bigint
    loop
        begin
            execute format('drop table bus.%I', v_name);
        exception when lock_not_available then
            raise warning 'partition % is in use and stays until the next time', v_name;
            exit;
        end;
        v_all := v_all || v_range;
        v_count := v_count + 1;
    end loop;

    perform bus.record_event('history', null, 'retention', null,
        jsonb_build_object('before', p_before, 'reason', p_reason, 'partitions', v_count, 'dropped', v_all));
    return v_count;
end;
$$;

comment on function api.drop_partitions is
    'Retention: drops partitions whose events are all sealed and older than p_before, which must be at least 30 days '
    'ago; their seals stay. Returns how many. If a partition is in use, it and the later ones stay until the next '
    'call. Each call writes an event with the reason. Raises TRI01.';
