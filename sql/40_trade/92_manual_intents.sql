-- 92_manual_intents: intents that a person creates by hand.

create or replace function api.create_intent(
    p_account         text,
    p_symbol          text,
    p_side            text,
    p_quantity        numeric,
    p_limit_price     numeric default null,
    p_reason          text default 'by hand',
    p_owner           text default 'manual',
    p_intent_type     text default 'MANUAL',
    p_idempotency_key text default null,
    p_ttl             interval default '1 min'
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- One expression, which plpgsql evaluates without a query.
    v_is_bounded    boolean := bus.require_text('the account', p_account) and bus.require_text('the symbol', p_symbol)
        and bus.require_text('the side', p_side) and bus.require_text('the type', p_intent_type)
        and bus.require_text('the owner', p_owner) and bus.require_text('the reason', p_reason, 2000)
        and bus.require_text('the key', p_idempotency_key) and bus.require_amount('the quantity', p_quantity)
        and bus.require_amount('the limit price', p_limit_price)
        and bus.require_duration('the time to live', p_ttl, '30 days');
    v_account_id    bigint;
    v_instrument_id bigint;
begin
    if p_ttl is null then
        perform bus.refuse_argument('the time to live', 'given');
    end if;

    -- Otherwise a key given here could equal the next key of a stop, and that stop would be refused.
    if starts_with(p_idempotency_key, 'aegis:') then
        perform bus.refuse_argument('the key', 'one that does not begin with aegis:, as ours do');
    end if;

    select a.account_id, i.instrument_id
    into v_account_id, v_instrument_id
    from trade.accounts as a
    join market.instruments as i on i.venue = a.venue and i.symbol = p_symbol
    where a.account = p_account;

    if not found then
        raise exception 'there is no account % that trades %', p_account, p_symbol
            using errcode = 'TRI02', hint = 'select account from accounts; select symbol from instruments;';
    end if;

    if p_owner is distinct from 'manual' and not exists (
        select from strategy.strategies as s where s.strategy = p_owner
    ) then
        raise exception 'there is no owner %', p_owner
            using errcode = 'TRI02', hint = 'manual, or the name of a strategy.';
    end if;

    return trade.open_intent(row(
        v_account_id, v_instrument_id, p_owner, p_intent_type, p_side, p_quantity, p_limit_price,
        coalesce(p_reason, 'by hand'), coalesce(p_idempotency_key, gen_random_uuid()::text), p_ttl, null, null
    )::trade.intent_request);
end;
$$;

comment on function api.create_intent is
    'Creates an intent by hand and returns its id. The same laws apply as for a strategy. Raises TRM01, TRM02, TRQ01, '
    'TRQ02, TRC01, TRC02, TRP01, TRP02, TRS01, TRI01, TRI02, TRI03.';
