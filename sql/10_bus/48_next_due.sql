-- 48_next_due: when work is next due: an idle worker sleeps until then.

create or replace function api.next_due()
returns interval
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select min(due.at) - bus.clock()
    from (
        select min(i.expires_at) as at
        from trade.order_intents as i
        where i.closed_at is null and i.expires_at > bus.clock()
        union all
        select min(i.not_before)
        from trade.order_intents as i
        where i.status = 'NEW' and i.not_before > bus.clock()
        union all
        select min(o.send_before)
        from trade.orders as o
        where o.status in ('SENDING', 'IN_DOUBT') and o.send_before > bus.clock()
        union all
        select min(o.next_ask_at)
        from trade.orders as o
        where o.status = 'IN_DOUBT' and o.next_ask_at > bus.clock()
        union all
        select min(o.next_ask_at)
        from trade.orders as o
        where o.cancel_requested_at is not null and (o.closed_at is null or o.stray_since is not null)
          and o.next_ask_at > bus.clock()
        union all
        select min(o.check_at)
        from trade.orders as o
        where o.check_at > bus.clock() and o.closed_at is null and o.cancel_requested_at is null
        union all
        select min(e.not_before)
        from trade.position_exits as e
        where e.is_armed and e.not_before > bus.clock()
        union all
        -- An account not yet reconciled in this run is due every second until it is.
        select bus.clock() + interval '1 s'
        where exists (
            select
            from trade.accounts as a
            cross join bus.instance as n
            where a.reconciled_run is distinct from n.run_number
        )
        union all
        select min(p.expires_at)
        from strategy.picks as p
        where p.status = 'NEW' and p.expires_at > bus.clock()
    ) as due;
end;

comment on function api.next_due is
    'How long until the tables next hold work that is due; null when none is scheduled.';
