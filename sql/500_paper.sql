-- 500_paper: the paper broker.  It matches orders against the best prices we know (the cross model: an order
-- fills when the other side reaches its limit, up to the size shown, each quote's size once) and keeps its
-- own books, which the rest of the house asks like any broker's.

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

    -- Fill numbers are read with a cursor: they must become visible in their order.
    lock table paper.fills in exclusive mode;

    select v_size - coalesce(sum(t.quantity), 0)
    into v_size
    from paper.taken as t
    where (t.instrument_id, t.side, t.received_seq) = (v_order.instrument_id, v_order.side, v_price.received_seq);

    v_qty := least(v_order.quantity - v_order.filled_qty, v_size);

    if v_qty <= 0 then
        return 0;
    end if;

    insert into paper.taken as t (instrument_id, side, received_seq, quantity)
    values (v_order.instrument_id, v_order.side, v_price.received_seq, v_qty)
    on conflict (instrument_id, side) do update
    set quantity = excluded.quantity + case when t.received_seq = excluded.received_seq then t.quantity else 0 end,
        received_seq = excluded.received_seq;

    insert into paper.fills (paper_order_id, account, quantity, price, fee, tax)
    values (
        p_paper_order_id, v_order.account, v_qty, v_touch,
        -- Cut, not rounded: what was reserved is exact, and no cost may exceed it.
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

comment on function paper.match_order(bigint) is 'Matches one order against the best price now; returns how many fills it made, 0 or 1.';

create or replace function api.paper_place(
    p_client_order_id text,
    p_account         text,
    p_symbol          text,
    p_side            text,
    p_order_type      text,
    p_quantity        numeric,
    p_limit_price     numeric
)
returns table (broker_order_id text, status text, message text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order paper.orders;
begin
    perform bus.require_text('the client order id', p_client_order_id), bus.require_amount('the quantity', p_quantity),
        bus.require_amount('the limit price', p_limit_price);

    if (p_client_order_id is not null and p_side in ('BUY', 'SELL') and p_order_type in ('LIMIT', 'MARKET')
        and p_quantity > 0 and p_limit_price > 0) is not true then
        perform bus.refuse_argument('an order', 'one with id, side, type, and quantity and limit above zero');
    end if;

    insert into paper.orders as o (client_order_id, account, instrument_id, side, order_type, quantity, limit_price)
    select p_client_order_id, p_account, i.instrument_id, p_side, p_order_type, p_quantity, p_limit_price
    from market.instruments as i
    join trade.accounts as a on a.venue = i.venue
    where a.account = p_account and i.symbol = p_symbol
    on conflict (client_order_id) do nothing
    returning o.* into v_order;

    if found then
        perform paper.match_order(v_order.paper_order_id);
    end if;

    return query
    select o.paper_order_id::text, o.status, o.message
    from paper.orders as o
    where o.client_order_id = p_client_order_id;
end;
$$;

comment on function api.paper_place(text, text, text, text, text, numeric, numeric) is
    'The paper broker takes an order and matches it at once; a client_order_id it knows is answered, not placed again. No row: no such account or symbol. Raises TRI01.';

create or replace function api.paper_replace(
    p_client_order_id     text,
    p_new_client_order_id text,
    p_limit_price         numeric
)
returns table (broker_order_id text, status text, quantity numeric, message text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_old paper.orders;
    v_new paper.orders;
begin
    perform bus.require_text('the client order id', p_new_client_order_id), bus.require_amount('the limit price', p_limit_price);

    if (p_new_client_order_id is not null and p_limit_price > 0) is not true then
        perform bus.refuse_argument('a replacement', 'one with id and limit above zero');
    end if;

    select o.* into v_old from paper.orders as o where o.client_order_id = p_client_order_id for no key update;

    if v_old.status = 'OPEN' then
        insert into paper.orders as o (client_order_id, account, instrument_id, side, order_type, quantity, limit_price)
        values (p_new_client_order_id, v_old.account, v_old.instrument_id, v_old.side, v_old.order_type,
            v_old.quantity - v_old.filled_qty, p_limit_price)
        on conflict (client_order_id) do nothing
        returning o.* into v_new;

        update paper.orders as o set status = 'CANCELLED' where o.paper_order_id = v_old.paper_order_id;
        perform paper.match_order(v_new.paper_order_id);
    end if;

    return query
    select o.paper_order_id::text, o.status, o.quantity, o.message
    from paper.orders as o
    where o.client_order_id = p_new_client_order_id;
end;
$$;

comment on function api.paper_replace(text, text, numeric) is
    'The paper broker replaces what is open of an order by another with a new limit. No row: there is nothing open to replace. Raises TRI01.';

create or replace function api.paper_cancel(p_client_order_id text)
returns table (broker_order_id text, status text, filled_qty numeric)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    update paper.orders as o
    set status = case when o.status = 'OPEN' then 'CANCELLED' else o.status end
    where o.client_order_id = p_client_order_id
    returning o.paper_order_id::text, o.status, o.filled_qty;
end;

comment on function api.paper_cancel(text) is 'The paper broker cancels what is open of an order; returns its state. No row: it has no such order.';

create or replace function api.paper_order(p_client_order_id text)
returns table (broker_order_id text, status text, filled_qty numeric)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select o.paper_order_id::text, o.status, o.filled_qty
    from paper.orders as o
    where o.client_order_id = p_client_order_id;
end;

comment on function api.paper_order(text) is 'What the paper broker knows of an order. No row: it has no such order.';

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

comment on function api.paper_match(text[]) is
    'Matches open paper orders of some symbols, null for all, against the best prices; returns how many fills it made.';

create or replace function api.paper_fills_since(
    p_account text,
    p_after   bigint,
    p_limit   integer
)
returns table (
    broker_fill_id  bigint,
    broker_order_id text,
    client_order_id text,
    quantity        numeric,
    price           numeric,
    fee             numeric,
    tax             numeric,
    filled_at       timestamptz
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select f.paper_fill_id, f.paper_order_id::text, o.client_order_id, f.quantity, f.price, f.fee, f.tax, f.filled_at
    from paper.fills as f
    join paper.orders as o on o.paper_order_id = f.paper_order_id
    where f.account = p_account and f.paper_fill_id > p_after
    order by f.paper_fill_id
    limit least(greatest(p_limit, 0), 100000);
end;

comment on function api.paper_fills_since(text, bigint, integer) is 'Executions of the paper broker after a fill number, oldest first.';

create or replace function api.paper_snapshot(p_account text)
returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select jsonb_build_object(
        'holdings', coalesce((
            select jsonb_object_agg(h.symbol, h.qty)
            from (
                select i.symbol, sum(case o.side when 'BUY' then f.quantity else -f.quantity end) as qty
                from paper.fills as f
                join paper.orders as o on o.paper_order_id = f.paper_order_id
                join market.instruments as i on i.instrument_id = o.instrument_id
                where f.account = p_account
                group by i.symbol
            ) as h
        ), '{}'),
        'cash', (
            -- Money comes to the paper broker the way it comes to us: by deposit.
            select coalesce(sum(c.amount), 0)
            from trade.cash_entries as c
            join trade.accounts as a on a.account_id = c.account_id
            where a.account = p_account and c.kind in ('deposit', 'withdrawal', 'dividend')
        ) + (
            select coalesce(sum(case o.side when 'BUY' then -1 else 1 end * f.quantity * f.price - f.fee - f.tax), 0)
            from paper.fills as f
            join paper.orders as o on o.paper_order_id = f.paper_order_id
            where f.account = p_account
        )
    );
end;

comment on function api.paper_snapshot(text) is
    'What the paper broker says the account holds: {"holdings": {symbol: quantity}, "cash": amount}, from its own books.';
