-- 32_close_intent: end an intent: at once if it has no order at the broker, otherwise by requesting a cancel.

create or replace function trade.close_intent(
    p_intent_id bigint,
    p_status    text,
    p_reason    text
)
returns trade.order_intents
language sql
volatile
begin atomic
    update trade.order_intents as i
    set status = p_status,
        reserved_qty = 0,
        reserved_cash = 0,
        closed_at = bus.clock(),
        closed_reason = p_reason
    where i.intent_id = p_intent_id
    returning i.*;
end;

comment on function trade.close_intent is
    'Ends an intent and releases its reservation. The caller holds its locks. Raises TRL01.';

create or replace function trade.retire_intent(
    p_intent_id bigint,
    p_status    text,
    p_reason    text
)
returns void
language sql
volatile
begin atomic
    -- Keep the reservation while an order of the intent may be live at the broker.
    select trade.close_intent(i.intent_id, p_status, p_reason)
    from trade.order_intents as i
    where i.intent_id = p_intent_id
      and i.closed_at is null
      and not exists (select from trade.orders as o where o.intent_id = i.intent_id and o.closed_at is null);
end;

comment on function trade.retire_intent is
    'Ends an intent unless another of its orders is live, as during an amend. The caller holds the locks. Raises '
    'TRL01.';

create or replace function trade.request_cancel(p_intent_id bigint)
returns void
language sql
volatile
begin atomic
    update trade.orders as o
    set cancel_requested_at = bus.clock()
    where o.intent_id = p_intent_id
      and o.closed_at is null
      and o.cancel_requested_at is null;
end;

comment on function trade.request_cancel is 'Asks execution to cancel the live orders of an intent.';

create or replace function trade.close_or_request_cancel(
    p_intent_id bigint,
    p_status    text,
    p_reason    text
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent trade.order_intents;
begin
    v_intent := trade.lock_intent(p_intent_id);

    if v_intent.closed_at is not null then
        return false;
    end if;

    if v_intent.status in ('NEW', 'PENDING_APPROVAL') then
        perform trade.close_intent(p_intent_id, p_status, p_reason);
        return true;
    end if;

    perform trade.request_cancel(p_intent_id);
    return true;
end;
$$;

comment on function trade.close_or_request_cancel is
    'Ends an intent that waits, or else requests a cancel of its live orders. Returns false if the intent had '
    'already ended. Raises TRI02.';

create or replace function api.cancel_intent(
    p_intent_id bigint,
    p_reason    text
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.require_text('the reason', p_reason, 2000);

    if not trade.close_or_request_cancel(p_intent_id, 'CANCELLED', format('%s: %s', session_user, p_reason)) then
        return 'it had already ended';
    end if;

    return (
        select case when i.closed_at is null then 'a cancel of its order was requested' else 'cancelled' end
        from trade.order_intents as i
        where i.intent_id = p_intent_id
    );
end;
$$;

comment on function api.cancel_intent is
    'Ends a waiting intent, or requests a cancel of its live order; returns which. Raises TRI01, TRI02.';
