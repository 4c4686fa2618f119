-- 36_portfolio_gate: the third gate sizes a pick by the tightest of its bounds and creates the intent.

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
    end;
end;

comment on function strategy.portfolio_refusal is 'Why the portfolio refuses such a pick now; null when it accepts it.';

create or replace function strategy.mark_routed(
    p_pick      strategy.picks,
    p_intent_id bigint,
    p_bound     text,
    p_bounds    jsonb
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_quantity numeric := (select i.quantity from trade.order_intents as i where i.intent_id = p_intent_id);
begin
    update strategy.picks as p
    set status = 'ROUTED',
        routed_at = bus.clock()
    where p.pick_id = p_pick.pick_id;

    return strategy.answer_pick(p_pick, 3, true, 'ok', format('%s bound by %s', trim_scale(v_quantity), p_bound),
        jsonb_build_object('intent_id', p_intent_id, 'bound_by', p_bound, 'bounds', p_bounds));
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
    v_intent_id  bigint;
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

        select z.bound, z.quantity, z.refusal, z.bounds into v_bound, v_quantity, v_refusal, v_bounds
        from strategy.size_pick(p_pick, v_worst, v_rate) as z;

        if v_refusal is not null and v_quantity = 0 then
            raise exception '%', v_refusal
                using errcode = 'TRX01', hint = 'select * from limits;';
        end if;

        v_intent_id := trade.open_intent(row(
            p_pick.account_id, p_pick.instrument_id, p_pick.strategy, p_pick.intent_type, p_pick.side,
            v_quantity, p_pick.limit_price, p_pick.reason, format('aegis:pick:%s', p_pick.pick_id),
            '10 s', p_pick.pick_id, p_pick.quote_at
        )::trade.intent_request);
    exception when others then
        get stacked diagnostics v_hint = pg_exception_hint;

        if sqlstate not like 'TR%' then
            raise;
        end if;

        return strategy.answer_pick(p_pick, 3, false, sqlstate, sqlerrm, jsonb_build_object(
            'hint', v_hint, 'bound_by', v_bound, 'bounds', v_bounds
        ));
    end;

    return strategy.mark_routed(p_pick, v_intent_id, v_bound, v_bounds);
end;
$$;

comment on function strategy.gate_portfolio is
    'Gate 3, portfolio: sizes the pick by its tightest bound and creates the intent; a refused intent is a refused '
    'pick.';
