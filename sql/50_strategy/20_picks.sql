-- 20_picks: strategies propose picks and the router answers them.  Each of three gates stores its answer as a row, so
-- "why did it not trade?" always has an answer.

create or replace function strategy.tg_picks__notify()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.notify('new_pick');
    return null;
end;
$$;

comment on function strategy.tg_picks__notify is 'Wakes the router. Only a hint: the rows decide.';

create or replace trigger _900_notify
after insert on strategy.picks
for each statement execute function strategy.tg_picks__notify();

create or replace trigger _100_append_only
before update or delete on strategy.gate_results
for each row execute function bus.tg_append_only();

create or replace trigger _110_no_truncate
before truncate on strategy.gate_results
for each statement execute function bus.tg_append_only();

create or replace trigger _120_within_bounds
before insert on strategy.picks
for each row
when ((
    coalesce(bus.is_amount(new.quantity), true) and coalesce(bus.is_amount(new.limit_price), true)
    and octet_length(new.reason) <= 2000 and octet_length(new.idempotency_key) <= 200
) is not true)
execute function bus.tg_out_of_bounds();

create or replace function strategy.next_pick_turn(
    p_strategy text,
    p_key      text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_rate    strategy.pick_rates;
    v_waiting bigint;
begin
    -- This row lock serializes the strategy's sessions, so that the count below holds; nobody else locks the row.
    insert into strategy.pick_rates as r (strategy, tokens)
    values (p_strategy, 599)
    on conflict (strategy) do update
    set tokens = least(
            r.per_minute, r.tokens + greatest(extract(epoch from bus.clock() - r.refilled_at), 0) * r.per_minute / 60
        ) - 1,
        refilled_at = bus.clock()
    returning r.* into v_rate;

    select count(*) into v_waiting from strategy.picks as p where p.strategy = p_strategy and p.status = 'NEW';

    -- If another session has just stored this key, the call adds no pick.
    if (v_rate.tokens < 0 or v_waiting >= v_rate.most_waiting) and not exists (
        select from strategy.picks as p where p.strategy = p_strategy and p.idempotency_key = p_key
    ) then
        raise exception '% picks of strategy % wait, and it may make % a minute', v_waiting, p_strategy,
            v_rate.per_minute
            using errcode = 'TRX01',
                  hint = format('At most %s may wait: propose again when some are answered.', v_rate.most_waiting);
    end if;
end;
$$;

comment on function strategy.next_pick_turn is
    'Counts one more pick of a strategy and refuses one beyond its limits, unless the key is known. Raises TRX01.';

create or replace function strategy.tradable_instrument(
    p_strategy    strategy.strategies,
    p_symbol      text,
    p_intent_type text,
    p_side        text
)
returns market.instruments
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_instrument market.instruments;
begin
    if (p_symbol = any(p_strategy.symbols)) is not true then
        raise exception 'strategy % may not trade %', p_strategy.strategy, p_symbol
            using errcode = 'TRI04', hint = 'select symbols from my_strategy;';
    end if;

    select i.* into v_instrument
    from market.instruments as i
    join trade.accounts as a on a.venue = i.venue
    where a.account_id = p_strategy.account_id and i.symbol = p_symbol;

    if not found or not exists (
        select from trade.intent_types as t where t.intent_type = p_intent_type and t.side = p_side
    ) then
        raise exception 'there is no % % of %', p_intent_type, p_side, p_symbol
            using errcode = 'TRI01',
                  hint = 'ENTRY, ADD, PYRAMID and REENTRY buy, EXIT sells; the symbol must be in the universe.';
    end if;

    return v_instrument;
end;
$$;

comment on function strategy.tradable_instrument is
    'The instrument of a symbol, if the strategy may trade it with this type and side. Raises TRI04, TRI01.';

create or replace function api.propose(
    p_symbol          text,
    p_side            text,
    p_intent_type     text default 'ENTRY',
    p_quantity        numeric default null,
    p_limit_price     numeric default null,
    p_reason          text default null,
    p_idempotency_key text default null,
    p_ttl             interval default '30 s'
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mine       strategy.strategies := strategy.current_strategy();
    v_instrument market.instruments;
    v_pick       strategy.picks;
    v_request    jsonb := jsonb_build_object(
        'symbol', p_symbol, 'side', p_side, 'intent_type', p_intent_type, 'quantity', trim_scale(p_quantity),
        'limit_price', trim_scale(p_limit_price)
    );
begin
    if v_mine.strategy is null then
        raise exception '% is not the login of a strategy', session_user
            using errcode = 'TRI04', hint = 'Only strategies propose; people use create_intent.';
    end if;

    perform bus.require_text('the symbol', p_symbol), bus.require_text('the side', p_side),
        bus.require_text('the type', p_intent_type), bus.require_text('the reason', p_reason, 2000),
        bus.require_text('the key', p_idempotency_key), bus.require_amount('the quantity', p_quantity),
        bus.require_amount('the limit price', p_limit_price);

    v_instrument := strategy.tradable_instrument(v_mine, p_symbol, p_intent_type, p_side);

    if p_quantity <= 0 or p_limit_price <= 0 or (p_ttl > interval '0') is not true then
        raise exception 'quantity, limit price and time to live must be positive'
            using errcode = 'TRI01', hint = 'Leave quantity and limit price out to have them chosen.';
    end if;

    -- A repeated pick does not count against the limits.
    if not exists (
        select from strategy.picks as p where p.strategy = v_mine.strategy and p.idempotency_key = p_idempotency_key
    ) then
        perform strategy.next_pick_turn(v_mine.strategy, p_idempotency_key);
    end if;

    insert into strategy.picks as p (
        strategy, account_id, instrument_id, intent_type, side, quantity, limit_price, reason, idempotency_key, request,
        quote_at, expires_at
    ) values (
        v_mine.strategy, v_mine.account_id, v_instrument.instrument_id, p_intent_type, p_side, p_quantity,
        p_limit_price, coalesce(p_reason, ''), coalesce(p_idempotency_key, gen_random_uuid()::text), v_request,
        (select b.received_at from market.prices_best as b where b.instrument_id = v_instrument.instrument_id),
        bus.clock() + least(p_ttl, interval '1 hour')
    )
    on conflict (strategy, idempotency_key) do nothing
    returning p.* into v_pick;

    if not found then
        select p.* into strict v_pick
        from strategy.picks as p
        where p.strategy = v_mine.strategy and p.idempotency_key = p_idempotency_key;

        if v_pick.request is distinct from v_request then
            raise exception 'idempotency key % was used for another pick, %', p_idempotency_key, v_pick.pick_id
                using errcode = 'TRI03', hint = 'A new decision needs a new key.';
        end if;
    end if;

    return v_pick.pick_id;
end;
$$;

comment on function api.propose is
    'Proposes a trade for the calling strategy; quantity null lets the router size it. Returns the pick''s id; the '
    'same idempotency key returns the same pick. Raises TRI01, TRI03, TRI04, TRX01.';

create or replace function api.cancel_pick(p_pick_id bigint)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update strategy.picks as p
    set status = 'CANCELLED',
        routed_at = bus.clock()
    where p.pick_id = p_pick_id
      and p.strategy = (strategy.current_strategy()).strategy
      and p.status = 'NEW';
    return found;
end;
$$;

comment on function api.cancel_pick is
    'Cancels a pick of the calling strategy that is not routed yet; returns false when there is no such pick.';
