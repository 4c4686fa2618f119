-- 30_gates: the first two gates of a pick, system and market, and how a gate's answer is stored.

create or replace function strategy.answer_pick(
    p_pick    strategy.picks,
    p_gate    integer,
    p_passed  boolean,
    p_code    text,
    p_message text,
    p_detail  jsonb
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into strategy.gate_results (pick_id, gate, passed, code, message, detail)
    values (p_pick.pick_id, p_gate, p_passed, p_code, p_message, p_detail);

    if p_passed is not true then
        update strategy.picks as p
        set status = 'REFUSED',
            routed_at = bus.clock()
        where p.pick_id = p_pick.pick_id;
    end if;

    return p_passed;
end;
$$;

comment on function strategy.answer_pick is
    'Stores a gate''s answer; a refusal ends the pick. Returns whether the pick passed.';

create or replace function strategy.gate_system(p_pick strategy.picks)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_strategy strategy.strategies;
    v_verdict  text;
    v_mode     text;
begin
    select s.* into strict v_strategy from strategy.strategies as s where s.strategy = p_pick.strategy;
    select v.verdict, v.mode into v_verdict, v_mode
    from risk.verdicts as v
    join trade.intent_types as t on t.action = v.action
    where v.account_id = p_pick.account_id and t.intent_type = p_pick.intent_type and t.side = p_pick.side;

    return case
        when v_strategy.status is distinct from 'RUNNING' then
            strategy.answer_pick(p_pick, 1, false, 'TRI04', 'the strategy is stopped',
                jsonb_build_object('status', v_strategy.status))
        when coalesce(v_verdict, 'DENY') = 'DENY' then
            strategy.answer_pick(p_pick, 1, false, 'TRM01', format('mode %s forbids it', coalesce(v_mode, 'UNKNOWN')),
                jsonb_build_object('mode', v_mode, 'verdict', v_verdict))
        else
            strategy.answer_pick(p_pick, 1, true, 'ok', 'system and strategy agree',
                jsonb_build_object('mode', v_mode, 'verdict', v_verdict))
    end;
end;
$$;

comment on function strategy.gate_system is
    'Gate 1, system: the strategy must be running and the mode must not deny the pick.';

create or replace function strategy.gate_market(p_pick strategy.picks)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_instrument market.instruments;
    v_quote      market.quotes_now;
    v_facts      jsonb;
begin
    select i.* into strict v_instrument from market.instruments as i where i.instrument_id = p_pick.instrument_id;
    select q.* into v_quote from market.quotes_now as q where q.instrument_id = p_pick.instrument_id;
    v_facts := jsonb_build_object(
        'bid', v_quote.bid, 'ask', v_quote.ask, 'received_at', v_quote.received_at, 'source', v_quote.source
    );

    return case
        when market.phase_at(v_instrument.venue, bus.clock()) is null then
            strategy.answer_pick(p_pick, 2, false, 'TRS01', format('%s is closed', v_instrument.venue), v_facts)
        when p_pick.side = 'BUY' and v_instrument.is_active is not true then
            strategy.answer_pick(p_pick, 2, false, 'TRI01', format('%s is not active', v_instrument.symbol), v_facts)
        when (case p_pick.side when 'BUY' then v_quote.can_buy else v_quote.can_sell end) is not true then
            strategy.answer_pick(p_pick, 2, false, 'TRP01', format('there is no fresh %s of %s',
                case p_pick.side when 'BUY' then 'ask' else 'bid' end, v_instrument.symbol), v_facts)
        else
            strategy.answer_pick(p_pick, 2, true, 'ok', 'the market is open and its price fresh', v_facts)
    end;
end;
$$;

comment on function strategy.gate_market is
    'Gate 2, market: the venue must be open, the instrument active for a buy, and its price fresh.';
