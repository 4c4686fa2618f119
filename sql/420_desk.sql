-- 420_desk: what people set up and decide by hand.

create or replace function api.add_account(
    p_account        text,
    p_broker         text,
    p_venue          text,
    p_currency       text,
    p_broker_account text default null,
    p_deposit        numeric default null
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_account_id bigint;
begin
    perform bus.require_text('the broker', p_broker), bus.require_text('the venue', p_venue),
        bus.require_text('the broker''s account', p_broker_account), bus.require_amount('the deposit', p_deposit);

    if (p_account ~ '^[a-z][a-z0-9_-]{0,39}$' and p_currency ~ '^[A-Za-z0-9]{1,20}$') is not true then
        perform bus.refuse_argument('account and currency', 'a plain name in small letters and one such as KRW');
    end if;

    if not exists (select from trade.brokers as b where b.broker = p_broker)
        or not exists (select from market.venues as v where v.venue = p_venue) then
        raise exception 'there is no broker % or no venue %', p_broker, p_venue
            using errcode = 'TRI01', hint = 'select * from brokers; select * from venues;';
    end if;

    if exists (
        select
        from trade.accounts as a
        where a.account = p_account
           or (a.broker, a.broker_account, a.currency) = (p_broker, coalesce(p_broker_account, p_account), p_currency)
    ) then
        raise exception 'account % exists', p_account
            using errcode = 'TRI01', hint = 'Choose another name, or look at it: select * from accounts;';
    end if;

    insert into trade.accounts (account, broker, broker_account, venue, currency)
    values (p_account, p_broker, coalesce(p_broker_account, p_account), p_venue, p_currency)
    returning account_id into v_account_id;

    insert into trade.balances (account_id) values (v_account_id);
    insert into risk.limits (account_id, limit_name, value) values (v_account_id, 'max_position_share', 0.3);
    perform bus.record_event('account', v_account_id, 'created', null, jsonb_build_object(
        'account', p_account, 'broker', p_broker, 'venue', p_venue, 'currency', p_currency
    ));

    if p_deposit is not null then
        perform api.record_cash(p_account, 'deposit', p_deposit, 'opening deposit');
    end if;

    return v_account_id;
end;
$$;

comment on function api.add_account(text, text, text, text, text, numeric) is
    'Adds one broker account in one currency, with an opening deposit for the paper broker. Returns its id. Raises TRI01.';

create or replace function api.record_cash(
    p_account         text,
    p_kind            text,
    p_amount          numeric,
    p_note            text,
    p_idempotency_key text default null
)
returns numeric
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_account_id bigint := trade.account_id(p_account);
    v_booked     trade.cash_entries;
    v_note       text := left(coalesce(p_note, ''), 500);
begin
    if coalesce(p_kind, '') not in ('deposit', 'withdrawal', 'dividend', 'correction') or coalesce(p_amount, 0) = 0
        or bus.is_amount(p_amount) is not true
        or (p_kind = 'deposit' and p_amount < 0) or (p_kind = 'withdrawal' and p_amount > 0) then
        raise exception '% of % is not a movement of cash', left(p_kind, 100), coalesce(left(p_amount::text, 100), 'null')
            using errcode = 'TRI01',
                  hint = 'deposit (above zero), withdrawal (below zero), dividend or correction.';
    end if;

    if octet_length(p_idempotency_key) not between 1 and 200 then
        raise exception 'an idempotency key has 1 to 200 bytes'
            using errcode = 'TRI01', hint = 'Leave it out, or choose another.';
    end if;

    perform from trade.balances as b where b.account_id = v_account_id for no key update;

    insert into trade.cash_entries (account_id, kind, amount, note, idempotency_key)
    values (v_account_id, p_kind, p_amount, v_note, p_idempotency_key)
    on conflict (account_id, idempotency_key) where idempotency_key is not null do nothing;

    if not found then
        select e.* into strict v_booked
        from trade.cash_entries as e
        where e.account_id = v_account_id and e.idempotency_key = p_idempotency_key;

        if (v_booked.kind, v_booked.amount, v_booked.note) is distinct from (p_kind, p_amount, v_note) then
            raise exception 'idempotency key % was used for another movement of cash, %', p_idempotency_key,
                v_booked.cash_entry_id
                using errcode = 'TRI03', hint = 'Another movement needs a new key: select * from cash_entries;';
        end if;
    end if;

    perform trade.shed_unsent(v_account_id, null, null);

    return (select b.cash from trade.balances as b where b.account_id = v_account_id);
end;
$$;

comment on function api.record_cash(text, text, numeric, text, text) is
    'Records money that came or went outside trading; returns the balance. The same key again is booked once. A fact: never refused for lack of cash, a breach sheds waiting buys. Raises TRI01, TRI02, TRI03.';

create or replace function api.add_strategy(
    p_strategy       text,
    p_class          text,
    p_account        text,
    p_symbols        text[],
    p_budget         numeric,
    p_order_notional numeric,
    p_exit_profile   text default 'swing',
    p_parameters     jsonb default '{}'
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_account trade.accounts;
    v_unknown text;
begin
    perform bus.require_text('the class', p_class), bus.require_text('the account', p_account),
        bus.require_text('the exit profile', p_exit_profile), bus.require_list('the symbols', p_symbols, 2000),
        bus.require_amount('the budget', p_budget), bus.require_amount('the order notional', p_order_notional);

    if (p_strategy ~ '^[a-z][a-z0-9_]{0,30}$' and p_strategy <> 'manual' and p_class is not null
        and cardinality(p_symbols) > 0 and p_budget > 0 and p_order_notional > 0
        and pg_column_size(p_parameters) <= 32768) is not true then
        perform bus.refuse_argument('a strategy',
            'a plain name with class, symbols, budget and order notional above zero, and parameters of at most 32 kB');
    end if;

    select a.* into v_account from trade.accounts as a where a.account = p_account;

    if not found then
        raise exception 'account % does not exist', p_account using errcode = 'TRI02', hint = 'select account from accounts;';
    end if;

    select string_agg(coalesce(s.symbol, 'null'), ', ') into v_unknown
    from unnest(p_symbols) as s (symbol)
    where not exists (
        select from market.instruments as i where i.venue = v_account.venue and i.symbol = s.symbol
    );

    if v_unknown is not null or (array_ndims(p_symbols) = 1) is not true
        or not exists (select from trade.exit_profiles as x where x.profile = p_exit_profile) then
        raise exception 'unknown symbols % or exit profile %', coalesce(v_unknown, 'none'), p_exit_profile
            using errcode = 'TRI01', hint = 'A plain list of symbols, added with aegis universe add; select profile from exit_profiles;';
    end if;

    if exists (select from strategy.strategies as s where s.strategy = p_strategy) then
        raise exception 'strategy % exists', p_strategy
            using errcode = 'TRI01', hint = 'Choose another name: select * from strategies;';
    end if;

    insert into strategy.strategies (strategy, class, account_id, symbols, parameters, budget, order_notional, exit_profile)
    values (p_strategy, p_class, v_account.account_id, p_symbols, p_parameters, p_budget, p_order_notional, p_exit_profile);

    return 'aegis_s_' || p_strategy;
end;
$$;

comment on function api.add_strategy(text, text, text, text[], numeric, numeric, text, jsonb) is
    'Adds a strategy, stopped; returns the login it will run as. Raises TRI01, TRI02.';

create or replace function strategy.set_status(
    p_strategy text,
    p_status   text
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.require_text('the strategy', p_strategy);

    update strategy.strategies as s
    set status = p_status,
        changed_at = bus.clock()
    where s.strategy = p_strategy;

    if not found then
        raise exception 'strategy % does not exist', p_strategy using errcode = 'TRI02', hint = 'select strategy from strategies;';
    end if;

    perform bus.record_event('strategy', null, p_status, null, jsonb_build_object('strategy', p_strategy));
    return p_status;
end;
$$;

comment on function strategy.set_status(text, text) is 'Starts or stops a strategy. Raises TRI01, TRI02.';

create or replace function api.start_strategy(p_strategy text)
returns text
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select strategy.set_status(p_strategy, 'RUNNING');
end;

comment on function api.start_strategy(text) is 'Lets a strategy run; the supervisor starts its process. Raises TRI01, TRI02.';

create or replace function api.stop_strategy(p_strategy text)
returns text
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select strategy.set_status(p_strategy, 'STOPPED');
end;

comment on function api.stop_strategy(text) is
    'Stops a strategy: it proposes nothing more; its positions stay and stay protected. Raises TRI01, TRI02.';

create or replace function strategy.tg_strategies__notify()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.notify('strategy_changed');
    return null;
end;
$$;

comment on function strategy.tg_strategies__notify() is 'Wakes the supervisor. A hint.';

create or replace trigger _900_notify
after insert or update on strategy.strategies
for each row execute function strategy.tg_strategies__notify();

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

    -- Else a key given here could be the next one of a stop, and the stop be refused for it.
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

    if p_owner is distinct from 'manual' and not exists (select from strategy.strategies as s where s.strategy = p_owner) then
        raise exception 'there is no owner %', p_owner
            using errcode = 'TRI02', hint = 'manual, or the name of a strategy.';
    end if;

    return (trade.open_intent(
        v_account_id, v_instrument_id, p_owner, p_intent_type, p_side, p_quantity, p_limit_price,
        coalesce(p_reason, 'by hand'),
        coalesce(p_idempotency_key, gen_random_uuid()::text), p_ttl
    )).intent_id;
end;
$$;

comment on function api.create_intent(text, text, text, numeric, numeric, text, text, text, text, interval) is
    'A decision by hand: returns the intent''s id. The same laws hold as for a strategy. Raises TRM01, TRM02, TRQ01, TRQ02, TRC01, TRC02, TRP01, TRP02, TRS01, TRI01, TRI02, TRI03.';
