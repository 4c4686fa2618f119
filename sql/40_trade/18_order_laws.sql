-- 18_order_laws: the laws of an order (L1 mode, L4 lifecycle, L5 one live order within the intent), enforced by
-- triggers against every writer.

create or replace function trade.tg_orders__guard()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent  trade.order_intents;
    v_verdict text;
begin
    select i.* into v_intent
    from trade.order_intents as i
    where i.intent_id = new.intent_id
    for no key update;

    v_verdict := risk.require_mode_allows(
        v_intent.account_id,
        (
            select t.action
            from trade.intent_types as t
            where t.intent_type = v_intent.intent_type and t.side = v_intent.side
        )
    );

    if v_verdict = 'APPROVE' and v_intent.approved_by is null then
        raise exception 'intent % needs the approval of a person before it is sent', v_intent.intent_id
            using errcode = 'TRM03', hint = 'select * from approvals;';
    end if;

    return new;
end;
$$;

comment on function trade.tg_orders__guard is
    'L1: refuses to store an order that the mode forbids. Raises TRM01, TRM02, TRM03.';

create or replace trigger _100_guard_new
before insert on trade.orders
for each row execute function trade.tg_orders__guard();

create or replace function trade.tg_orders__check_bounds()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if (bus.is_amount(new.quantity) and bus.is_amount(new.limit_price) and isfinite(new.send_before)) is not true then
        perform bus.refuse_row(tg_table_schema, tg_table_name);
    end if;

    return new;
end;
$$;

comment on function trade.tg_orders__check_bounds is
    'Refuses an order whose numbers or times are out of bounds. Raises TRI01.';

create or replace trigger _120_within_bounds
before insert on trade.orders
for each row execute function trade.tg_orders__check_bounds();

create or replace function trade.tg_orders__check_move()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_from text := 'BEGIN';
begin
    if tg_op = 'UPDATE' then
        v_from := old.status;
    end if;

    if not exists (
        select
        from trade.order_transitions as t
        where t.from_status = v_from
          and t.to_status = new.status
    ) then
        raise exception 'order % cannot move from % to %', new.order_id, v_from, new.status
            using errcode = 'TRL01',
                  hint = 'See trade.order_transitions for the legal moves.';
    end if;

    new.state_since := bus.clock();
    return new;
end;
$$;

comment on function trade.tg_orders__check_move is
    'L4: lets an order begin and move only along its lifecycle, and sets state_since. Raises TRL01.';

create or replace trigger _200_check_beginning
before insert on trade.orders
for each row execute function trade.tg_orders__check_move();

create or replace trigger _210_check_move
before update on trade.orders
for each row
when (old.status is distinct from new.status)
execute function trade.tg_orders__check_move();

create or replace function trade.tg_orders__check_exposure()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent trade.order_intents;
begin
    -- Look up by the key alone: with more conditions the planner may choose the index of all live intents.
    select i.* into v_intent from trade.order_intents as i where i.intent_id = new.intent_id;

    if (
        v_intent.closed_at is null
        and v_intent.status not in ('PENDING_APPROVAL', 'NEW')
        and (v_intent.account_id, v_intent.instrument_id, v_intent.side)
            = (new.account_id, new.instrument_id, new.side)
        and new.quantity <= v_intent.quantity - v_intent.filled_qty
        and case v_intent.side
            when 'BUY' then new.limit_price <= v_intent.worst_price
            else new.limit_price >= v_intent.worst_price
        end
    ) is not true then
        raise exception 'order of % at % exceeds its intent %', trim_scale(new.quantity),
            trim_scale(new.limit_price), new.intent_id
            using errcode = 'TRL04',
                  hint = 'An order carries at most the rest of a claimed intent, within its worst price.';
    end if;

    return new;
end;
$$;

comment on function trade.tg_orders__check_exposure is
    'L5: refuses an order that exceeds what its intent has reserved. Raises TRL04.';

create or replace trigger _300_check_exposure
before insert on trade.orders
for each row execute function trade.tg_orders__check_exposure();

create or replace function trade.tg_orders__keep_decision()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'the terms of order % are fixed', old.order_id
        using errcode = 'TRL02',
              hint = 'Cancel it; another order gets another client_order_id.';
end;
$$;

comment on function trade.tg_orders__keep_decision is
    'L6: refuses a change to the terms of a stored order. Raises TRL02.';

create or replace trigger _310_keep_decision
before update of order_id, intent_id, account_id, instrument_id, side, client_order_id, order_type, limit_price,
    send_before, quantity, broker_order_id, fence
on trade.orders
for each row
when (
    (old.order_id, old.intent_id, old.account_id, old.instrument_id, old.side, old.client_order_id, old.order_type,
     old.limit_price, old.send_before)
    is distinct from
    (new.order_id, new.intent_id, new.account_id, new.instrument_id, new.side, new.client_order_id, new.order_type,
     new.limit_price, new.send_before)
    -- The quantity of a pending child may shrink: its parent may have filled in the meantime.
    or new.quantity > old.quantity
    or (new.quantity < old.quantity and not old.is_pending)
    or (old.broker_order_id is not null and new.broker_order_id is distinct from old.broker_order_id)
    or new.fence < old.fence
)
execute function trade.tg_orders__keep_decision();

create or replace trigger _400_no_delete
before delete on trade.orders
for each row execute function bus.tg_append_only();

create or replace trigger _410_no_truncate
before truncate on trade.orders
for each statement execute function bus.tg_append_only();
