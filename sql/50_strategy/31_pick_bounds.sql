-- 31_pick_bounds: what bounds the quantity of a pick, one function each, and a row of strategy.pick_bounds.  A function
-- returns no row where it does not apply; a null quantity is a bound that cannot be computed and counts as 0.

create or replace function strategy.bound_requested(
    p_pick  strategy.picks,
    p_price numeric,
    p_rate  numeric
)
returns table (quantity numeric)
language sql
stable
begin atomic
    select p_pick.quantity where p_pick.quantity is not null;
end;

comment on function strategy.bound_requested is 'The quantity that the pick asks for.';

create or replace function strategy.bound_order_notional(
    p_pick  strategy.picks,
    p_price numeric,
    p_rate  numeric
)
returns table (quantity numeric)
language sql
stable
begin atomic
    select s.order_notional / p_price
    from strategy.strategies as s
    where s.strategy = p_pick.strategy and p_pick.quantity is null and p_pick.side = 'BUY';
end;

comment on function strategy.bound_order_notional is
    'What one order of the strategy may cost, for a buy without a quantity.';

create or replace function strategy.bound_budget(
    p_pick  strategy.picks,
    p_price numeric,
    p_rate  numeric
)
returns table (quantity numeric)
language sql
stable
begin atomic
    select (s.budget - coalesce((
        select sum(p.cost)
        from trade.positions as p
        where p.account_id = s.account_id and p.owner = s.strategy
    ), 0) - coalesce((
        select sum(i.reserved_cash)
        from trade.order_intents as i
        where i.account_id = s.account_id and i.owner = s.strategy and i.closed_at is null
    ), 0)) / (p_price * (1 + p_rate))
    from strategy.strategies as s
    where s.strategy = p_pick.strategy and p_pick.side = 'BUY';
end;

comment on function strategy.bound_budget is
    'What is left of the strategy''s budget after what it holds, at cost, and what its live buys reserve.';

create or replace function strategy.bound_buying_power(
    p_pick  strategy.picks,
    p_price numeric,
    p_rate  numeric
)
returns table (quantity numeric)
language sql
stable
begin atomic
    select (b.cash - b.locked_cash) / (p_price * (1 + p_rate))
    from trade.balances as b
    where b.account_id = p_pick.account_id and p_pick.side = 'BUY';
end;

comment on function strategy.bound_buying_power is 'What the free cash of the account buys, with costs.';

create or replace function strategy.bound_free_quantity(
    p_pick  strategy.picks,
    p_price numeric,
    p_rate  numeric
)
returns table (quantity numeric)
language sql
stable
begin atomic
    select coalesce((
        select p.qty - p.locked_qty
        from trade.positions as p
        where p.account_id = p_pick.account_id and p.instrument_id = p_pick.instrument_id and p.owner = p_pick.strategy
    ), 0)
    where p_pick.side = 'SELL';
end;

comment on function strategy.bound_free_quantity is 'For a sell: what the strategy holds and no live sell has reserved.';
