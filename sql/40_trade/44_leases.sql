-- 44_leases: lease work on orders at the broker to one worker at a time: cancels, and queries about orders in doubt.

create or replace view trade.order_refs as
select
    o.order_id,
    o.fence,
    o.client_order_id,
    o.broker_order_id,
    a.broker,
    a.account,
    i.symbol
from trade.orders as o
join trade.accounts as a on a.account_id = o.account_id
join market.instruments as i on i.instrument_id = o.instrument_id;

comment on view trade.order_refs is
    'What it takes to ask a broker about an order: the row that claim_cancels, claim_doubts and claim_checks '
    'return.';

create or replace function trade.lease(
    p_worker_id bigint,
    p_order_ids bigint[]
)
returns void
language sql
volatile
begin atomic
    update trade.orders as o
    set claimed_by = p_worker_id,
        fence = o.fence + 1,
        next_ask_at = bus.clock() + b.lease
    from trade.accounts as a, trade.brokers as b
    where o.order_id = any(p_order_ids) and a.account_id = o.account_id and b.broker = a.broker;
end;

comment on function trade.lease is 'Assigns locked orders to a worker for one lease, each with a new fence.';

create or replace function trade.lease_orders(
    p_worker_id bigint,
    p_order_ids bigint[]
)
returns setof trade.order_refs
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_id   bigint;
    v_leased bigint[] := '{}';
begin
    begin
        perform trade.lease(p_worker_id, p_order_ids);
        v_leased := p_order_ids;
    exception when others then
        if bus.concerns_all(sqlstate) then
            raise;
        end if;

        foreach v_id in array p_order_ids loop
            begin
                perform trade.lease(p_worker_id, array[v_id]);
                v_leased := v_leased || v_id;
            exception when others then
                if bus.concerns_all(sqlstate) then
                    raise;
                end if;

                perform risk.note_failed_item('lease_orders', format('order %s', v_id), sqlstate, sqlerrm);
            end;
        end loop;
    end;

    return query
    select r.*
    from trade.order_refs as r
    where r.order_id = any(v_leased)
    order by r.order_id;
end;
$$;

comment on function trade.lease_orders is
    'Leases locked orders to a worker, each with a new fence, and returns them; leaves out one that fails, with '
    'an incident. The caller has checked the worker.';

create or replace function api.claim_cancels(
    p_worker_id bigint,
    p_limit     integer
)
returns setof trade.order_refs
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.require_worker(p_worker_id), bus.require_limit(p_limit);
    perform bus.require_home();

    return query
    select l.*
    from trade.lease_orders(p_worker_id, array(
        select o.order_id
        from trade.orders as o
        where o.cancel_requested_at is not null
          and (o.closed_at is null or o.stray_since is not null)
          and (o.status in ('SUBMITTED', 'PARTIAL_FILLED') or o.stray_since is not null)
          and (o.next_ask_at is null or bus.is_over(o.next_ask_at, '5 min'))
          and not (select n.is_foreign from bus.instance as n)
        order by o.order_id
        limit p_limit
        for no key update skip locked
    )) as l;
end;
$$;

comment on function api.claim_cancels is
    'Leases orders to cancel to a worker, each with a new fence: live ones with a cancel request, and strays. '
    'None in a restored or copied database before its adoption. Raises TRI01, TRI04, TRH01.';

create or replace function api.claim_doubts(
    p_worker_id bigint,
    p_limit     integer
)
returns setof trade.order_refs
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.require_worker(p_worker_id), bus.require_limit(p_limit);
    perform bus.require_home();

    -- An orphan: send_before has passed, and its worker is dead or the answer timeout is over as well.
    update trade.orders as o
    set status = 'IN_DOUBT',
        fence = o.fence + 1
    where o.order_id = any(array(
        select s.order_id
        from trade.orders as s
        join trade.accounts as a on a.account_id = s.account_id
        join trade.brokers as b on b.broker = a.broker
        where s.status = 'SENDING'
          and s.send_before < bus.clock()
          and (s.send_before + b.answer_timeout < bus.clock() or not bus.worker_is_alive(s.claimed_by))
        order by s.order_id
        for no key update of s skip locked
    ));

    return query
    select l.*
    from trade.lease_orders(p_worker_id, array(
        select o.order_id
        from trade.orders as o
        where o.status = 'IN_DOUBT'
          and (o.next_ask_at is null or bus.is_over(o.next_ask_at, '5 min'))
        order by o.order_id
        limit p_limit
        for no key update skip locked
    )) as l;
end;
$$;

comment on function api.claim_doubts is
    'Moves orphans from SENDING to IN_DOUBT; leases orders in doubt to a worker, each with a new fence, to ask '
    'the broker about them. Raises TRI01, TRI04, TRH01.';
