-- 12_intent_reservations: what follows from a new or changed intent: its reservation, a notification, an event.

create or replace function trade.tg_order_intents__reserve()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_qty  numeric := new.reserved_qty;
    v_cash numeric := new.reserved_cash;
begin
    if tg_op = 'UPDATE' then
        v_qty := v_qty - old.reserved_qty;
        v_cash := v_cash - old.reserved_cash;
    end if;

    if v_qty <> 0 then
        update trade.positions as p
        set locked_qty = p.locked_qty + v_qty
        where p.account_id = new.account_id
          and p.instrument_id = new.instrument_id
          and p.owner = new.owner
          and (v_qty < 0 or p.locked_qty + v_qty <= p.qty + p.breach_qty);

        if not found then
            raise exception 'cannot sell %: % of % is free', trim_scale(v_qty),
                coalesce((
                    select trim_scale(p.qty - p.locked_qty)
                    from trade.positions as p
                    where p.account_id = new.account_id and p.instrument_id = new.instrument_id and p.owner = new.owner
                ), 0),
                (select i.symbol from market.instruments as i where i.instrument_id = new.instrument_id)
                using errcode = 'TRQ01',
                      hint = format(
                          'It must be held by %s and not reserved by another live sell: select * from positions;',
                          new.owner
                      );
        end if;
    end if;

    if v_cash <> 0 then
        update trade.balances as b
        set locked_cash = b.locked_cash + v_cash
        where b.account_id = new.account_id
          and (v_cash < 0 or b.locked_cash + v_cash <= b.cash + b.breach_cash);

        if not found then
            raise exception 'cannot spend %: % is free', trim_scale(v_cash),
                coalesce((
                    select trim_scale(b.cash - b.locked_cash)
                    from trade.balances as b
                    where b.account_id = new.account_id
                ), 0)
                using errcode = 'TRC01',
                      hint = 'A buy reserves its worst price plus fees: select * from accounts;';
        end if;
    end if;

    return null;
end;
$$;

comment on function trade.tg_order_intents__reserve is
    'L2, L3: adds each change of an intent''s reservation to its position (sell) or balance (buy); nothing else '
    'does that. Raises TRQ01, TRC01.';

create or replace trigger _500_reserve_new
after insert on trade.order_intents
for each row execute function trade.tg_order_intents__reserve();

create or replace trigger _510_reserve_change
after update of reserved_qty, reserved_cash on trade.order_intents
for each row
when (old.reserved_qty is distinct from new.reserved_qty or old.reserved_cash is distinct from new.reserved_cash)
execute function trade.tg_order_intents__reserve();

create or replace function trade.tg_order_intents__notify()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.notify('new_intent');
    return null;
end;
$$;

comment on function trade.tg_order_intents__notify is
    'Notifies execution that an intent waits. Only a hint: the row is the truth.';

create or replace trigger _900_notify_new
after insert on trade.order_intents
for each row
when (new.status = 'NEW')
execute function trade.tg_order_intents__notify();

create or replace trigger _910_notify_again
after update on trade.order_intents
for each row
when (new.status = 'NEW' and old.status <> 'NEW')
execute function trade.tg_order_intents__notify();

create or replace function trade.tg_order_intents__record()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.record_event('intent', new.intent_id, new.status, new.intent_id, jsonb_build_object(
        'account_id', new.account_id, 'instrument_id', new.instrument_id, 'owner', new.owner,
        'intent_type', new.intent_type, 'side', new.side, 'reason', new.reason,
        'quantity', new.quantity, 'worst_price', new.worst_price, 'filled_qty', new.filled_qty,
        'overfill_qty', new.overfill_qty, 'reserved_qty', new.reserved_qty, 'reserved_cash', new.reserved_cash,
        'approved_by', new.approved_by, 'closed_reason', new.closed_reason, 'not_before', new.not_before,
        'escalated_at', new.escalated_at
    ));
    return null;
end;
$$;

comment on function trade.tg_order_intents__record is 'L9: records one event for each change of an intent.';

create or replace trigger _950_record_new
after insert on trade.order_intents
for each row execute function trade.tg_order_intents__record();

create or replace trigger _960_record_change
after update on trade.order_intents
for each row
when (old is distinct from new)
execute function trade.tg_order_intents__record();
