-- 26_order_locks: lock an order and everything it touches; check the fence, the number of its current claim.

create or replace function trade.lock_with_parent(p_order trade.orders)
returns trade.orders
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order trade.orders;
begin
    -- A report about the child of an amend may end its parent: lock the parent first, it has the lower id.
    if p_order.parent_order_id is not null then
        perform from trade.orders as o where o.order_id = p_order.parent_order_id for no key update;
    end if;

    select o.* into strict v_order from trade.orders as o where o.order_id = p_order.order_id for no key update;
    return v_order;
end;
$$;

comment on function trade.lock_with_parent is
    'Locks an order, after the order it is to replace, and returns it as it is now. The caller has locked its '
    'intent.';

create or replace function trade.lock_unfenced(p_order_id bigint)
returns trade.orders
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order trade.orders;
begin
    select o.* into v_order from trade.orders as o where o.order_id = p_order_id;

    if not found then
        raise exception 'order % does not exist', p_order_id
            using errcode = 'TRI02', hint = 'select order_id, status from orders;';
    end if;

    perform trade.lock_intent(v_order.intent_id);
    return trade.lock_with_parent(v_order);
end;
$$;

comment on function trade.lock_unfenced is
    'Locks account, position, intent and order, in that order, without checking the fence. Raises TRI02.';

create or replace function trade.check_fence(
    p_order trade.orders,
    p_fence bigint
)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_order.fence is distinct from p_fence then
        raise exception 'order % was taken over: fence %, not %', p_order.order_id, p_order.fence, p_fence
            using errcode = 'TRL03', hint = 'Another worker has claimed it; stop working on it.';
    end if;
end;
$$;

comment on function trade.check_fence is
    'L6: refuses a worker that does not hold the current fence of an order. Raises TRL03.';

create or replace function trade.lock_order(
    p_order_id bigint,
    p_fence    bigint
)
returns trade.orders
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order trade.orders;
begin
    v_order := trade.lock_unfenced(p_order_id);
    perform trade.check_fence(v_order, p_fence);
    return v_order;
end;
$$;

comment on function trade.lock_order is
    'Locks account, position, intent and order, in that order, for the worker that holds the fence. Raises TRI02, '
    'TRL03.';

create or replace function trade.lock_for_fill(p_order_id bigint)
returns trade.orders
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order trade.orders;
    v_owner text;
begin
    select o.* into strict v_order from trade.orders as o where o.order_id = p_order_id;
    select i.owner into strict v_owner from trade.order_intents as i where i.intent_id = v_order.intent_id;

    -- Lock order: account, position, intent, order.
    perform trade.lock_account(v_order.account_id);
    perform trade.ensure_position(v_order.account_id, v_order.instrument_id, v_owner);
    perform from trade.order_intents as i where i.intent_id = v_order.intent_id for no key update;
    return trade.lock_with_parent(v_order);
end;
$$;

comment on function trade.lock_for_fill is
    'Locks everything a fill of an order touches; creates a flat position if there is none. Returns the order as '
    'it is now.';
