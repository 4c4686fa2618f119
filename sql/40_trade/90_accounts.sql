-- 90_accounts: accounts that people add, and cash that they record by hand.

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

comment on function api.add_account is
    'Adds one broker account in one currency, with an opening deposit for the paper broker. Returns its id. Raises '
    'TRI01.';

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
        raise exception '% of % is not a movement of cash', left(p_kind, 100),
            coalesce(left(p_amount::text, 100), 'null')
            using errcode = 'TRI01',
                  hint = 'deposit (above zero), withdrawal (below zero), dividend or correction.';
    end if;

    if octet_length(p_idempotency_key) not between 1 and 200 then
        raise exception 'an idempotency key has 1 to 200 bytes'
            using errcode = 'TRI01', hint = 'Leave it out, or choose another.';
    end if;

    perform trade.lock_account(v_account_id);

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

    perform trade.release_unsent_intents(v_account_id, null, null);

    return (select b.cash from trade.balances as b where b.account_id = v_account_id);
end;
$$;

comment on function api.record_cash is
    'Records money that came or went outside trading; returns the balance. A repeated idempotency key is booked once. '
    'It is a fact, so never refused for lack of cash: a breach cancels unsent buys. Raises TRI01, TRI02, TRI03.';
