-- 20_orders: placing, replacing, cancelling and querying orders at the paper broker.

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

comment on function api.paper_place is
    'Places an order at the paper broker and matches it at once; for a known client_order_id it returns that order and '
    'places none. No row: no such account or symbol. Raises TRI01.';

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
    perform bus.require_text('the client order id', p_new_client_order_id),
        bus.require_amount('the limit price', p_limit_price);

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

comment on function api.paper_replace is
    'Replaces the open quantity of an order at the paper broker by a new order with a new limit. No row: nothing was '
    'open to replace. Raises TRI01.';

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

comment on function api.paper_cancel is
    'Cancels the open quantity of an order at the paper broker; returns the order''s state. No row: no such order.';

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

comment on function api.paper_order is 'The state of an order at the paper broker. No row: no such order.';
