-- 32_portfolio_gate: the third gate sizes a pick by the tightest of its bounds and creates the intent.

create or replace function strategy.bounds(
    p_pick  strategy.picks,
    p_price numeric,
    p_rate  numeric
)
returns table (bound text, quantity numeric)
language sql
stable
begin atomic
    select 'requested', p_pick.quantity
    where p_pick.quantity is not null
    union all
    select 'order notional', s.order_notional / p_price
    from strategy.strategies as s
    where s.strategy = p_pick.strategy and p_pick.quantity is null and p_pick.side = 'BUY'
    union all
    select 'budget', (s.budget - coalesce((
        select sum(p.cost)
        from trade.positions as p
        where p.account_id = s.account_id and p.owner = s.strategy
    ), 0) - coalesce((
        select sum(i.reserved_cash)
        from trade.order_intents as i
        where i.account_id = s.account_id and i.owner = s.strategy and i.closed_at is null
    ), 0)) / (p_price * (1 + p_rate))
    from strategy.strategies as s
    where s.strategy = p_pick.strategy and p_pick.side = 'BUY'
    union all
    select 'buying power', (b.cash - b.locked_cash) / (p_price * (1 + p_rate))
    from trade.balances as b
    where b.account_id = p_pick.account_id and p_pick.side = 'BUY'
    union all
    -- Count what is held and what is ordered, by all owners; the router has locked the account meanwhile.
    select 'position share', (l.value * e.equity - coalesce((
        select sum(p.qty) * p_price
        from trade.positions as p
        where p.account_id = l.account_id and p.instrument_id = p_pick.instrument_id
    ), 0) - coalesce((
        select sum((i.quantity - i.filled_qty) * i.worst_price)
        from trade.order_intents as i
        where i.account_id = l.account_id and i.instrument_id = p_pick.instrument_id
          and i.side = 'BUY' and i.closed_at is null
    ), 0)) / p_price
    from risk.limits as l
    join trade.equities as e on e.account_id = l.account_id
    where l.account_id = p_pick.account_id and l.limit_name = 'max_position_share' and p_pick.side = 'BUY'
    union all
    select 'free quantity', coalesce((
        select p.qty - p.locked_qty
        from trade.positions as p
        where p.account_id = p_pick.account_id and p.instrument_id = p_pick.instrument_id and p.owner = p_pick.strategy
    ), 0)
    where p_pick.side = 'SELL';
end;

comment on function strategy.bounds is
    'Every bound on the quantity of a pick at a price and fee rate; the smallest applies. Live buys count as if they '
    'were filled.';

create or replace function strategy.portfolio_refusal(p_pick strategy.picks)
returns text
language sql
volatile
begin atomic
    select case
        when p_pick.side = 'BUY' and exists (
            select
            from trade.order_intents as i
            where i.account_id = p_pick.account_id and i.instrument_id = p_pick.instrument_id
              and i.owner = p_pick.strategy and i.closed_at is null
        ) then 'an intent of the strategy for it is still live'
        when p_pick.intent_type in ('ENTRY', 'REENTRY') and exists (
            select
            from trade.positions as p
            where p.account_id = p_pick.account_id and p.instrument_id = p_pick.instrument_id
              and p.owner = p_pick.strategy and p.qty > 0
              and not exists (
                  select
                  from trade.dust as d
                  where (d.account_id, d.instrument_id, d.owner) = (p.account_id, p.instrument_id, p.owner)
              )
        ) then 'the strategy already holds it'
        when p_pick.intent_type in ('ADD', 'PYRAMID') and not exists (
            select
            from trade.positions as p
            where p.account_id = p_pick.account_id and p.instrument_id = p_pick.instrument_id
              and p.owner = p_pick.strategy and p.qty > 0
        ) then 'there is no position to add to'
        when p_pick.side = 'BUY' and exists (
            select
            from risk.limits as l
            join trade.accounts as a on a.account_id = l.account_id
            join market.venues as v on v.venue = a.venue
            where l.account_id = p_pick.account_id
              and l.limit_name = 'max_entries_per_day'
              and l.value <= (
                  select count(*)
                  from trade.order_intents as i
                  where i.account_id = l.account_id
                    and i.side = 'BUY'
                    and i.filled_qty > 0
                    and i.closed_at is not null
                    and i.created_at >= market.day_start(v.time_zone, a.day_boundary, bus.clock())
              ) + (
                  -- Each of these may still be filled.
                  select count(*)
                  from trade.order_intents as i
                  where i.account_id = l.account_id and i.side = 'BUY' and i.closed_at is null
              )
        ) then 'the account has reached its daily limit of entries'
    end;
