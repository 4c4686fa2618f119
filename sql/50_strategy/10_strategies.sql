-- 10_strategies: adding, starting and stopping strategies; each strategy has its own login.

create or replace function strategy.current_strategy()
returns strategy.strategies
language sql
stable
begin atomic
    select s from strategy.strategies as s where session_user = 'aegis_s_' || s.strategy;
end;

comment on function strategy.current_strategy is
    'The strategy whose login this session uses; null for any other login.';

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
        raise exception 'account % does not exist', p_account
            using errcode = 'TRI02', hint = 'select account from accounts;';
    end if;

    select string_agg(coalesce(s.symbol, 'null'), ', ') into v_unknown
    from unnest(p_symbols) as s (symbol)
    where not exists (
        select from market.instruments as i where i.venue = v_account.venue and i.symbol = s.symbol
    );

    if v_unknown is not null or (array_ndims(p_symbols) = 1) is not true
        or not exists (select from trade.exit_profiles as x where x.profile = p_exit_profile) then
        raise exception 'unknown symbols % or exit profile %', coalesce(v_unknown, 'none'), p_exit_profile
            using errcode = 'TRI01',
                  hint = 'A plain list of symbols, added with aegis universe add; select profile from exit_profiles;';
    end if;

    if exists (select from strategy.strategies as s where s.strategy = p_strategy) then
        raise exception 'strategy % exists', p_strategy
            using errcode = 'TRI01', hint = 'Choose another name: select * from strategies;';
    end if;

    insert into strategy.strategies (
        strategy, class, account_id, symbols, parameters, budget, order_notional, exit_profile
    ) values (
        p_strategy, p_class, v_account.account_id, p_symbols, p_parameters, p_budget, p_order_notional, p_exit_profile
    );

    return 'aegis_s_' || p_strategy;
end;
$$;

comment on function api.add_strategy is
    'Adds a strategy, initially stopped; returns the login it will run as. Raises TRI01, TRI02.';

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
        raise exception 'strategy % does not exist', p_strategy
            using errcode = 'TRI02', hint = 'select strategy from strategies;';
    end if;

    perform bus.record_event('strategy', null, p_status, null, jsonb_build_object('strategy', p_strategy));
    return p_status;
end;
$$;

comment on function strategy.set_status is 'Starts or stops a strategy. Raises TRI01, TRI02.';

create or replace function api.start_strategy(p_strategy text)
returns text
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select strategy.set_status(p_strategy, 'RUNNING');
end;

comment on function api.start_strategy is
    'Lets a strategy run; the supervisor starts its process. Raises TRI01, TRI02.';

create or replace function api.stop_strategy(p_strategy text)
returns text
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select strategy.set_status(p_strategy, 'STOPPED');
end;

comment on function api.stop_strategy is
    'Stops a strategy: it proposes nothing more; its positions remain and stay protected. Raises TRI01, TRI02.';

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

comment on function strategy.tg_strategies__notify is 'Wakes the supervisor. Only a hint: the rows decide.';

create or replace trigger _900_notify
after insert or update on strategy.strategies
for each row execute function strategy.tg_strategies__notify();
