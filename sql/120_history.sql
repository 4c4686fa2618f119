-- 120_history: readers of the events that cannot skip one, and seals that show whether one was touched.
-- Events become visible out of order, so both work behind the xmin horizon: below it nothing can appear.

create or replace view bus.settled_events as
select e.*
from bus.events as e
cross join bus.instance as n
where e.generation < n.generation
   or (e.generation = n.generation and e.xid < pg_snapshot_xmin(pg_current_snapshot()));

comment on view bus.settled_events is
    'Events of transactions that are over, as are all before them: nothing can appear among these any more. Those of the next generation, written where the database was not started yet, wait until it has begun.';

create or replace function api.read_events(
    p_consumer text,
    p_limit    integer
)
returns setof bus.events
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_consumer bus.consumers;
begin
    perform bus.require_limit(p_limit);

    if bus.is_text(p_consumer, 200) is not true then
        perform bus.refuse_argument('the reader', 'a text of at most 200 bytes');
    end if;

    insert into bus.consumers (consumer) values (p_consumer) on conflict do nothing;
    select c.* into strict v_consumer from bus.consumers as c where c.consumer = p_consumer;

    return query
    select e.*
    from bus.settled_events as e
    where (e.generation, e.xid, e.event_id) > (v_consumer.generation, v_consumer.xid, v_consumer.event_id)
    order by e.generation, e.xid, e.event_id
    limit p_limit;
end;
$$;

comment on function api.read_events(text, integer) is
    'The next settled events for a reader, in their durable order. Reading does not move its cursor: advance_consumer does. Raises TRI01.';

