-- 10_matching: the paper broker.  It matches orders against the best prices we know (the cross model: an order fills
-- when the other side reaches its limit, up to the size shown, and each quote's size is used once).  It keeps its own
-- books, and the other rooms query it like any broker.

create or replace function paper.take_size(
    p_order        paper.orders,
    p_received_seq bigint,
    p_size         numeric
)
returns numeric
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_qty numeric;
begin
    select least(p_order.quantity - p_order.filled_qty, p_size - coalesce(sum(t.quantity), 0))
    into v_qty
    from paper.taken as t
    where (t.instrument_id, t.side, t.received_seq) = (p_order.instrument_id, p_order.side, p_received_seq);

    if v_qty > 0 then
        insert into paper.taken as t (instrument_id, side, received_seq, quantity)
        values (p_order.instrument_id, p_order.side, p_received_seq, v_qty)
        on conflict (instrument_id, side) do update
        set quantity = excluded.quantity
                + case when t.received_seq = excluded.received_seq then t.quantity else 0 end,
            received_seq = excluded.received_seq;
    end if;

    return v_qty;
end;
$$;

comment on function paper.take_size is
    'Takes for an order what is left of the size that a quote showed, and returns how much; all orders together use '
    'each quote''s size once.';

create or replace function paper.match_order(p_paper_order_id bigint)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order paper.orders;
    v_price market.prices_best;
    v_fees  market.fee_rates;
    v_touch numeric;
    v_size  numeric;
    v_qty   numeric;
begin
    select o.* into v_order from paper.orders as o where o.paper_order_id = p_paper_order_id for no key update;
    select b.* into v_price from market.prices_best as b where b.instrument_id = v_order.instrument_id;

    if v_order.status <> 'OPEN'
        or (case v_order.side when 'BUY' then v_price.ask_is_sound else v_price.bid_is_sound end) is not true then
        return 0;
    end if;

    v_touch := case v_order.side when 'BUY' then v_price.ask else v_price.bid end;
    v_size := case v_order.side when 'BUY' then v_price.ask_size else v_price.bid_size end;

    if (v_order.order_type = 'LIMIT' and v_order.side = 'BUY' and v_touch > v_order.limit_price)
        or (v_order.order_type = 'LIMIT' and v_order.side = 'SELL' and v_touch < v_order.limit_price) then
        return 0;
    end if;

    select (market.fees_at(i.venue, bus.clock())).* into v_fees
    from market.instruments as i
    where i.instrument_id = v_order.instrument_id;

    -- Readers use the fill number as a cursor, so fills must become visible in the order of their numbers.
    lock table paper.fills in exclusive mode;

    v_qty := paper.take_size(v_order, v_price.received_seq, v_size);

    if v_qty <= 0 then
        return 0;
    end if;

    insert into paper.fills (paper_order_id, account, quantity, price, fee, tax)
    values (
        p_paper_order_id, v_order.account, v_qty, v_touch,
        -- Truncate, do not round: the reservation is exact, and no cost may exceed it.
        trunc(v_qty * v_touch * v_fees.taker_rate, 8),
        trunc(v_qty * v_touch * case v_order.side when 'BUY' then v_fees.buy_tax_rate else v_fees.sell_tax_rate end, 8)
    );

    update paper.orders as o
    set filled_qty = o.filled_qty + v_qty,
        status = case when o.filled_qty + v_qty = o.quantity then 'FILLED' else 'OPEN' end
    where o.paper_order_id = p_paper_order_id;

    return 1;
end;
$$;

comment on function paper.match_order is
    'Matches one order against the current best price; returns how many fills it made, 0 or 1.';

create or replace function api.paper_match(p_symbols text[] default null)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_id    bigint;
    v_count integer := 0;
begin
    for v_id in
        select o.paper_order_id
        from paper.orders as o
        join market.instruments as i on i.instrument_id = o.instrument_id
        where o.status = 'OPEN' and (p_symbols is null or i.symbol = any(p_symbols))
        order by o.paper_order_id
        for no key update of o skip locked
    loop
        begin
            v_count := v_count + paper.match_order(v_id);
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform risk.note_failed_item('paper_match', format('paper order %s', v_id), sqlstate, sqlerrm);
        end;
    end loop;

    return v_count;
end;
$$;

comment on function api.paper_match is
    'Matches open paper orders of these symbols (null for all) against the best prices; returns how many fills it '
    'made.';
