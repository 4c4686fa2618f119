-- 50_work_waiting: which workers have anything to do, in one query.  Execution calls it at each wake-up instead of five
-- claims that would find nothing; a replay calls it each step and skips the drains that would find nothing; people call
-- it to see where work is stuck.  False is certain; true may still lead to no work.

-- Until the block below has read the rows of the brokers: any account.
create or replace view trade.fills_waiting as
select a.account_id, false as is_known
from trade.accounts as a;

do $build$
declare
    v_broker trade.brokers;
    v_built  text[] := '{}';
    v_query  text := '';
begin
    for v_broker in select b.* from trade.brokers as b where b.fills_view is not null order by b.broker loop
        if not exists (
            select
            from pg_attribute as c
            where c.attrelid = to_regclass(v_broker.fills_view)
              and c.attname = 'account_id'
              and c.atttypid = 'bigint'::regtype
        ) then
            raise exception 'broker % names %, which is no view with a column account_id of type bigint',
                v_broker.broker, v_broker.fills_view
                using errcode = 'TRI02',
                      hint = 'Define it in a folder of sql/ before 75_watch, or set fills_view of the broker to null.';
        end if;

        v_built := v_built || v_broker.fills_view;
        v_query := v_query || format(' union all select w.account_id, true from %s as w', v_broker.fills_view);
    end loop;

    -- Only a view that is built in keeps its broker's accounts out of the first part: a row changed later is obeyed at
    -- the next deployment, and until then the broker is asked too often rather than never.
    execute format(
        'create or replace view trade.fills_waiting as
        select a.account_id, false as is_known
        from trade.accounts as a
        join trade.brokers as b on b.broker = a.broker
        where (b.fills_view = any(%L::text[])) is not true',
        v_built
    ) || v_query;
end;
$build$;

comment on view trade.fills_waiting is
    'Accounts whose broker may have a fill to read now, some more than once; is_known when the broker''s own view says '
    'so, false when it may have one at any time. Built at each deployment from trade.brokers.fills_view, so that no '
    'query has to be planned at run time.';

create or replace function api.orders_waiting(
    out cancels boolean,
    out doubts  boolean,
    out amends  boolean,
    out fills   boolean
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    cancels := exists (
        select
        from trade.orders as o
        where o.cancel_requested_at is not null and (o.closed_at is null or o.stray_since is not null)
    );
    doubts :=
        exists (
            select
            from trade.orders as o
            where o.status in ('SENDING', 'IN_DOUBT') and (o.status = 'IN_DOUBT' or o.send_before <= bus.clock())
        )
        or exists (
            select
            from trade.orders as o
            where o.check_at <= bus.clock() and o.closed_at is null and o.cancel_requested_at is null
        );
    amends := exists (select from trade.orders as o where o.amend_at <= bus.clock() and o.closed_at is null);
    fills := exists (select from trade.fills_waiting);
end;
$$;

comment on function api.orders_waiting is
    'Whether there may be cancels to send, orders to ask about, amends to send or fills to read now.';

create or replace function api.work_waiting(
    out exits     boolean,
    out router    boolean,
    out execution boolean,
    out risk      boolean,
    out reconcile boolean
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    exits := exists (select from trade.exits_due);
    router := exists (select from strategy.picks as p where p.status = 'NEW');
    execution :=
        exists (select from trade.order_intents as i where i.status = 'NEW')
        or (select w.cancels or w.doubts or w.amends or w.fills from api.orders_waiting() as w);
    risk := router
        or exists (select from trade.order_intents as i where i.closed_at is null)
        or exists (select from risk.triggers as t where t.is_enabled);
    reconcile := exists (
        select
        from trade.accounts as a
        where a.reconciled_run is distinct from (select n.run_number from bus.instance as n)
           or a.reconciled_at not between bus.clock() - interval '30 s' and bus.clock()
    );
end;
$$;

comment on function api.work_waiting is 'Whether each worker may find something to do now.';

create or replace function api.prices_reach(p_symbols text[])
returns boolean
language plpgsql
volatile  -- it must see the prices that the same statement has just stored
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Ask what is cheap first, in a statement of its own: nearly always no bid has reached a price of an exit rule.
    if exists (
        select
        from market.instruments as i
        join trade.exit_prices as x on x.instrument_id = i.instrument_id
        join market.prices_best as b on b.instrument_id = i.instrument_id
        where i.symbol = any(p_symbols)
          and (b.bid <= x.sell_below or b.bid >= x.sell_above)
    ) then
        if exists (select from trade.exits_due as d where d.symbol = any(p_symbols))
            or exists (select from trade.stops_to_escalate as s where s.symbol = any(p_symbols)) then
            return true;
        end if;
    end if;

    return exists (select from trade.fills_waiting as w where w.is_known);
end;
$$;

comment on function api.prices_reach is
    'Whether the newest prices of these symbols have reached an exit that can fire, a resting sell whose stop is reached, '
    'or an order at a broker that fills at our prices: then execution has work now.';
