-- 54_unsent_orders: orders that were claimed but never sent.  One is bad luck; several in a row mean that nothing is
-- traded at this broker, although every process is alive and every law holds.

create or replace function api.unsend(
    p_order_id bigint,
    p_fence    bigint
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

    if v_order.status is distinct from 'SENDING' then
        raise exception 'order % is %, not SENDING', p_order_id, v_order.status
            using errcode = 'TRL01', hint = 'Only an order that has not left can be taken back.';
    end if;

    if v_order.is_pending then
        perform trade.discard_replacement(v_order, 'CANCELLED', 'not sent in time');
        perform trade.note_unsent(v_order);
        return;
    end if;

    perform trade.close_order(p_order_id, 'CANCELLED', 'not sent in time');
    perform trade.retry_or_cancel(v_order.intent_id, 'not sent in time', '0 s');
    perform trade.note_unsent(v_order);
end;
$$;

comment on function api.unsend is
    'Takes back an order that was claimed but not sent. Its intent is retried (retry_or_cancel); for an amend, '
    'the parent is cancelled instead. Raises TRI02, TRL01, TRL03.';

create or replace function trade.consecutive_unsent_orders(p_broker text)
returns integer
language sql
volatile
begin atomic
    -- Of the latest orders that were answered or taken back, count those taken back since the last answered one.
    select coalesce(
        min(r.place) filter (where r.closed_reason is distinct from 'not sent in time') - 1, count(*)
    )::integer
    from (
        select l.closed_reason, row_number() over (order by l.order_id desc) as place
        from (
            select o.order_id, o.closed_reason, o.answered_at
            from trade.orders as o
            join trade.accounts as a on a.account_id = o.account_id
            where a.broker = p_broker
            order by o.order_id desc
            limit 200
        ) as l
        where l.answered_at is not null
    ) as r;
end;

comment on function trade.consecutive_unsent_orders is
    'How many orders of a broker in a row, up to the latest, were taken back because they could not be sent in '
    'time.';

create or replace function trade.note_unsent(p_order trade.orders)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_broker trade.brokers;
    v_row    integer;
begin
    select b.* into strict v_broker
    from trade.accounts as a
    join trade.brokers as b on b.broker = a.broker
    where a.account_id = p_order.account_id;
    v_row := trade.consecutive_unsent_orders(v_broker.broker);

    if v_row < 3 then
        return;
    end if;

    perform api.raise_incident('orders_unsent', v_broker.broker, jsonb_build_object(
        'message', format('the last %s orders were claimed and not sent within %s', v_row, v_broker.send_within),
        'likely', case when current_setting('jit') = 'on' then
        'jit is on for this login: compiling a claim takes longer than an order may wait; aegis db migrate turns it off'
        else
        'the claim itself takes that long: the server or this machine is overloaded, or far away; aegis doctor'
        end
    ));
end;
$$;

comment on function trade.note_unsent is
    'Called after an order was taken back: opens an incident from the third in a row on. Reconcile ends it when '
    'orders are sent again.';
