-- 56_lost_orders: orders that the broker does not know: ask again, then give them up, by rule or by a person.

create or replace function trade.mark_order_lost(
    p_order  trade.orders,
    p_reason text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_order.is_pending then
        perform trade.discard_replacement(p_order, 'CANCELLED', p_reason);
        return;
    end if;

    perform trade.close_order(p_order.order_id, 'CANCELLED', p_reason);

    -- Retry only an order that the broker never had: one that it has forgotten may have been filled.
    if p_order.answered_at is null then
        perform trade.retry_or_cancel(p_order.intent_id, p_reason, '0 s');
    else
        perform trade.retire_intent(p_order.intent_id, 'CANCELLED', p_reason);
    end if;
end;
$$;

comment on function trade.mark_order_lost is
    'Ends an order that the broker does not have, and its intent; if the order never reached the broker, the '
    'intent is retried. The caller holds the locks.';

create or replace function trade.report_lost_order(
    p_order trade.orders,
    p_why   text
)
returns void
language sql
volatile
begin atomic
    select api.raise_incident('lost_order', format('order %s', p_order.order_id), jsonb_build_object(
        'message', format('%s; check at the broker whether it was filled', p_why),
        'client_order_id', p_order.client_order_id, 'broker_order_id', p_order.broker_order_id, 'side', p_order.side,
        'open_quantity', p_order.quantity - p_order.filled_qty
    ));
end;

comment on function trade.report_lost_order is
    'Opens an incident: the broker had an order and no longer knows it, so a person must find out whether the '
    'rest was filled.';

create or replace function trade.has_amend_under_way(p_order_id bigint)
returns boolean
language sql
stable
begin atomic
    select exists (
        select from trade.orders as c where c.parent_order_id = p_order_id and c.is_pending and c.closed_at is null
    );
end;

comment on function trade.has_amend_under_way is
    'Whether an order has a pending child, which may already have replaced it at the broker.';

create or replace function trade.reason_to_keep_checking(
    p_order  trade.orders,
    p_broker trade.brokers
)
returns text
language sql
volatile
begin atomic
    select case
        when bus.clock() <= p_order.send_before + p_broker.answer_timeout + p_broker.visibility_lag then 'TOO_EARLY'
        -- Its child may already have replaced it at the broker: find that out first.
        when trade.has_amend_under_way(p_order.order_id) then 'AMEND_FIRST'
        -- It may have been filled before the broker forgot it: the fills must have been read after the question.
        when p_order.answered_at is not null and (
            select a.fills_read_at >= coalesce(p_order.next_ask_at - p_broker.lease, '-infinity')
            from trade.accounts as a
            where a.account_id = p_order.account_id
        ) is not true then 'FILLS_FIRST'
    end;
end;

comment on function trade.reason_to_keep_checking is
    'Why a "not found" answer does not count yet: TOO_EARLY, AMEND_FIRST or FILLS_FIRST; null when it counts.';

create or replace function trade.schedule_next_check(
    p_order_id bigint,
    p_at       timestamptz
)
returns void
language sql
volatile
begin atomic
    update trade.orders as o set next_ask_at = p_at where o.order_id = p_order_id;
end;

comment on function trade.schedule_next_check is
    'Sets when the broker may next be asked about an order or to cancel it.';

create or replace function api.order_not_found(
    p_order_id bigint,
    p_fence    bigint
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order  trade.orders;
    v_broker trade.brokers;
    v_wait   text;
begin
    v_order := trade.lock_order(p_order_id, p_fence);
    select b.* into strict v_broker
    from trade.brokers as b
    join trade.accounts as a on a.broker = b.broker
    where a.account_id = v_order.account_id;

    if (v_order.closed_at is not null and v_order.stray_since is null) or v_order.status = 'SENDING' then
        return v_order.status;
    end if;

    v_wait := trade.reason_to_keep_checking(v_order, v_broker);

    if v_wait is not null then
        perform trade.schedule_next_check(p_order_id, case v_wait
            when 'TOO_EARLY' then least(
                v_order.send_before + v_broker.answer_timeout + v_broker.visibility_lag, bus.clock() + interval '1 min'
            )
            else bus.clock() + interval '200 ms'
        end);
        return v_wait;
    end if;

    -- The broker had accepted it: put it in doubt and ask again; this answer does not count.
    if v_order.status in ('SUBMITTED', 'PARTIAL_FILLED') then
        update trade.orders as o
        set status = 'IN_DOUBT',
            not_found_count = 0,
            next_ask_at = bus.clock()
        where o.order_id = p_order_id;
        return 'IN_DOUBT';
    end if;

    if v_order.not_found_count + 1 < v_broker.not_found_needed then
        update trade.orders as o
        set not_found_count = o.not_found_count + 1,
            next_ask_at = bus.clock() + interval '1 s'
        where o.order_id = p_order_id;
        return 'ASK_AGAIN';
    end if;

    if v_order.stray_since is not null then
        perform trade.clear_stray(p_order_id, false);
    else
        perform trade.mark_order_lost(v_order, case
            when v_order.answered_at is null then 'the broker never had it' else 'the broker no longer has it'
        end);
    end if;

    perform trade.report_lost_order(v_order, 'the broker had this order and no longer knows it')
    where v_order.answered_at is not null;
    return 'CANCELLED';
end;
$$;

comment on function api.order_not_found is
    'Records that the broker does not know an order that it was asked about or asked to cancel. This counts only '
    'after send_before, answer_timeout and visibility_lag, without an amend under way (AMEND_FIRST), and once '
    'fills were read after the question (FILLS_FIRST). An accepted order becomes IN_DOUBT first; after '
    'not_found_needed such answers the order ends. Raises TRI02, TRL03.';

create or replace function api.declare_lost(
    p_order_id bigint,
    p_reason   text
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order  trade.orders;
    v_broker trade.brokers;
    v_reason text := format('declared lost by %s: %s', session_user, left(p_reason, 500));
begin
    v_order := trade.lock_unfenced(p_order_id);
    select b.* into strict v_broker
    from trade.brokers as b
    join trade.accounts as a on a.broker = b.broker
    where a.account_id = v_order.account_id;

    if v_order.closed_at is not null and v_order.stray_since is null then
        raise exception 'order % has ended already', p_order_id
            using errcode = 'TRL01', hint = 'select order_id, status, closed_reason from orders;';
    end if;

    if trade.reason_to_keep_checking(v_order, v_broker) in ('TOO_EARLY', 'AMEND_FIRST') then
        raise exception 'order % may be on its way to the broker, or be replaced there now', p_order_id
            using errcode = 'TRL01', hint = 'Wait until it is in doubt, or declare its replacement lost.';
    end if;

    -- A new fence, so that a worker that is asking about it now learns that it has ended.
    update trade.orders as o set fence = o.fence + 1 where o.order_id = p_order_id returning o.* into v_order;
    perform bus.record_event(
        'order', p_order_id, 'declared lost', v_order.intent_id, jsonb_build_object('reason', v_reason)
    );

    if v_order.stray_since is not null then
        perform trade.clear_stray(p_order_id, false);
    else
        v_order.answered_at := coalesce(v_order.answered_at, bus.clock());  -- no retry on a person's word
        perform trade.mark_order_lost(v_order, v_reason);
    end if;

    perform risk.end_incident('lost_order', format('order %s', p_order_id));
    return 'CANCELLED';
end;
$$;

comment on function api.declare_lost is
    'A person declares that the broker does not have an order: the order and its intent end and the reservation '
    'is released. Whatever the broker reports of it afterwards is still recorded. Raises TRI02, TRL01.';
