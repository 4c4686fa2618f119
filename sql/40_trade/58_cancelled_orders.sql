-- 58_cancelled_orders: an order that its broker ended: cancelled or expired.

create or replace function trade.close_order_ended_by_broker(p_order trade.orders)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Only an order the broker has taken can be cancelled there: the child of an amend has its parent's place.
    perform trade.activate_replacement(p_order, null);

    if p_order.closed_at is null then
        perform trade.close_order(p_order.order_id, 'CANCELLED', 'cancelled');
    end if;

    perform trade.clear_stray(p_order.order_id, true) where p_order.stray_since is not null;
    update trade.orders as o set broker_ended_at = bus.clock() where o.order_id = p_order.order_id and o.broker_ended_at is null;
    perform risk.end_incident('lost_order', format('order %s', p_order.order_id));

    -- An intent that waits for its next attempt goes on: this one has ended.
    perform trade.retire_intent(p_order.intent_id, case when i.expires_at <= bus.clock() then 'EXPIRED' else 'CANCELLED' end,
        'its order was cancelled')
    from trade.order_intents as i
    where i.intent_id = p_order.intent_id and i.status not in ('NEW', 'PENDING_APPROVAL');
end;
$$;

comment on function trade.close_order_ended_by_broker is
    'The broker has ended an order, and all it filled is recorded: nothing more of it trades. The caller holds the '
    'locks.';

create or replace function api.order_cancelled(
    p_order_id   bigint,
    p_fence      bigint,
    p_filled_qty numeric
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order trade.orders;
begin
    v_order := trade.lock_order(p_order_id, p_fence);

    if v_order.status in ('FILLED', 'REPLACED') or v_order.broker_ended_at is not null then
        if p_filled_qty > v_order.filled_qty + v_order.overfill_qty then
            perform api.raise_incident('missing_fills', format('order %s', p_order_id), jsonb_build_object(
                'message', 'the broker counts fills of an order that has ended which it has not reported',
                'broker_says', p_filled_qty, 'recorded', v_order.filled_qty + v_order.overfill_qty
            ));
        end if;

        return v_order.status;
    end if;

    -- Fills the broker counted and we have not seen come first: they are read, then this is asked again.
    if p_filled_qty > v_order.filled_qty + v_order.overfill_qty then
        if v_order.closed_at is not null then
            perform trade.activate_replacement(v_order, null);
            perform trade.handle_stray_activity(p_order_id, 'the broker reported fills of it that we do not have');
        end if;

        perform trade.schedule_next_check(p_order_id, bus.clock() + interval '200 ms');
        return 'FILLS_FIRST';
    end if;

    if v_order.closed_at is null and trade.has_amend_under_way(p_order_id) then
        perform trade.schedule_next_check(p_order_id, bus.clock() + interval '200 ms');
        return 'AMEND_FIRST';
    end if;

    perform trade.close_order_ended_by_broker(v_order);
    return 'CANCELLED';
end;
$$;

comment on function api.order_cancelled is
    'The broker says the order has ended after p_filled_qty were filled. Answers FILLS_FIRST while some of those are '
    'unrecorded, AMEND_FIRST while a child is under way. Of one that has ended already, more fills than are recorded '
    'are an incident. Raises TRI02, TRL03.';
