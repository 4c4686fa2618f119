-- 52_broker_answers: record what the broker answered to an order.  Only a definite answer ends an order; after any
-- other the broker is asked, and the order is never sent again blindly.  An answer about a live order needs the fence
-- of its claim.

create or replace function trade.cancel_excess_orders(p_intent_id bigint)
returns void
language sql
volatile
begin atomic
    update trade.orders as o
    set cancel_requested_at = bus.clock()
    from trade.order_intents as i
    where i.intent_id = p_intent_id
      and o.intent_id = p_intent_id
      and o.closed_at is null
      and not o.is_pending
      and o.cancel_requested_at is null
      and o.quantity - o.filled_qty > case when i.closed_at is null then i.quantity - i.filled_qty else 0 end;
end;

comment on function trade.cancel_excess_orders is
    'L5: requests a cancel of a live order that is larger than the rest of its intent, for example after a late '
    'fill of an order given up as lost. The caller holds the locks.';

create or replace function trade.retry_or_cancel(
    p_intent_id bigint,
    p_reason    text,
    p_wait      interval
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent trade.order_intents;
begin
    select i.* into strict v_intent from trade.order_intents as i where i.intent_id = p_intent_id;

    if exists (select from trade.orders as o where o.intent_id = p_intent_id and o.closed_at is null) then
        return;
    end if;

    -- Do not retry an order sent before an adoption: the lost history may hold a retry of it that was filled.
    if v_intent.status = 'CLAIMED' and v_intent.attempts < 3 and v_intent.expires_at > bus.clock() + p_wait
        and not exists (
            select
            from trade.orders as o
            join bus.epochs as e on e.epoch = split_part(o.client_order_id, '-', 1)
            where o.intent_id = p_intent_id and e.ended_at is not null
        )
        -- A cancel request made while the order was being sent means that no other attempt is wanted.
        and not exists (
            select from trade.orders as o where o.intent_id = p_intent_id and o.cancel_requested_at is not null
        )
    then
        update trade.order_intents as i
        set status = 'NEW',
            not_before = bus.clock() + p_wait
        where i.intent_id = p_intent_id;
    else
        perform trade.retire_intent(p_intent_id, 'CANCELLED', p_reason);
    end if;
end;
$$;

comment on function trade.retry_or_cancel is
    'Called after an order certainly did not reach the market. The intent waits and is claimed again, at most '
    'three attempts in all and never after a cancel request; otherwise it ends. Does nothing while another order '
    'of the intent is live.';

create or replace function trade.close_order(
    p_order_id bigint,
    p_status   text,
    p_reason   text
)
returns void
language sql
volatile
begin atomic
    update trade.orders as o
    set status = p_status,
        closed_at = bus.clock(),
        closed_reason = p_reason,
        answered_at = coalesce(o.answered_at, bus.clock())
    where o.order_id = p_order_id;
end;

comment on function trade.close_order is 'Ends an order. The caller holds its locks. Raises TRL01.';

create or replace function trade.unused_broker_order_id(
    p_order           trade.orders,
    p_broker_order_id text
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_other trade.orders;
begin
    if bus.is_text(p_broker_order_id, 200) is false then
        perform api.raise_incident('odd_order_number', format('order %s', p_order.order_id), jsonb_build_object(
            'client_order_id', p_order.client_order_id, 'bytes', octet_length(p_broker_order_id),
            'begins', left(p_broker_order_id, 100)
        ));
        return null;
    end if;

    select o.* into v_other
    from trade.orders as o
    where o.account_id = p_order.account_id
      and o.broker_order_id = p_broker_order_id
      and o.order_id <> p_order.order_id;

    if not found then
        return p_broker_order_id;
    end if;

    perform api.raise_incident('duplicate_order_number', format('order %s', p_order.order_id), jsonb_build_object(
        'broker_order_id', p_broker_order_id, 'client_order_id', p_order.client_order_id,
        'known_as', v_other.client_order_id
    ));
    return null;
end;
$$;

comment on function trade.unused_broker_order_id is
    'Returns the broker''s number for an order; null, with an incident, if it is too long or another order of the '
    'account already has it.';

create or replace function api.order_accepted(
    p_order_id        bigint,
    p_fence           bigint,
    p_broker_order_id text,
    p_quantity        numeric default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order  trade.orders;
    v_number text;
begin
    v_order := trade.lock_unfenced(p_order_id);

    -- Check the fence of a live order only: that the broker has an order which we ended is a fact, whoever reports it.
    if v_order.closed_at is null then
        perform trade.check_fence(v_order, p_fence);
    end if;

    v_number := trade.unused_broker_order_id(v_order, p_broker_order_id);
    perform trade.activate_replacement(v_order, p_quantity);

    update trade.orders as o
    set status = case
            when v_order.status not in ('SENDING', 'IN_DOUBT') then o.status
            when o.filled_qty > 0 then 'PARTIAL_FILLED'
            else 'SUBMITTED'
        end,
        broker_order_id = coalesce(o.broker_order_id, v_number),
        answered_at = coalesce(o.answered_at, bus.clock()),
        next_ask_at = case when o.stray_since is not null then o.next_ask_at end,
        check_at = bus.clock() + b.check_every,
        not_found_count = 0
    from trade.accounts as a, trade.brokers as b
    where o.order_id = p_order_id and a.account_id = o.account_id and b.broker = a.broker;

    if v_order.closed_at is not null then
        perform trade.handle_stray_activity(p_order_id, 'the broker accepted it');
        return;
    end if;

    update trade.order_intents as i
    set status = 'SUBMITTED'
    where i.intent_id = v_order.intent_id and i.status = 'CLAIMED';

    perform trade.cancel_excess_orders(v_order.intent_id);
end;
$$;

comment on function api.order_accepted is
    'Records that the broker has the order under its number and, for an amend, the quantity left. Fills may have '
    'come before. A number that another order has is not stored and opens an incident. An order that ended here '
    'without the broker''s word becomes a stray, whatever the fence. Raises TRI02, TRL03.';

create or replace function api.order_rejected(
    p_order_id  bigint,
    p_fence     bigint,
    p_code      text,
    p_message   text,
    p_transient boolean
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order  trade.orders;
    v_reason text := format('%s: %s', left(p_code, 100), left(p_message, 1000));
begin
    v_order := trade.lock_order(p_order_id, p_fence);

    -- A repeated report: leave the intent alone, it may be on its next attempt by now.
    if v_order.closed_at is not null then
        perform trade.clear_stray(p_order_id, true) where v_order.stray_since is not null;
        return;
    end if;

    if v_order.is_pending then
        perform trade.discard_replacement(v_order, 'REJECTED', v_reason);
        return;
    end if;

    -- After a partial fill only the rest ends, so the order counts as cancelled, not rejected.
    perform trade.close_order(
        p_order_id, case when v_order.filled_qty > 0 then 'CANCELLED' else 'REJECTED' end, v_reason
    );

    if p_transient and v_order.filled_qty = 0 then
        perform trade.retry_or_cancel(v_order.intent_id, v_reason, '1 s');
    else
        perform trade.retire_intent(
            v_order.intent_id, case when i.filled_qty > 0 then 'CANCELLED' else 'REJECTED' end, v_reason
        )
        from trade.order_intents as i
        where i.intent_id = v_order.intent_id;

        perform trade.back_off_exit(i, v_reason)
        from trade.order_intents as i
        where i.intent_id = v_order.intent_id and i.intent_type = 'EXIT';
    end if;
end;
$$;

comment on function api.order_rejected is
    'Records a definite reject. A transient one is retried after a second, at most three attempts in all; any '
    'other is not retried. An order that has ended stays as it is, but is no longer a stray. Raises TRI02, TRL03.';

create or replace function api.order_unknown(
    p_order_id bigint,
    p_fence    bigint,
    p_detail   text
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order trade.orders;
begin
    v_order := trade.lock_order(p_order_id, p_fence);

    if v_order.status = 'SENDING' then
        update trade.orders as o
        set status = 'IN_DOUBT',
            next_ask_at = bus.clock()
        where o.order_id = p_order_id;
        perform bus.record_event('order', p_order_id, 'unknown answer', v_order.intent_id,
            jsonb_build_object('detail', left(p_detail, 2000)));
    end if;
end;
$$;

comment on function api.order_unknown is
    'Records that nobody knows whether the broker has the order: the broker will be asked, and the symbol and '
    'side of the order are blocked until then. Raises TRI02, TRL03.';
