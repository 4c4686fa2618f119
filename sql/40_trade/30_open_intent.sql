-- 30_open_intent: price, check and store a new intent, once per idempotency key.

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
    v_price numeric := p_limit_price;
    v_quote market.quotes_now;
    v_cap   numeric;
begin
    if v_price is null then
        select q.* into v_quote from market.quotes_now as q where q.instrument_id = p_instrument.instrument_id;

        -- A sell needs a sound bid and a buy a sound ask; the other side of the quote does not matter.
        if (case p_side when 'BUY' then v_quote.can_buy else v_quote.can_sell end) is not true
            or (p_needs_live is not false and v_quote.source is distinct from 'live') then
            raise exception 'there is no fresh % of %', case p_side when 'BUY' then 'ask' else 'bid' end,
                p_instrument.symbol
                using errcode = 'TRP01',
                      hint = 'select symbol, bid, ask, received_at, is_fresh, can_sell, can_buy from prices;';
        end if;

        select case when p_action = 'PROTECTIVE_SELL' then v.stop_cap_rate else v.taker_cap_rate end
        into v_cap
        from market.venues as v
        where v.venue = p_instrument.venue;

        v_price := case p_side when 'BUY' then v_quote.ask * (1 + v_cap) else v_quote.bid * (1 - v_cap) end;
        v_price := case p_side
            when 'BUY' then least(v_price, p_instrument.limit_high)
            else greatest(v_price, p_instrument.limit_low)
        end;
    end if;

    v_price := market.round_to_tick(p_instrument.tick_table, v_price, p_side);

    if (v_price > 0 and bus.is_amount(v_price)) is not true then
        raise exception '% is not a price for %', coalesce(p_limit_price::text, 'null'), p_instrument.symbol
            using errcode = 'TRI01', hint = 'Give a positive limit price.';
    end if;

    if v_price < p_instrument.limit_low or v_price > p_instrument.limit_high then
        raise exception 'price % of % is outside % to %', trim_scale(v_price), p_instrument.symbol,
            trim_scale(p_instrument.limit_low), trim_scale(p_instrument.limit_high)
            using errcode = 'TRP02', hint = 'These are the price limits of the day.';
    end if;

    return v_price;
end;
$$;

comment on function trade.worst_price is
    'The worst price an intent may trade at, on a tick: its limit, or else the ask plus the venue''s cap for a '
    'buy, the bid minus the cap for a sell. Raises TRP01, TRP02, TRI01.';

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

create or replace function trade.known_intent(
    p_account_id      bigint,
    p_idempotency_key text,
    p_request         jsonb
)
returns trade.order_intents
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent trade.order_intents;
begin
    select i.* into v_intent
    from trade.order_intents as i
    where i.account_id = p_account_id and i.idempotency_key = p_idempotency_key;

    if found and v_intent.request is distinct from p_request then
        raise exception 'idempotency key % was used for another intent, %', p_idempotency_key, v_intent.intent_id
            using errcode = 'TRI03', hint = 'A new decision needs a new key.';
    end if;

    return v_intent;
end;
$$;

comment on function trade.known_intent is
    'Returns the intent stored earlier under this idempotency key, or null. Raises TRI03 if its request was '
    'different.';

