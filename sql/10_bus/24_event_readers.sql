-- 24_event_readers: reading events with a cursor. No reader can skip an event, in whatever order transactions commit.

create or replace view bus.final_events as
select e.*
from bus.events as e
cross join bus.instance as n
where e.generation < n.generation
   or (e.generation = n.generation and e.xid < pg_snapshot_xmin(pg_current_snapshot()));

comment on view bus.final_events is
    'Events whose transactions, and all earlier ones, have ended: no event can appear among them any more. Events of '
    'the next generation, written before the database was started here, appear once that generation has begun.';

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
    from bus.final_events as e
    where (e.generation, e.xid, e.event_id) > (v_consumer.generation, v_consumer.xid, v_consumer.event_id)
    order by e.generation, e.xid, e.event_id
    limit p_limit;
end;
$$;

comment on function api.read_events is
    'The next events for a reader whose order is final, in their durable order. Reading does not move its cursor; '
    'advance_consumer does. Raises TRI01.';

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
    from bus.final_events as e
    where c.consumer = p_consumer
      and e.event_id = p_event_id
      and (e.generation, e.xid, e.event_id) > (c.generation, c.xid, c.event_id);

    if not found then
        raise exception 'event % is not ahead of reader %', p_event_id, left(p_consumer, 200)
            using errcode = 'TRI02', hint = 'Advance to the last event that read_events gave.';
    end if;
end;
$$;

comment on function api.advance_consumer is
    'Moves a reader''s cursor to this event, once it has processed everything up to it. A cursor never moves back. '
    'Raises TRI02.';
