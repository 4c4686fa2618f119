-- 10_ticks: tick sizes, rounding to them, and the smallest order a venue accepts.

create or replace function market.tick_size(
    p_tick_table text,
    p_price      numeric
)
returns numeric
language sql
stable
parallel safe
begin atomic
    select t.tick_size
    from market.tick_sizes as t
    where t.tick_table = p_tick_table
      and t.price_from <= p_price
    order by t.price_from desc
    limit 1;
end;

comment on function market.tick_size is 'The tick size at a price.';

create or replace function market.round_to_tick(
    p_tick_table text,
    p_price      numeric,
    p_side       text
)
returns numeric
language sql
stable
parallel safe
begin atomic
    -- Use div, which is exact: a quotient is rounded before floor sees it, and may already be the next whole number.
    select (div(p_price, s.tick) + case when p_side <> 'BUY' and p_price % s.tick > 0 then 1 else 0 end) * s.tick
    from (select market.tick_size(p_tick_table, p_price) as tick) as s;
end;

comment on function market.round_to_tick is
    'The nearest valid price that is not worse for the sender of a limit order: down for a buy, up for a sell.';

create or replace function market.is_enough(
    p_instrument market.instruments,
    p_quantity   numeric,
    p_price      numeric
)
returns boolean
language sql
immutable
parallel safe
begin atomic
    -- A single expression, so that the planner can inline it into the views that call it.
    select p_quantity >= p_instrument.lot_size
        and div(p_quantity, p_instrument.lot_size) * p_instrument.lot_size * p_price >= p_instrument.min_notional;
end;

comment on function market.is_enough is
    'Whether the venue accepts an order for the whole lots in a quantity at a price: at least one lot and the '
    'minimum notional.';
