-- 24_locks: row locks, always in the same order: account, position, intent, order. Functions that change several
-- rows lock them here.

create or replace function trade.lock_account(p_account_id bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform from trade.balances as b where b.account_id = p_account_id for no key update;
end;
$$;

comment on function trade.lock_account is 'Locks an account, by the row of its balance.';

create or replace function trade.lock_position(
    p_account_id    bigint,
    p_instrument_id bigint,
    p_owner         text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform
    from trade.positions as p
    where p.account_id = p_account_id
      and p.instrument_id = p_instrument_id
      and p.owner = p_owner
    for no key update;
end;
$$;

comment on function trade.lock_position is 'Locks a position if it exists.';

create or replace function trade.lock_holdings(p_account_id bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform trade.lock_account(p_account_id);
    perform
    from trade.positions as p
    where p.account_id = p_account_id
    order by p.instrument_id, p.owner
    for no key update;
end;
$$;

comment on function trade.lock_holdings is 'Locks an account, then all its positions.';

create or replace function trade.lock_intent(p_intent_id bigint)
returns trade.order_intents
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent trade.order_intents;
begin
    select i.* into v_intent from trade.order_intents as i where i.intent_id = p_intent_id;

    if not found then
        raise exception 'intent % does not exist', p_intent_id
            using errcode = 'TRI02',
                  hint = 'select intent_id, status from intents;';
    end if;

    -- Lock order: account, position, intent.
    perform trade.lock_account(v_intent.account_id);
    perform trade.lock_position(v_intent.account_id, v_intent.instrument_id, v_intent.owner);
    select i.* into v_intent from trade.order_intents as i where i.intent_id = p_intent_id for no key update;
    return v_intent;
end;
$$;

comment on function trade.lock_intent is
    'Locks the account, position and intent, in that order, and returns the intent as it is now. Raises TRI02.';

create or replace function trade.lock_intents(p_intent_ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Take all locks before the first change: all accounts, then all positions, intents and orders.
    perform
    from trade.balances as b
    where b.account_id in (select i.account_id from trade.order_intents as i where i.intent_id = any(p_intent_ids))
    order by b.account_id
    for no key update;

    perform
    from trade.positions as p
    where (p.account_id, p.instrument_id, p.owner) in (
        select i.account_id, i.instrument_id, i.owner
        from trade.order_intents as i
        where i.intent_id = any(p_intent_ids)
    )
    order by p.account_id, p.instrument_id, p.owner
    for no key update;

    perform from trade.order_intents as i where i.intent_id = any(p_intent_ids) order by i.intent_id for no key update;

    perform
    from trade.orders as o
    where o.intent_id = any(p_intent_ids) and o.closed_at is null
    order by o.order_id
    for no key update;
end;
$$;

comment on function trade.lock_intents is
    'Locks the accounts, positions, intents and live orders of several intents, in that order, before any of them '
    'is changed.';

create or replace function trade.lock_accounts(p_account_ids bigint[])
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '600ms'  -- longer than the watcher needs to find the blocking session
as $$
declare
    v_locked bigint[] := '{}';
    v_id     bigint;
begin
    -- Lock one by one in order of id, so that no later account is held while waiting for an earlier one.
    for v_id in
        select distinct a.account_id from unnest(p_account_ids) as a (account_id) order by a.account_id
    loop
        perform from trade.balances as b where b.account_id = v_id for no key update skip locked;

        if not found then
            begin
                perform trade.lock_account(v_id);
            exception when lock_not_available then
                continue;  -- leave it out, so that it does not stop the others
            end;
        end if;

        v_locked := v_locked || v_id;
    end loop;

    return v_locked;
end;
$$;

comment on function trade.lock_accounts is
    'Locks accounts and returns their ids; leaves out any that another session holds for longer than 600 ms.';

create or replace function trade.lock_free_intents(p_intent_ids bigint[])
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '600ms'
as $$
declare
    v_accounts bigint[] := trade.lock_accounts(
        array(select i.account_id from trade.order_intents as i where i.intent_id = any(p_intent_ids))
    );
    v_ids      bigint[] := array(
        select i.intent_id
        from trade.order_intents as i
        where i.intent_id = any(p_intent_ids) and i.account_id = any(v_accounts)
        order by i.account_id, i.instrument_id, i.owner, i.intent_id
    );
    v_id       bigint;
    v_locked   bigint[] := '{}';
begin
    begin
        perform trade.lock_intents(v_ids);
        return v_ids;
    exception when lock_not_available then
        null;  -- another session holds one: lock them one by one, waiting at most 1 ms per lock
    end;

    perform set_config('lock_timeout', '1ms', true);

    foreach v_id in array v_ids loop
        begin
            perform trade.lock_intents(array[v_id]);
            v_locked := v_locked || v_id;
        exception when lock_not_available then
            null;
        end;
    end loop;

    return v_locked;
end;
$$;

comment on function trade.lock_free_intents is
    'Locks several intents and everything they touch, as lock_intents does, and returns the locked ones. Leaves '
    'out any that another session holds for longer than 600 ms, so that it does not stop the others.';
