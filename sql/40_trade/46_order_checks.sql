-- 46_order_checks: does the broker still have what lives here?  An exchange that was reset, or that prunes its history,
-- never says that an order is gone; so a live order that nobody has asked about for a while is asked about.

create or replace function trade.brokers_needing_order_checks()
returns text[]
language sql
volatile
begin atomic
    -- One batch a second of each broker, whoever asks and however often.
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
    'Brokers whose turn it is to be asked about live orders; each is asked again after a second at the earliest.';

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
    'Live orders to ask the broker about because nobody has for check_every: at most ten a second of one broker, '
    'each for one lease, with a new fence. Raises TRI01, TRI04, TRH01.';
