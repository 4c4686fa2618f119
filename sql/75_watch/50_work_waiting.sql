-- 50_work_waiting: which workers have anything to do, in one query.  Execution calls it at each wake-up instead of five
-- claims that would find nothing; a replay calls it each step and skips the drains that would find nothing; people call
-- it to see where work is stuck.  False is certain; true may still lead to no work.

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
        exists (select from trade.orders as o where o.status in ('SENDING', 'IN_DOUBT'))
        or exists (
            select
            from trade.orders as o
            where o.check_at <= bus.clock() and o.closed_at is null and o.cancel_requested_at is null
        );
    amends := exists (select from trade.orders as o where o.amend_at <= bus.clock() and o.closed_at is null);
    -- The paper broker has news only when one of its orders is open or one of its fills is unread; any other broker may
    -- have a fill at any time.
    fills :=
        exists (select from paper.orders as o where o.status = 'OPEN')
        or exists (
            select
            from trade.accounts as a
            where a.broker <> 'paper'
               or exists (
                   select
                   from paper.fills as f
                   where f.account = a.account
                     and f.paper_fill_id
                         > case when a.fills_cursor ~ '^[0-9]{1,18}$' then a.fills_cursor::bigint else 0 end
               )
        );
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
