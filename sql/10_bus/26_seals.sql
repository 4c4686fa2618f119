-- 26_seals: seals make the history tamper-evident: each is a hash over an event and the previous seal.

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
            -- Only for seals made with version 1, in which a | inside a field looks like the separator between two.
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

comment on function bus.event_hash is
    'sha256 of an event, as hex, computed as p_version says; null for an unknown version.';

create or replace function api.seal_events(p_limit integer default 1000)
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
        from bus.final_events as e
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

comment on function api.seal_events is
    'Seals events whose order is final, off the hot path; returns how many. Raises 55P03 if it cannot get a lock within '
    '200 ms.';

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
    'Ranges of event ids that retention has dropped. Each drop writes one sealed event that lists every range '
    'dropped so far; this view reads the last one.';

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
    -- If neighbouring seal numbers are consecutive, the event was never sealed.
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

comment on function api.verify_seals is
    'Lists every sealed event that was changed or removed, every event inserted among the sealed ones, and every '
    'seal that was altered or removed. Empty when the history is intact.';

create or replace view api.seals as
select s.seal_no, s.event_id, s.event_hash, s.chain, s.sealed_at
from bus.seals as s;

comment on view api.seals is
    'The hash chain over the history. Save a chain value elsewhere now and then: while it is still found here, '
    'nobody has rewritten the history before it.';

create or replace trigger _100_append_only
before update or delete on bus.seals
for each row execute function bus.tg_append_only();

create or replace trigger _110_no_truncate
before truncate on bus.seals
for each statement execute function bus.tg_append_only();