create or replace function api.advance_consumer(
    p_consumer text,
    p_event_id bigint
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update bus.consumers as c
    set generation = e.generation,
        xid = e.xid,
        event_id = e.event_id,
        changed_at = bus.clock()
    from bus.settled_events as e
    where c.consumer = p_consumer
      and e.event_id = p_event_id
      and (e.generation, e.xid, e.event_id) > (c.generation, c.xid, c.event_id);

    if not found then
        raise exception 'event % is not ahead of reader %', p_event_id, left(p_consumer, 200)
            using errcode = 'TRI02', hint = 'Advance to the last event that read_events gave.';
    end if;
end;
$$;

comment on function api.advance_consumer(text, bigint) is
    'A reader has done with everything up to this event. It never goes back. Raises TRI02.';

create or replace function bus.event_hash(
    p_event   bus.events,
    p_version integer
)
returns text
language sql
stable
set timezone = 'UTC'
set datestyle = 'ISO'
begin atomic
    select encode(sha256(convert_to(
        case p_version
            -- Kept for the seals that were made with it: a | may stand in a field as well as between two.
            when 1 then concat_ws(
                '|', p_event.event_id, p_event.generation, p_event.xid, p_event.at, p_event.actor, p_event.cause,
                p_event.entity, coalesce(p_event.entity_id::text, '-'), p_event.change,
                coalesce(p_event.intent_id::text, '-'), coalesce(p_event.correlation_id, '-'), p_event.data
            )
            when 2 then jsonb_build_array(
                p_event.event_id, p_event.generation, p_event.xid::text, extract(epoch from p_event.at), p_event.actor,
                p_event.cause, p_event.entity, p_event.entity_id, p_event.change, p_event.intent_id,
                p_event.correlation_id, p_event.data
            )::text
        end,
        'UTF8'
    )), 'hex');
end;

comment on function bus.event_hash(bus.events, integer) is
    'sha256 over an event, as hex, in the way of a version; null for a version nobody knows.';

create or replace function api.seal_events(p_limit integer)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    v_last  bus.seals;
    v_event bus.events;
    v_hash  text;
    v_count integer := 0;
begin
    lock table bus.seals in exclusive mode;
    select s.* into v_last from bus.seals as s order by s.seal_no desc limit 1;
    v_last.seal_no := coalesce(v_last.seal_no, 0);
    v_last.chain := coalesce(v_last.chain, '');

    for v_event in
        select e.*
        from bus.settled_events as e
        where v_last.seal_no = 0
           or (e.generation, e.xid, e.event_id) > (v_last.generation, v_last.xid, v_last.event_id)
        order by e.generation, e.xid, e.event_id
        limit p_limit
    loop
        v_hash := bus.event_hash(v_event, 2);
        v_count := v_count + 1;
        v_last.chain := encode(sha256(convert_to(v_last.chain || v_hash, 'UTF8')), 'hex');
        insert into bus.seals (seal_no, event_id, generation, xid, event_hash, chain, hash_version)
        values (v_last.seal_no + v_count, v_event.event_id, v_event.generation, v_event.xid, v_hash, v_last.chain, 2);
    end loop;

    return v_count;
end;
$$;

comment on function api.seal_events(integer) is
    'Seals settled events in their order, off the hot path; returns how many. Raises 55P03 when it gets no lock for 200 ms.';

create or replace view bus.dropped_events as
select (d.value ->> 'from')::bigint as from_id, (d.value ->> 'to')::bigint as to_id
from (
    select e.data
    from bus.events as e
    where e.entity = 'history' and e.change = 'retention'
    order by e.event_id desc
    limit 1
) as l
cross join lateral jsonb_array_elements(l.data -> 'dropped') as d;

comment on view bus.dropped_events is
    'Which events retention has dropped: told, and itself sealed, by the last drop, which also tells of those before.';

create or replace function api.verify_seals()
returns table (event_id bigint, problem text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select s.event_id, 'removed'
    from bus.seals as s
    left join bus.events as e on e.event_id = s.event_id
    where e.event_id is null
      and not exists (select from bus.dropped_events as d where s.event_id between d.from_id and d.to_id)
    union all
    select s.event_id, 'changed'
    from bus.seals as s
    join bus.events as e on e.event_id = s.event_id
    where bus.event_hash(e, s.hash_version) is distinct from s.event_hash
    union all
    -- Where the seals around it count on without a gap, it never had one.
    select e.event_id, case when coalesce(a.seal_no, 0) + 1 = z.seal_no then 'inserted' else 'its seal was removed' end
    from bus.events as e
    cross join (select n.* from bus.seals as n order by n.seal_no desc limit 1) as l
    left join lateral (
        select max(s.seal_no) as seal_no
        from bus.seals as s
        where (s.generation, s.xid, s.event_id) < (e.generation, e.xid, e.event_id)
    ) as a on true
    left join lateral (
        select min(s.seal_no) as seal_no
        from bus.seals as s
        where (s.generation, s.xid, s.event_id) > (e.generation, e.xid, e.event_id)
    ) as z on true
    where (e.generation, e.xid, e.event_id) <= (l.generation, l.xid, l.event_id)
      and not exists (select from bus.seals as s where s.event_id = e.event_id)
    union all
    select c.event_id, 'its seal does not follow from the one before'
    from (
        select
            s.event_id,
            s.seal_no,
            s.chain,
            s.event_hash,
            lag(s.seal_no, 1, 0::bigint) over w as last_no,
            lag(s.chain, 1, '') over w as last_chain
        from bus.seals as s
        window w as (order by s.seal_no)
    ) as c
    where c.seal_no <> c.last_no + 1
       or c.chain <> encode(sha256(convert_to(c.last_chain || c.event_hash, 'UTF8')), 'hex');
end;

comment on function api.verify_seals() is
    'Every sealed event that was changed or removed, every one inserted behind the seals, every seal that was touched. Empty when history is as it was written.';

create or replace view api.seals as
select s.seal_no, s.event_id, s.event_hash, s.chain, s.sealed_at
from bus.seals as s;

comment on view api.seals is
    'The hash chain over the history. Keep a chain elsewhere now and then: as long as it stands here nobody rewrote what came before.';

create or replace trigger _100_append_only
before update or delete on bus.seals
for each row execute function bus.tg_append_only();

create or replace trigger _110_no_truncate
before truncate on bus.seals
for each statement execute function bus.tg_append_only();

create or replace function bus.guard_partition(p_partition regclass)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format(
        'create or replace trigger _110_no_truncate before truncate on %s for each statement execute function bus.tg_append_only()',
        p_partition
    );
    execute format('alter table %s enable always trigger _110_no_truncate', p_partition);
end;
$$;

comment on function bus.guard_partition(regclass) is
    'L9: a partition of the events is not truncated either: unlike the other guards of its table this one is not inherited.';

-- Partitions are made by the clock and named in no file: each deployment guards those that are there.
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
    -- On from the last one, or, where events have come past it into the default partition, from the next border.
    v_from := case when v_from > v_last then v_from else v_next end;

    -- Until there are two after the one events go to now.
    while v_from <= v_next + p_size loop
        v_name := format('events_from_%s', v_from);
        -- Made apart and then attached: that takes no lock that a writer of events would wait for.
        execute format('create table bus.%I (like bus.events including defaults including comments)', v_name);
        execute format('comment on table bus.%I is %L', v_name, format('Events from %s.', v_from));
        perform bus.guard_partition(format('bus.%I', v_name)::regclass);
        execute format(
            'alter table bus.events attach partition bus.%I for values from (%s) to (%s)', v_name, v_from, v_from + p_size
        );
        v_from := v_from + p_size;
        v_count := v_count + 1;
    end loop;

    return v_count;
end;
$$;

comment on function api.make_partitions(bigint) is
    'Makes the partitions that events will soon need, p_size events each; returns how many were made. Raises 55P03 when it gets no lock for 200 ms.';

create or replace function bus.youngest_history()
returns interval
language sql
immutable
parallel safe
begin atomic
    select interval '30 days';
end;

comment on function bus.youngest_history() is 'Events younger than this are never dropped, whatever a person asks.';

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
        raise exception 'history before % is not dropped', coalesce(p_before::text, 'nothing')
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
            'select count(*) = 0 or bool_or(e.at >= $1 or s.event_id is null) from bus.%I as e left join bus.seals as s on s.event_id = e.event_id',
            v_name
        ) into v_young using p_before;
        continue when v_young;

        execute format(
            'select jsonb_build_object(''from'', min(e.event_id), ''to'', max(e.event_id)) from bus.%I as e', v_name
        ) into v_range;
        v_old := v_old || jsonb_build_object(v_name, v_range);
    end loop;

    -- Only now, when nothing has to be read any more: from the first drop on every writer of events waits.
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

comment on function api.drop_partitions(timestamptz, text) is
    'Retention: drops partitions whose events are all sealed and older than an instant at least 30 days ago; their seals stay. Returns how many; one that somebody reads stays until the next time. The drop itself is an event, with its reason. Raises TRI01.';