create or replace function trade.require_tradable(
    p_account    trade.accounts,
    p_instrument market.instruments,
    p_side       text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if (p_instrument.venue, p_instrument.currency) is distinct from (p_account.venue, p_account.currency) then
        raise exception 'account % cannot trade %', p_account.account, p_instrument.symbol
            using errcode = 'TRI01', hint = 'Venue and currency of account and instrument must be the same.';
    end if;

    if p_side = 'BUY' and p_instrument.is_active is not true then
        raise exception '% is not active', p_instrument.symbol
            using errcode = 'TRI01', hint = 'select symbol, is_active from instruments;';
    end if;

    if market.phase_at(p_instrument.venue, bus.clock()) is null then
        raise exception '% is closed', p_instrument.venue
            using errcode = 'TRS01', hint = 'select * from session_phases;';
    end if;
end;
$$;

comment on function trade.require_tradable is
    'Refuses what an account cannot trade now: another venue or currency, a buy of an inactive instrument, a '
    'closed venue. Raises TRI01, TRS01.';

create or replace function trade.require_enough(
    p_instrument market.instruments,
    p_asked      numeric,
    p_quantity   numeric,
    p_price      numeric
)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if market.is_enough(p_instrument, p_quantity, p_price) is not true then
        raise exception '% of % is too little to trade',
            coalesce(trim_scale(p_asked)::text, 'null'), p_instrument.symbol
            using errcode = 'TRI01',
                  hint = format('The lot is %s and the least notional %s.',
                      trim_scale(p_instrument.lot_size), trim_scale(p_instrument.min_notional));
    end if;
end;
$$;

comment on function trade.require_enough is
    'Refuses a quantity whose whole lots are below the venue''s smallest order. Raises TRI01.';

create or replace function trade.open_intent(
    p_account_id      bigint,
    p_instrument_id   bigint,
    p_owner           text,
    p_intent_type     text,
    p_side            text,
    p_quantity        numeric,
    p_limit_price     numeric,
    p_reason          text,
    p_idempotency_key text,
    p_ttl             interval,
    p_pick_id         bigint default null,
    p_quote_at        timestamptz default null
)
returns trade.order_intents
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_instrument market.instruments;
    v_account    trade.accounts;
    v_action     text;
    v_verdict    text;
    v_real       boolean;
    v_quantity   numeric;
    v_worst      numeric;
    v_rate       numeric := 0;
    v_intent     trade.order_intents;
    v_request    jsonb := jsonb_build_object(
        'instrument_id', p_instrument_id, 'owner', p_owner, 'intent_type', p_intent_type, 'side', p_side,
        'quantity', trim_scale(p_quantity), 'limit_price', trim_scale(p_limit_price)
    );
begin
    v_action := trade.action_of(p_intent_type, p_side);

    -- Lock order: gate, account, position.
    v_verdict := risk.require_mode_allows(p_account_id, v_action);

    if p_side = 'BUY' then
        perform trade.lock_account(p_account_id);
    end if;

    perform trade.lock_position(p_account_id, p_instrument_id, p_owner);
    v_intent := trade.known_intent(p_account_id, p_idempotency_key, v_request);

    if v_intent.intent_id is not null then
        return v_intent;
    end if;

    select a.* into strict v_account from trade.accounts as a where a.account_id = p_account_id;
    select i.* into strict v_instrument from market.instruments as i where i.instrument_id = p_instrument_id;
    select b.is_real into strict v_real from trade.brokers as b where b.broker = v_account.broker;
    perform trade.require_tradable(v_account, v_instrument, p_side);
    v_quantity := div(p_quantity, v_instrument.lot_size) * v_instrument.lot_size;
    v_worst := trade.worst_price(v_instrument, p_side, v_action, p_limit_price, v_real);

    perform trade.require_enough(v_instrument, p_quantity, v_quantity, v_worst);

    if p_side = 'BUY' then
        v_rate := market.buy_cost_rate(v_instrument.venue, bus.clock());
    end if;

    insert into trade.order_intents (
        account_id, instrument_id, owner, intent_type, side, reason, quantity, limit_price, worst_price, reserve_rate,
        status, reserved_qty, reserved_cash, idempotency_key, request, pick_id, quote_at, ttl, expires_at
    ) values (
        p_account_id, p_instrument_id, p_owner, p_intent_type, p_side, p_reason, v_quantity,
        case when p_limit_price is not null then v_worst end, v_worst, v_rate,
        case v_verdict when 'APPROVE' then 'PENDING_APPROVAL' else 'NEW' end,
        case p_side when 'SELL' then v_quantity else 0 end,
        case p_side when 'BUY' then v_quantity * v_worst * (1 + v_rate) else 0 end,
        p_idempotency_key, v_request, p_pick_id, p_quote_at, p_ttl,
        bus.clock() + case v_verdict when 'APPROVE' then greatest(p_ttl, interval '1 day') else p_ttl end
    )
    returning * into v_intent;

    return v_intent;
end;
$$;

comment on function trade.open_intent is
    'Stores an intent: checks the mode, rounds to lot and tick, and reserves quantity or cash at the worst price. '
    'Returns the earlier intent if the idempotency key was used before. Raises TRM01, TRM02, TRQ01, TRQ02, TRC01, '
    'TRC02, TRP01, TRP02, TRS01, TRI01, TRI03.';
