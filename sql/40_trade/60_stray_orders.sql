-- 60_stray_orders: orders that we closed but that are still live at the broker (strays).  A terminal status never
-- changes, so a stray is not reopened: it is cancelled at the broker.  Until it is gone there, what it may still trade
-- stays reserved, no order of its symbol and side is claimed (trade.lock_claimable_intents), and an incident is open.

create or replace function trade.tg_orders__reserve_stray()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_qty    numeric := case when new.stray_since is null then 0 else new.quantity - new.filled_qty end
        - case when old.stray_since is null then 0 else old.quantity - old.filled_qty end;
    v_intent trade.order_intents;
begin
    select i.* into strict v_intent from trade.order_intents as i where i.intent_id = new.intent_id;

    if new.side = 'SELL' then
        update trade.positions as p
        set locked_qty = p.locked_qty + v_qty,
            stray_qty = p.stray_qty + v_qty
        where (p.account_id, p.instrument_id, p.owner) = (new.account_id, new.instrument_id, v_intent.owner);
    else
        update trade.balances as b
        set locked_cash = b.locked_cash + v_qty * new.limit_price * (1 + v_intent.reserve_rate),
            stray_cash = b.stray_cash + v_qty * new.limit_price * (1 + v_intent.reserve_rate)
        where b.account_id = new.account_id;
    end if;

    return null;
end;
$$;

comment on function trade.tg_orders__reserve_stray is
    'L2, L3: reserves what a stray order may still trade. Never refused: it is a fact and may cause a breach.';

create or replace trigger _500_reserve_stray
after update on trade.orders
for each row
when (
    (old.stray_since is null) <> (new.stray_since is null)
    or (new.stray_since is not null and (old.quantity, old.filled_qty) is distinct from (new.quantity, new.filled_qty))
)
execute function trade.tg_orders__reserve_stray();

create or replace function trade.clear_stray(
    p_order_id  bigint,
    p_by_broker boolean
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    update trade.orders as o
    set stray_since = null,
        next_ask_at = null,
        broker_ended_at = case when p_by_broker then bus.clock() end
    where o.order_id = p_order_id
      and o.stray_since is not null;

    perform risk.end_incident('stray_order', format('order %s', p_order_id));
end;
$$;

comment on function trade.clear_stray is
    'Ends the stray state of an order that is gone at the broker, by its report or by our conclusion, and frees what '
    'the order reserved. The caller holds the locks.';

create or replace function trade.mark_stray(
    p_order trade.orders,
    p_fact  text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- End the intent unless another order of it is live: a further attempt would trade on top of this order.
    perform trade.retire_intent(
        p_order.intent_id, 'CANCELLED', 'its order is still live at the broker after we closed it'
    );

    update trade.orders as o
    set stray_since = bus.clock(),
        cancel_requested_at = coalesce(o.cancel_requested_at, bus.clock()),
        next_ask_at = null,
        not_found_count = 0
    where o.order_id = p_order.order_id;

    perform api.raise_incident('stray_order', format('order %s', p_order.order_id), jsonb_build_object(
        'message', format('order %s was ended here (%s) and then %s: it is cancelled at the broker',
            p_order.order_id, left(p_order.closed_reason, 200), p_fact),
        'client_order_id', p_order.client_order_id, 'broker_order_id', p_order.broker_order_id,
        'side', p_order.side, 'open_quantity', p_order.quantity - p_order.filled_qty
    ));

    perform trade.release_unsent_intents(i.account_id, i.instrument_id, i.owner)
    from trade.order_intents as i
    where i.intent_id = p_order.intent_id;
end;
$$;

comment on function trade.mark_stray is
    'Marks a closed order that is live at the broker as a stray: reserves for it, requests its cancel and opens an '
    'incident. The caller holds the locks.';

create or replace function trade.handle_stray_activity(
    p_order_id bigint,
    p_fact     text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order trade.orders;
begin
    select o.* into strict v_order from trade.orders as o where o.order_id = p_order_id;

    -- An order that is filled, replaced or reported as ended by the broker can trade no more.
    if v_order.stray_since is null
        and v_order.status not in ('FILLED', 'REPLACED')
        and v_order.broker_ended_at is null
        and v_order.filled_qty < v_order.quantity
    then
        perform trade.mark_stray(v_order, p_fact);
    elsif v_order.stray_since is null then
        perform risk.end_incident('stray_order', format('order %s', p_order_id));
    end if;

    perform risk.end_incident('lost_order', format('order %s', p_order_id)) where v_order.filled_qty = v_order.quantity;
    update risk.incidents as c
    set closed_at = bus.clock()
    where c.kind = 'missing_fills'
      and c.subject = format('order %s', p_order_id)
      and c.closed_at is null
      and (c.detail ->> 'broker_says')::numeric <= v_order.filled_qty + v_order.overfill_qty;

    -- If it was the child of an amend and its parent has just closed as replaced, the intent has no live order left.
    perform trade.retire_intent(v_order.intent_id, 'CANCELLED', 'its order was closed before the broker reported it')
    from trade.order_intents as i
    where i.intent_id = v_order.intent_id and i.status not in ('NEW', 'PENDING_APPROVAL');
end;
$$;

comment on function trade.handle_stray_activity is
    'Follows up a recorded report about an order that had already closed: makes the order a stray if more of it may '
    'trade. The caller holds the locks.';
