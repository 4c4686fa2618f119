-- 75_cumulative_fills: brokers that report the total filled so far per order, not each fill.

create or replace function trade.apply_cumulative_fill(
    p_order     trade.orders,
    p_quantity  numeric,
    p_notional  numeric,
    p_fee       numeric,
    p_tax       numeric,
    p_filled_at timestamptz
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_booked record;
    v_last   trade.fills;
    v_known  trade.fill_money;
begin
    select
        coalesce(sum(m.quantity), 0) as quantity,
        coalesce(sum(m.notional), 0) as notional,
        coalesce(sum(m.fee), 0) as fee,
        coalesce(sum(m.tax), 0) as tax,
        max(m.fill_id) as last_fill_id
    into v_booked
    from trade.fill_money as m
    where m.order_id = p_order.order_id
      and not trade.is_busted(m.fill_id);  -- the broker's total excludes busted fills

    if p_quantity > v_booked.quantity and p_notional > v_booked.notional then
        return trade.apply_fill(
            p_order,
            format('cum:%s:%s', p_order.order_id, trim_scale(p_quantity)),
            p_quantity - v_booked.quantity,
            (p_notional - v_booked.notional) / (p_quantity - v_booked.quantity),
            p_fee - v_booked.fee,
            p_tax - v_booked.tax,
            0,
            p_filled_at,
            p_notional - v_booked.notional,
            -- The order has already counted the busted fills.
            least(p_order.filled_qty + p_order.overfill_qty, p_quantity) - v_booked.quantity
        );
    elsif p_quantity > v_booked.quantity then
        return 'UNMATCHED';  -- a larger quantity for no more money
    elsif p_quantity < v_booked.quantity or v_booked.last_fill_id is null then
        return 'DUPLICATE';  -- an older report, or nothing filled yet
    end if;

    select f.* into strict v_last from trade.fills as f where f.fill_id = v_booked.last_fill_id;
    select m.* into strict v_known from trade.fill_money as m where m.fill_id = v_booked.last_fill_id;
    return trade.correct_fill(
        v_last,
        v_known.notional + nullif(p_notional, 0) - v_booked.notional,
        0,
        v_known.fee + p_fee - v_booked.fee,
        v_known.tax + p_tax - v_booked.tax
    );
end;
$$;

comment on function trade.apply_cumulative_fill is
    'Books what is new in the reported total of a locked order: a fill, or a correction of its last fill. Returns '
    'RECORDED, DUPLICATE, RESTATED or UNMATCHED.';

create or replace function api.record_cumulative(
    p_account         text,
    p_client_order_id text,
    p_broker_order_id text,
    p_quantity        numeric,
    p_notional        numeric,
    p_fee             numeric,
    p_tax             numeric,
    p_filled_at       timestamptz
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order  trade.orders;
    v_answer text := 'UNMATCHED';
begin
    v_order := trade.find_order(trade.account_id(p_account), p_client_order_id, p_broker_order_id);

    if v_order.order_id is not null
        and p_quantity >= 0 and p_notional >= 0
        and bus.is_amount(p_quantity) and bus.is_amount(p_notional)
        and bus.is_amount(coalesce(p_fee, 0)) and bus.is_amount(coalesce(p_tax, 0))
    then
        -- Decide what is new under the order's lock: stream and poll may report the same total at once.
        v_order := trade.lock_for_fill(v_order.order_id);
        v_answer := trade.apply_cumulative_fill(v_order, p_quantity, p_notional, p_fee, p_tax, p_filled_at);
    end if;

    if v_answer = 'UNMATCHED' then
        return trade.keep_unmatched(
            p_account, coalesce(p_client_order_id, p_broker_order_id), left(p_quantity::text, 100),
            jsonb_build_object(
                'client_order_id', p_client_order_id, 'broker_order_id', p_broker_order_id,
                'cumulative_quantity', p_quantity, 'notional', p_notional, 'fee', p_fee, 'tax', p_tax,
                'filled_at', p_filled_at
            )
        );
    end if;

    return v_answer;
end;
$$;

comment on function api.record_cumulative is
    'For brokers without fill ids: takes an order''s total quantity, notional, fee and tax so far and records what is '
    'new as one fill, under an id that is the same for every reporter. Fee and tax are null, and the notional of a '
    'known quantity 0, while the broker has not reported them. Returns RECORDED, DUPLICATE (also an older report: a '
    'smaller total), RESTATED (the same quantity with other money) or UNMATCHED (kept as an incident; also more units '
    'for no more money). Raises TRI02, TRM02.';
