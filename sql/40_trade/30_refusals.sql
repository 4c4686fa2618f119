-- 30_refusals: code, message and hint of a refused request, and the price and action of a single request.

create or replace function trade.refusal(p_judged trade.judged_request)
returns trade.intent_answer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_request    trade.intent_request := p_judged.request;
    v_instrument market.instruments;
    v_symbol     text;
    v_amount     numeric := p_judged.quantity * p_judged.price * (1 + p_judged.rate);
begin
    select i.* into v_instrument from market.instruments as i where i.instrument_id = v_request.instrument_id;
    v_symbol := v_instrument.symbol;

    return (
        select row(p_judged.nr, null, r.code, r.message, r.hint)::trade.intent_answer
        from (values
            ('unknown type', 'TRI01', format('there is no %s intent of type %s', v_request.side, v_request.intent_type),
                'select intent_type, side from intent_types;'),
            ('mode', 'TRM01', format('mode %s forbids %s', coalesce(p_judged.mode, 'UNKNOWN'),
                lower(replace(p_judged.action, '_', ' '))),
                'select mode, reason from system_mode; resume(reason, code) leaves HALT.'),
            ('another request', 'TRI03', format('idempotency key %s was used for another intent, %s',
                v_request.idempotency_key, p_judged.known_id), 'A new decision needs a new key.'),
            ('repeated key', 'TRI03', format('idempotency key %s is used twice in one set', v_request.idempotency_key),
                'A new decision needs a new key.'),
            ('another venue', 'TRI01', format('account %s cannot trade %s',
                (select a.account from trade.accounts as a where a.account_id = v_request.account_id), v_symbol),
                'Venue and currency of account and instrument must be the same.'),
            ('inactive', 'TRI01', format('%s is not active', v_symbol), 'select symbol, is_active from instruments;'),
            ('closed', 'TRS01', format('%s is closed', v_instrument.venue), 'select * from session_phases;'),
            ('no fresh price', 'TRP01', format('there is no fresh %s of %s',
                case v_request.side when 'BUY' then 'ask' else 'bid' end, v_symbol),
                'select symbol, bid, ask, received_at, is_fresh, can_sell, can_buy from prices;'),
            ('no price', 'TRI01', format('%s is not a price for %s', coalesce(v_request.limit_price::text, 'null'),
                v_symbol), 'Give a positive limit price.'),
            ('outside the limits', 'TRP02', format('price %s of %s is outside %s to %s', trim_scale(p_judged.price),
                v_symbol, trim_scale(v_instrument.limit_low), trim_scale(v_instrument.limit_high)),
                'These are the price limits of the day.'),
            ('too little', 'TRI01', format('%s of %s is too little to trade',
                coalesce(trim_scale(v_request.quantity)::text, 'null'), v_symbol),
                format('The lot is %s and the least notional %s.', trim_scale(v_instrument.lot_size),
                    trim_scale(v_instrument.min_notional))),
            ('out of bounds', 'TRI01', 'an intent is out of bounds',
                'Numbers are below 1e18 with at most 18 decimals, texts short, times finite.'),
            ('cash in breach', 'TRC02', 'cash of the account is in breach',
                'Less is held than live intents have reserved: select * from incidents;'),
            ('position in breach', 'TRQ02', 'a position in the instrument is in breach',
                'Less is held than live intents have reserved: select * from incidents;'),
            ('not free', case v_request.side when 'BUY' then 'TRC01' else 'TRQ01' end,
                case v_request.side
                    when 'BUY' then format('cannot spend %s: %s is free', trim_scale(v_amount), trim_scale(p_judged.free))
                    else format('cannot sell %s: %s of %s is free', trim_scale(p_judged.quantity),
                        trim_scale(p_judged.free), v_symbol)
                end,
                case v_request.side
                    when 'BUY' then 'A buy reserves its worst price plus fees: select * from accounts;'
                    else format('It must be held by %s and not reserved by another live sell: select * from positions;',
                        v_request.owner)
                end)
        ) as r (refusal, code, message, hint)
        where r.refusal = p_judged.refusal
    );
end;
$$;

comment on function trade.refusal is 'The SQLSTATE, message and hint of a refused request.';

create or replace function trade.worst_price(
    p_instrument  market.instruments,
    p_side        text,
    p_action      text,
    p_limit_price numeric,
    p_needs_live  boolean
)
returns numeric
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_quote  market.quotes_now;
    v_venue  market.venues;
    v_judged trade.judged_request;
    v_answer trade.intent_answer;
begin
    select q.* into v_quote from market.quotes_now as q where q.instrument_id = p_instrument.instrument_id;
    select n.* into v_venue from market.venues as n where n.venue = p_instrument.venue;
    v_judged.price := market.round_to_tick(
        p_instrument.tick_table,
        coalesce(p_limit_price, trade.market_price(p_instrument, v_quote, v_venue, p_side, p_action)),
        p_side
    );
    v_judged.refusal := trade.why_unpriced(p_instrument, v_quote, p_side, p_limit_price, v_judged.price, p_needs_live);

    if v_judged.refusal is not null then
        v_judged.request := row(
            null, p_instrument.instrument_id, null, null, p_side, null, p_limit_price, null, null, null, null, null
        )::trade.intent_request;
        v_answer := trade.refusal(v_judged);
        raise exception using errcode = v_answer.code, message = v_answer.message, hint = v_answer.hint;
    end if;

    return v_judged.price;
end;
$$;

comment on function trade.worst_price is
    'The worst price an intent may trade at, on a tick, as judge_requests finds it. Raises TRP01, TRP02, TRI01.';

create or replace function trade.action_of(
    p_intent_type text,
    p_side        text
)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_action text;
begin
    select t.action into v_action from trade.intent_types as t where t.intent_type = p_intent_type and t.side = p_side;

    if not found then
        raise exception 'there is no % intent of type %', p_side, p_intent_type
            using errcode = 'TRI01', hint = 'select intent_type, side from intent_types;';
    end if;

    return v_action;
end;
$$;

comment on function trade.action_of is
    'Returns the action, as the mode rules name it, of an intent type and side. Raises TRI01.';
