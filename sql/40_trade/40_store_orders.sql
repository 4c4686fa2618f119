-- 40_store_orders: store orders before a broker hears of them (L6), many in one statement.  If one of them fails
-- with an unexpected error, store them one by one, so that the others go.

create or replace function trade.store_claims(
    p_worker_id  bigint,
    p_intent_ids bigint[]
)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan  -- replanning for each array took half of the run time
as $$
declare
    v_orders bigint[];
begin
    update trade.order_intents as i
    set status = 'CLAIMED',
        claimed_at = bus.clock(),
        attempts = i.attempts + 1
    where i.intent_id = any(p_intent_ids);

    with stored as (
        insert into trade.orders as o (
            intent_id, account_id, instrument_id, side, client_order_id, status, quantity, limit_price, claimed_by,
            send_before
        )
        select
            i.intent_id, i.account_id, i.instrument_id, i.side,
            format('%s-%s-%s', n.epoch, i.intent_id, i.attempts),
            'SENDING', i.quantity - i.filled_qty, i.worst_price, p_worker_id, bus.clock() + b.send_within
        from trade.order_intents as i
        join trade.accounts as a on a.account_id = i.account_id
        join trade.brokers as b on b.broker = a.broker
        cross join bus.instance as n
        where i.intent_id = any(p_intent_ids)
        order by i.intent_id
        returning o.order_id
    )

    select array_agg(s.order_id) into v_orders from stored as s;

    return v_orders;
end;
$$;

comment on function trade.store_claims is
    'Stores an order for each of some locked, waiting intents, before any broker hears of it; returns the order '
    'ids. Raises TRM01, TRM02, TRM03, TRL01, TRL04.';

create or replace function trade.store_claims_one_by_one(
    p_worker_id  bigint,
    p_intent_ids bigint[]
)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_id     bigint;
    v_orders bigint[] := '{}';
begin
    foreach v_id in array p_intent_ids loop
        begin
            v_orders := v_orders || trade.store_claims(p_worker_id, array[v_id]);
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform risk.note_failed_item('claim_intents', format('intent %s', v_id), sqlstate, sqlerrm);
        end;
    end loop;

    return v_orders;
end;
$$;

comment on function trade.store_claims_one_by_one is
    'Like store_claims, but one intent at a time: one that fails keeps waiting, with an incident, and the others '
    'go.';

create or replace function trade.store_amends(
    p_worker_id  bigint,
    p_intent_ids bigint[]
)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_orders bigint[];
begin
    update trade.order_intents as i set attempts = i.attempts + 1 where i.intent_id = any(p_intent_ids);

    with stored as (
        insert into trade.orders as o (
            intent_id, parent_order_id, account_id, instrument_id, side, client_order_id, status, quantity, limit_price,
            claimed_by, send_before, is_pending
        )
        select
            i.intent_id, p.order_id, i.account_id, i.instrument_id, i.side,
            format('%s-%s-%s', n.epoch, i.intent_id, i.attempts),
            'SENDING', i.quantity - i.filled_qty, p.amend_price, p_worker_id, bus.clock() + b.send_within, true
        from trade.order_intents as i
        join trade.orders as p on p.intent_id = i.intent_id and p.closed_at is null and not p.is_pending
        join trade.accounts as a on a.account_id = i.account_id
        join trade.brokers as b on b.broker = a.broker
        cross join bus.instance as n
        where i.intent_id = any(p_intent_ids)
        order by i.intent_id
        returning o.order_id
    )

    select array_agg(s.order_id) into v_orders from stored as s;

    return v_orders;
end;
$$;

comment on function trade.store_amends is
    'Stores a child for each order that is to be replaced, given by its locked intent; returns their ids. Raises '
    'TRM01, TRM02, TRM03, TRL04.';

create or replace function trade.store_amends_one_by_one(
    p_worker_id  bigint,
    p_intent_ids bigint[]
)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_id     bigint;
    v_orders bigint[] := '{}';
begin
    foreach v_id in array p_intent_ids loop
        begin
            v_orders := v_orders || trade.store_amends(p_worker_id, array[v_id]);
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform risk.note_failed_item('claim_amends', format('intent %s', v_id), sqlstate, sqlerrm);
        end;
    end loop;

    return v_orders;
end;
$$;

comment on function trade.store_amends_one_by_one is
    'Like store_amends, but one intent at a time: one that fails stays due, with an incident, and the others go.';