end;

comment on function strategy.portfolio_refusal is 'Why the portfolio refuses such a pick now; null when it accepts it.';

create or replace function strategy.mark_routed(
    p_pick   strategy.picks,
    p_intent trade.order_intents,
    p_bound  text,
    p_bounds jsonb
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    update strategy.picks as p
    set status = 'ROUTED',
        routed_at = bus.clock()
    where p.pick_id = p_pick.pick_id;

    return strategy.answer_pick(p_pick, 3, true, 'ok', format('%s bound by %s', trim_scale(p_intent.quantity), p_bound),
        jsonb_build_object('intent_id', p_intent.intent_id, 'bound_by', p_bound, 'bounds', p_bounds));
end;
$$;

comment on function strategy.mark_routed is
    'Answers a pick that became an intent: its quantity, the bound that decided it, and all the bounds.';

create or replace function strategy.gate_portfolio(p_pick strategy.picks)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_instrument market.instruments;
    v_real       boolean;
    v_action     text;
    v_worst      numeric;
    v_rate       numeric;
    v_bounds     jsonb;
    v_bound      text;
    v_quantity   numeric;
    v_intent     trade.order_intents;
    v_refusal    text := strategy.portfolio_refusal(p_pick);
    v_hint       text;
begin
    if v_refusal is not null then
        return strategy.answer_pick(p_pick, 3, false, 'TRX01', v_refusal, '{}');
    end if;

    select i.* into strict v_instrument from market.instruments as i where i.instrument_id = p_pick.instrument_id;
    select b.is_real into strict v_real
    from trade.accounts as a
    join trade.brokers as b on b.broker = a.broker
    where a.account_id = p_pick.account_id;
    v_action := trade.action_of(p_pick.intent_type, p_pick.side);
    v_rate := market.buy_cost_rate(v_instrument.venue, bus.clock());

    -- Creating the intent may be refused: the refusal becomes the gate's answer.
    begin
        v_worst := trade.worst_price(v_instrument, p_pick.side, v_action, p_pick.limit_price, v_real);

        select jsonb_object_agg(b.bound, trim_scale(round(b.quantity, 8)))
        into v_bounds
        from strategy.bounds(p_pick, v_worst, v_rate) as b;

        select b.bound, b.quantity into v_bound, v_quantity
        from strategy.bounds(p_pick, v_worst, v_rate) as b
        order by b.quantity nulls first, b.bound  -- a bound that cannot be computed counts as 0
        limit 1;

        v_intent := trade.open_intent(
            p_pick.account_id, p_pick.instrument_id, p_pick.strategy, p_pick.intent_type, p_pick.side,
            greatest(v_quantity, 0), p_pick.limit_price, p_pick.reason, format('aegis:pick:%s', p_pick.pick_id),
            '10 s', p_pick.pick_id, p_pick.quote_at
        );
    exception when others then
        get stacked diagnostics v_hint = pg_exception_hint;

        if sqlstate not like 'TR%' then
            raise;
        end if;

        return strategy.answer_pick(p_pick, 3, false, sqlstate, sqlerrm, jsonb_build_object(
            'hint', v_hint, 'bound_by', v_bound, 'bounds', v_bounds
        ));
    end;

    return strategy.mark_routed(p_pick, v_intent, v_bound, v_bounds);
end;
$$;

comment on function strategy.gate_portfolio is
    'Gate 3, portfolio: sizes the pick by its tightest bound and creates the intent; a refused intent is a refused '
    'pick.';
