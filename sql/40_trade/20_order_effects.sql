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

create or replace function trade.tg_orders__record()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.record_event('order', new.order_id, new.status, new.intent_id, jsonb_build_object(
        'client_order_id', new.client_order_id, 'broker_order_id', new.broker_order_id, 'side', new.side,
        'quantity', new.quantity, 'limit_price', new.limit_price, 'filled_qty', new.filled_qty,
        'overfill_qty', new.overfill_qty, 'claimed_by', new.claimed_by, 'fence', new.fence,
        'cancel_requested_at', new.cancel_requested_at, 'closed_reason', new.closed_reason,
        'parent_order_id', new.parent_order_id, 'amend_price', new.amend_price, 'not_found_count', new.not_found_count,
        'stray_since', new.stray_since, 'broker_ended_at', new.broker_ended_at
    ));
    return null;
end;
$$;

comment on function trade.tg_orders__record is 'L9: records one event for each change of an order.';

create or replace trigger _950_record_new
after insert on trade.orders
for each row execute function trade.tg_orders__record();

create or replace trigger _960_record_change
after update on trade.orders
for each row
when (old is distinct from new)
execute function trade.tg_orders__record();
