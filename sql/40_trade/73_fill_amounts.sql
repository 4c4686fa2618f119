-- 73_fill_amounts: what a fill changes in its order and its intent, and how a sale beyond the known position is booked.

create or replace function trade.apply_to_order(
    p_order    trade.orders,
    p_quantity numeric
)
returns void
language sql
volatile
begin atomic
    update trade.orders as o
    set filled_qty = least(o.filled_qty + p_quantity, o.quantity),
        overfill_qty = o.overfill_qty + greatest(o.filled_qty + p_quantity - o.quantity, 0),
        status = case
            when o.closed_at is not null then o.status
            when o.filled_qty + p_quantity >= o.quantity then 'FILLED'
            else 'PARTIAL_FILLED'
        end,
        closed_at = case
            when o.closed_at is not null then o.closed_at
            when o.filled_qty + p_quantity >= o.quantity then bus.clock()
        end,
        closed_reason = case
            when o.closed_at is not null then o.closed_reason
            when o.filled_qty + p_quantity >= o.quantity then 'filled'
        end,
        -- A completely filled stray can trade no more.
        stray_since = case when o.filled_qty + p_quantity < o.quantity then o.stray_since end,
        broker_ended_at = case
            when o.stray_since is not null and o.filled_qty + p_quantity >= o.quantity then bus.clock()
            else o.broker_ended_at
        end,
        answered_at = coalesce(o.answered_at, bus.clock()),
        -- Schedule a status check: the broker may never report that it accepted the order.
        check_at = coalesce(o.check_at, bus.clock() + interval '1 min')
    where o.order_id = p_order.order_id;
end;

comment on function trade.apply_to_order is
    'Adds a fill to its order. A terminal order keeps its status; what exceeds its quantity is overfill; a completely '
    'filled stray is no longer a stray.';

create or replace function trade.apply_to_intent(
    p_intent_id bigint,
    p_quantity  numeric
)
returns void
language sql
volatile
begin atomic
    update trade.order_intents as i
    set filled_qty = s.filled,
        overfill_qty = i.overfill_qty + i.filled_qty + p_quantity - s.filled,
        status = case
            when i.closed_at is not null then i.status
            when s.filled = i.quantity then 'FILLED'
            -- Its order was considered never sent: the rest still waits to be sent.
            when i.status in ('NEW', 'PENDING_APPROVAL') then i.status
            else 'PARTIAL_FILLED'
        end,
        reserved_qty = case
            when i.closed_at is not null or i.side = 'BUY' then 0
            else i.quantity - s.filled
        end,
        reserved_cash = case
            when i.closed_at is not null or i.side = 'SELL' then 0
            else (i.quantity - s.filled) * i.worst_price * (1 + i.reserve_rate)
        end,
        closed_at = case
            when i.closed_at is not null then i.closed_at
            when s.filled = i.quantity then bus.clock()
        end,
        closed_reason = case
            when i.closed_at is not null then i.closed_reason
            when s.filled = i.quantity then 'filled'
        end
    from (
        select least(n.filled_qty + p_quantity, n.quantity) as filled
        from trade.order_intents as n
        where n.intent_id = p_intent_id
    ) as s
    where i.intent_id = p_intent_id;
end;

comment on function trade.apply_to_intent is
    'Adds a fill to its intent and frees what was reserved for it. A terminal intent keeps its status.';

create or replace function trade.book_oversold_quantity(
    p_position trade.positions,
    p_quantity numeric,
    p_price    numeric
)
returns trade.positions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_missing numeric := p_quantity - p_position.qty;
begin
    if v_missing <= 0 then
        return p_position;
    end if;

    -- More was sold than we knew of, so those units existed at the broker: book them, at the price they were sold for,
    -- and open an incident.
    insert into trade.reconciliations (account_id, instrument_id, owner, quantity, price, reason)
    values (
        p_position.account_id, p_position.instrument_id, p_position.owner, v_missing, p_price,
        'sold more than was known'
    );

    perform trade.move_position(p_position, v_missing, v_missing * p_price, 0);
    perform api.raise_incident(
        'oversold',
        format('position %s/%s/%s', p_position.account_id, p_position.instrument_id, p_position.owner),
        jsonb_build_object('quantity', v_missing, 'price', p_price)
    );

    return trade.ensure_position(p_position.account_id, p_position.instrument_id, p_position.owner);
end;
$$;

comment on function trade.book_oversold_quantity is
    'Books, as a reconciliation, the quantity sold beyond the position we knew; returns the updated position.';

create or replace function trade.use_up_order(
    p_order    trade.orders,
    p_quantity numeric
)
returns trade.order_intents
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent trade.order_intents;
begin
    perform trade.activate_replacement(p_order, null);
    perform trade.apply_to_order(p_order, p_quantity);
    perform trade.apply_to_intent(p_order.intent_id, p_quantity);
    perform trade.cancel_excess_orders(p_order.intent_id);

    if p_order.closed_at is not null and p_quantity > 0 then
        perform trade.handle_stray_activity(p_order.order_id, 'it was filled');
    end if;

    select i.* into strict v_intent from trade.order_intents as i where i.intent_id = p_order.intent_id;

    if v_intent.overfill_qty > 0 and p_quantity > 0 then
        perform api.raise_incident('overfill', format('intent %s', v_intent.intent_id), jsonb_build_object(
            'message', format('the broker filled %s more than was ordered', trim_scale(v_intent.overfill_qty)),
            'order_id', p_order.order_id, 'overfill_qty', v_intent.overfill_qty
        ));
    end if;

    return v_intent;
end;
$$;

comment on function trade.use_up_order is
    'Adds a filled quantity to an order and its intent and frees what was reserved for it; returns the updated intent. '
    'The caller holds the locks.';
