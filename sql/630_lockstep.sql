-- 630_lockstep: which workers have anything to do, in one question.  A replay asks it each step and leaves
-- out the drains that would find nothing; a person asks it to see where work is stuck.

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
        or exists (select from trade.orders as o where o.status in ('SENDING', 'IN_DOUBT'))
        or exists (select from trade.orders as o where o.cancel_requested_at is not null and o.closed_at is null)
        or exists (select from paper.orders as o where o.status = 'OPEN')
        or exists (
            select
            from trade.accounts as a
            join paper.fills as f on f.account = a.account
            where a.broker = 'paper'
              and f.paper_fill_id > coalesce(nullif(a.fills_cursor, '')::bigint, 0)
        );
    risk := router or exists (select from trade.order_intents as i where i.closed_at is null);
    reconcile := exists (
        select
        from trade.accounts as a
        where a.reconciled_at is null
           or a.reconciled_at < (select n.started_at from bus.instance as n)
           or a.reconciled_at < bus.clock() - interval '30 s'
    );
end;
$$;

comment on function api.work_waiting() is
    'Whether each worker may find something to do now. False is certain; true may still come to nothing.';
