-- 46_order_checks: does the broker still have our live orders?  An exchange that was reset, or that prunes its
-- history, never reports that an order is gone; so ask about each live order that was not checked for a while.

create or replace function trade.brokers_needing_order_checks()
returns text[]
language sql
volatile
begin atomic
    -- At most one batch a second for each broker, however many workers call this.
    with asked as (
        update trade.brokers as b
        set checked_at = bus.clock()
        where (b.checked_at is null or b.checked_at <= bus.clock() - interval '1 s')
          and exists (
              select
              from trade.orders as o
              join trade.accounts as a on a.account_id = o.account_id
              where a.broker = b.broker
                and o.check_at <= bus.clock()
                and o.closed_at is null
                and o.cancel_requested_at is null
                and o.status in ('SUBMITTED', 'PARTIAL_FILLED')
          )
        returning b.broker
    )

    select coalesce(array_agg(k.broker), '{}') from asked as k;
end;

comment on function trade.brokers_needing_order_checks is
    'Returns the brokers with live orders that are due for a check; each broker at most once a second.';

create or replace function api.claim_checks(
    p_worker_id bigint,
    p_limit     integer
)
returns setof trade.order_refs
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_brokers text[];
    v_ids     bigint[];
begin
    perform bus.require_worker(p_worker_id), bus.require_limit(p_limit);
    perform bus.require_home();
    v_brokers := trade.brokers_needing_order_checks();

    if v_brokers = '{}' then
        return;
    end if;

    v_ids := array(
        select o.order_id
        from trade.orders as o
        join trade.accounts as a on a.account_id = o.account_id
        where a.broker = any(v_brokers)
          and o.check_at <= bus.clock()
          and o.closed_at is null
          and o.cancel_requested_at is null
          and o.status in ('SUBMITTED', 'PARTIAL_FILLED')
        order by o.check_at, o.order_id
        limit least(p_limit, 10)
        for no key update of o skip locked
    );

    update trade.orders as o
    set check_at = bus.clock() + b.check_every
    from trade.accounts as a, trade.brokers as b
    where o.order_id = any(v_ids) and a.account_id = o.account_id and b.broker = a.broker;

    return query select l.* from trade.lease_orders(p_worker_id, v_ids) as l;
end;
$$;

comment on function api.claim_checks is
    'Leases live orders that nobody asked about for check_every to a worker, each with a new fence: at most ten '
    'per call, and at most one call a second for each broker. Raises TRI01, TRI04, TRH01.';
