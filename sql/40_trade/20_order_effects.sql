-- 20_order_effects: what follows from a new or changed order: a notification, an event.

create or replace function trade.tg_orders__notify()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.notify('order_work');
    return null;
end;
$$;

comment on function trade.tg_orders__notify is
    'Notifies execution that an order needs a cancel, an amend or a query. Only a hint.';

create or replace trigger _900_notify
after update on trade.orders
for each row
when (
    (old.cancel_requested_at is null and new.cancel_requested_at is not null)
    or (old.amend_at is null and new.amend_at is not null)
    or (old.status <> 'IN_DOUBT' and new.status = 'IN_DOUBT')
    or (old.stray_since is null and new.stray_since is not null)
)
execute function trade.tg_orders__notify();

create or replace function trade.order_facts(p_order trade.orders)
returns jsonb
language sql
stable
begin atomic
    select jsonb_build_object(
        'client_order_id', p_order.client_order_id, 'broker_order_id', p_order.broker_order_id, 'side', p_order.side,
        'quantity', p_order.quantity, 'limit_price', p_order.limit_price, 'filled_qty', p_order.filled_qty,
        'overfill_qty', p_order.overfill_qty, 'claimed_by', p_order.claimed_by, 'fence', p_order.fence,
        'cancel_requested_at', p_order.cancel_requested_at, 'closed_reason', p_order.closed_reason,
        'parent_order_id', p_order.parent_order_id, 'amend_price', p_order.amend_price,
        'not_found_count', p_order.not_found_count, 'stray_since', p_order.stray_since,
        'broker_ended_at', p_order.broker_ended_at
    );
end;

comment on function trade.order_facts is 'What an event says of an order.';

create or replace function trade.tg_orders__record()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_nestloop = off  -- the plan is kept, and may have been made for one row
as $$
declare
    v_origin record;
begin
    if not exists (select from new_rows as n) then
        return null;
    end if;

    v_origin := bus.event_origin();

    if tg_op = 'INSERT' then
        insert into bus.events (generation, cause, entity, entity_id, change, intent_id, correlation_id, data)
        select
            v_origin.generation, v_origin.cause, 'order', n.order_id, n.status, n.intent_id,
            (select i.correlation_id from trade.order_intents as i where i.intent_id = n.intent_id),
            trade.order_facts(row(n.*)::trade.orders)
        from new_rows as n
        order by n.order_id;
    else
        insert into bus.events (generation, cause, entity, entity_id, change, intent_id, correlation_id, data)
        select
            v_origin.generation, v_origin.cause, 'order', n.order_id, n.status, n.intent_id,
            (select i.correlation_id from trade.order_intents as i where i.intent_id = n.intent_id),
            trade.order_facts(row(n.*)::trade.orders)
        from old_rows as o
        join new_rows as n on n.order_id = o.order_id
        where n is distinct from o
        order by n.order_id;
    end if;

    return null;
end;
$$;

comment on function trade.tg_orders__record is 'L9: records one event for each change of an order.';

create or replace trigger _950_record_new
after insert on trade.orders
referencing new table as new_rows
for each statement execute function trade.tg_orders__record();

create or replace trigger _960_record_change
after update on trade.orders
referencing old table as old_rows new table as new_rows
for each statement execute function trade.tg_orders__record();
