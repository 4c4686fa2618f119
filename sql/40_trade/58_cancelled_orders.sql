-- 58_cancelled_orders: orders that the broker ended: cancelled or expired.

create or replace function trade.close_order_ended_by_broker(p_order trade.orders)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A broker can end only an order that it accepted, so the child of an amend has replaced its parent.
    perform trade.activate_replacement(p_order, null);

    if p_order.closed_at is null then
        perform trade.close_order(p_order.order_id, 'CANCELLED', 'cancelled');
    end if;

    perform trade.clear_stray(p_order.order_id, true) where p_order.stray_since is not null;
    update trade.orders as o
    set broker_ended_at = bus.clock()
    where o.order_id = p_order.order_id and o.broker_ended_at is null;
    perform risk.end_incident('lost_order', format('order %s', p_order.order_id));

    -- Leave alone an intent that waits for its next attempt.
    perform trade.retire_intent(
        p_order.intent_id, case when i.expires_at <= bus.clock() then 'EXPIRED' else 'CANCELLED' end,
        'its order was cancelled'
    )
    from trade.order_intents as i
    where i.intent_id = p_order.intent_id and i.status not in ('NEW', 'PENDING_APPROVAL');
end;
$$;

comment on function trade.close_order_ended_by_broker is
    'Records that the broker has ended an order whose fills are all recorded: no more of it will trade. The '
    'caller holds the locks.';

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
                'message', 'the broker counts fills it has not reported, on an order that has ended',
                'broker_says', p_filled_qty, 'recorded', v_order.filled_qty + v_order.overfill_qty
            ));
        end if;

        return v_order.status;
    end if;

    -- The broker counts fills that we have not recorded: read them first, then ask again.
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
    'Records that the broker ended the order after p_filled_qty were filled. Returns FILLS_FIRST while some of '
    'those fills are not recorded, AMEND_FIRST while a child is pending. For an order that is already known to '
    'have ended, unrecorded fills open an incident. Raises TRI02, TRL03.';
