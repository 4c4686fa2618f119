-- 18_order_laws: the laws of an order (L1 mode, L4 lifecycle, L5 one live order within the intent), enforced by
-- triggers against every writer.

create or replace function trade.tg_orders__guard()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intents bigint[] := array(select n.intent_id from new_rows as n);
    v_refused record;
begin
    perform risk.lock_gate_shared();
    perform from trade.order_intents as i where i.intent_id = any(v_intents) order by i.intent_id for no key update;

    select v.mode, v.verdict, k.action into v_refused
    from (
        select distinct i.account_id, t.action, i.approved_by is not null as is_approved
        from trade.order_intents as i
        join trade.intent_types as t on t.intent_type = i.intent_type and t.side = i.side
        where i.intent_id = any(v_intents)
    ) as k
    left join risk.verdicts as v on v.account_id = k.account_id and v.action = k.action
    where (v.verdict = 'ALLOW' or (v.verdict = 'APPROVE' and k.is_approved)) is not true
    order by v.verdict
    limit 1;

    if found then
        perform risk.refuse_action(v_refused.mode, v_refused.action, v_refused.verdict);
    end if;

    return null;
end;
$$;

comment on function trade.tg_orders__guard is
    'L1: refuses to store orders that the mode forbids. Raises TRM01, TRM02, TRM03.';

create or replace trigger _100_guard_new
after insert on trade.orders
referencing new table as new_rows
for each statement execute function trade.tg_orders__guard();

create or replace function trade.order_fault(p_order trade.orders)
returns text
language sql
immutable
begin atomic
    select case
        when p_order.side not in ('BUY', 'SELL') then 'side_known'
        when p_order.order_type not in ('LIMIT', 'MARKET') then 'type_known'
        when not length(p_order.client_order_id) between 1 and 36 then 'client_order_id_short'
        when not (p_order.quantity > 0 and p_order.limit_price > 0) then 'quantity_positive'
        when not p_order.filled_qty between 0 and p_order.quantity then 'filled_within_quantity'
        when p_order.overfill_qty < 0 then 'overfill_not_negative'
        when p_order.status = 'SENDING' and p_order.claimed_by is null then 'sending_has_owner'
        when p_order.is_pending and p_order.parent_order_id is null then 'pending_is_child'
        when (p_order.amend_at is null) <> (p_order.amend_price is null) then 'amend_has_price'
        when (p_order.closed_at is not null)
            <> (p_order.status in ('FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED', 'REPLACED')) then 'closed_iff_terminal'
        when p_order.stray_since is not null and not (
            p_order.closed_at is not null and p_order.broker_ended_at is null
            and p_order.cancel_requested_at is not null and p_order.filled_qty < p_order.quantity
        ) then 'stray_is_being_cancelled'
        when (
            bus.is_amount(p_order.quantity) and bus.is_amount(p_order.limit_price) and isfinite(p_order.send_before)
        ) is not true then 'within_bounds'
    end;
end;

comment on function trade.order_fault is
    'L4, L5: the first rule about its own columns that an order breaks; null when it breaks none.';

create or replace function trade.tg_orders__derive()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    new.state_since := bus.clock();
    return new;
end;
$$;

comment on function trade.tg_orders__derive is 'Sets since when an order has its status.';

create or replace trigger _190_derive_new
before insert on trade.orders
for each row execute function trade.tg_orders__derive();

create or replace trigger _195_derive_moved
before update on trade.orders
for each row
when (old.status is distinct from new.status)
execute function trade.tg_orders__derive();

create or replace function trade.tg_orders__check_new()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform trade.refuse_row('order', n.order_id, 'BEGIN', n.status, trade.order_fault(row(n.*)::trade.orders))
    from new_rows as n
    where trade.order_fault(row(n.*)::trade.orders) is not null
       or not exists (
           select from trade.order_transitions as t where t.from_status = 'BEGIN' and t.to_status = n.status
       );

    return null;
end;
$$;

comment on function trade.tg_orders__check_new is
    'L4: refuses new orders that do not begin as their lifecycle says, or whose columns contradict each other. Raises '
    'TRL01, TRI01, check_violation.';

create or replace trigger _200_check_new
after insert on trade.orders
referencing new table as new_rows
for each statement execute function trade.tg_orders__check_new();

create or replace function trade.tg_orders__check_change()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_nestloop = off  -- the plan is kept, and may have been made for one row
as $$
begin
    perform trade.refuse_row('order', c.order_id, c.was, c.status, case when c.may_move then c.fault end)
    from (
        select
            n.order_id,
            o.status as was,
            n.status,
            trade.order_fault(row(n.*)::trade.orders) as fault,
            n.status = o.status or exists (
                select from trade.order_transitions as t where t.from_status = o.status and t.to_status = n.status
            ) as may_move
        from old_rows as o
        join new_rows as n on n.order_id = o.order_id
    ) as c
    -- A row that was stored before there were bounds may still move.
    where c.fault <> 'within_bounds' or not c.may_move;

    return null;
end;
$$;

comment on function trade.tg_orders__check_change is
    'L4: lets orders move only along their lifecycle, and only to rows whose columns do not contradict each other. Raises '
    'TRL01, TRI01, check_violation.';

create or replace trigger _210_check_change
after update on trade.orders
referencing old table as old_rows new table as new_rows
for each statement execute function trade.tg_orders__check_change();

create or replace function trade.tg_orders__check_exposure()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_refused record;
begin
    select n.quantity, n.limit_price, n.intent_id into v_refused
    from new_rows as n
    -- Look up each intent by its key alone: with more conditions the planner may choose the index of all live intents.
    left join lateral (
        select i.* from trade.order_intents as i where i.intent_id = n.intent_id offset 0
    ) as i on true
    where (
        i.closed_at is null
        and i.status not in ('PENDING_APPROVAL', 'NEW')
        and (i.account_id, i.instrument_id, i.side) = (n.account_id, n.instrument_id, n.side)
        and n.quantity <= i.quantity - i.filled_qty
        and case i.side when 'BUY' then n.limit_price <= i.worst_price else n.limit_price >= i.worst_price end
    ) is not true
    order by n.order_id
    limit 1;

    if found then
        raise exception 'order of % at % exceeds its intent %', trim_scale(v_refused.quantity),
            trim_scale(v_refused.limit_price), v_refused.intent_id
            using errcode = 'TRL04',
                  hint = 'An order carries at most the rest of a claimed intent, within its worst price.';
    end if;

    return null;
end;
$$;

comment on function trade.tg_orders__check_exposure is
    'L5: refuses orders that exceed what their intents have reserved. Raises TRL04.';

create or replace trigger _300_check_exposure
after insert on trade.orders
referencing new table as new_rows
for each statement execute function trade.tg_orders__check_exposure();

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
