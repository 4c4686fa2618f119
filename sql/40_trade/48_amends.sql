-- 48_amends: replace an order by a child order for its whole remaining quantity.  The child is stored before the
-- broker hears of it, like any order, and stays pending until the broker has replaced the parent.

create or replace function trade.activate_replacement(
    p_child    trade.orders,
    p_quantity numeric
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if not p_child.is_pending then
        return;
    end if;

    update trade.orders as o
    set status = 'REPLACED',
        closed_at = bus.clock(),
        closed_reason = format('replaced by order %s', p_child.order_id)
    where o.order_id = p_child.parent_order_id
      and o.closed_at is null;

    perform trade.clear_stray(o.order_id, true)
    from trade.orders as o
    where o.order_id = p_child.parent_order_id and o.stray_since is not null;

    -- An amend covers the whole remainder: if the broker does not report it, take what is left of the intent.
    update trade.orders as o
    set is_pending = false,
        quantity = least(o.quantity, coalesce(
            case when p_quantity > 0 and bus.is_amount(p_quantity) then p_quantity end,
            case when i.closed_at is null then nullif(i.quantity - i.filled_qty, 0) end,
            o.quantity
        ))
    from trade.order_intents as i
    where o.order_id = p_child.order_id
      and i.intent_id = o.intent_id;
end;
$$;

comment on function trade.activate_replacement is
    'Records that the broker has replaced the parent by this child, for p_quantity (null or zero if it did not '
    'report it). The caller holds the locks.';

create or replace function trade.discard_replacement(
    p_child  trade.orders,
    p_status text,
    p_reason text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform trade.close_order(p_child.order_id, p_status, p_reason);

    -- Do not retry a failed amend: cancel the parent, and whoever requested the amend decides again.
    update trade.orders as o
    set amend_at = null,
        amend_price = null,
        cancel_requested_at = coalesce(o.cancel_requested_at, bus.clock())
    where o.order_id = p_child.parent_order_id
      and o.closed_at is null;

    perform trade.retire_intent(p_child.intent_id, 'CANCELLED', p_reason);
end;
$$;

comment on function trade.discard_replacement is
    'Ends a child that the broker does not have and requests a cancel of its parent; if the parent has ended, '
    'ends the intent. The caller holds the locks.';

create or replace view trade.amends_due as
select i.intent_id
from trade.order_intents as i
join trade.orders as o on o.intent_id = i.intent_id
join trade.intent_types as t on t.intent_type = i.intent_type and t.side = i.side
join risk.verdicts as v on v.account_id = i.account_id and v.action = t.action
where o.amend_at <= bus.clock()
  and o.status in ('SUBMITTED', 'PARTIAL_FILLED')
  and o.cancel_requested_at is null
  and i.closed_at is null
  and not (select n.is_foreign from bus.instance as n)
  and (v.verdict = 'ALLOW' or (v.verdict = 'APPROVE' and i.approved_by is not null))
  and not exists (
      select from trade.orders as c where c.intent_id = i.intent_id and c.is_pending and c.closed_at is null
  );

comment on view trade.amends_due is 'Intents whose order is due for replacement and has no pending child yet.';

create or replace function api.claim_amends(
    p_worker_id bigint,
    p_limit     integer
)
returns table (
    order_id               bigint,
    fence                  bigint,
    client_order_id        text,
    parent_client_order_id text,
    parent_broker_order_id text,
    broker                 text,
    account                text,
    symbol                 text,
    side                   text,
    quantity               numeric,
    limit_price            numeric,
    send_within            interval,
    answer_timeout         interval
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_ids    bigint[];
    v_orders bigint[];
begin
    perform bus.require_worker(p_worker_id), bus.require_limit(p_limit);
    perform bus.require_home();

    if not exists (
        select from trade.orders as o where o.amend_at <= bus.clock() and o.closed_at is null
    ) then
        return;
    end if;

    perform risk.lock_gate_shared();
    v_ids := array(
        select i.intent_id
        from trade.order_intents as i
        where i.intent_id = any(array(select d.intent_id from trade.amends_due as d order by d.intent_id limit p_limit))
        order by i.intent_id
        for no key update skip locked
    );
    -- Check again with the locks held: another worker may have stored the child in the meantime.
    v_ids := array(select d.intent_id from trade.amends_due as d where d.intent_id = any(v_ids) order by d.intent_id);

    begin
        v_orders := trade.store_amends(p_worker_id, v_ids);
    exception when others then
        if bus.concerns_all(sqlstate) then
            raise;
        end if;

        v_orders := trade.store_amends_one_by_one(p_worker_id, v_ids);
    end;

    return query
    select
        s.order_id, s.fence, s.client_order_id, p.client_order_id, p.broker_order_id, a.broker, a.account, n.symbol,
        s.side, s.quantity, s.limit_price, b.send_within, b.answer_timeout
    from trade.orders as s
    join trade.orders as p on p.order_id = s.parent_order_id
    join trade.accounts as a on a.account_id = s.account_id
    join trade.brokers as b on b.broker = a.broker
    join market.instruments as n on n.instrument_id = s.instrument_id
    where s.order_id = any(v_orders)
    order by s.order_id;
end;
$$;

comment on function api.claim_amends is
    'Stores the children of orders that are due for replacement and returns what to request from the broker. Send '
    'within send_within, or unsend; without an answer within answer_timeout, the result is unknown. Raises TRM02, TRI01, '
    'TRI04, TRH01.';
