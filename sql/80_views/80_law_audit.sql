-- 80_law_audit: checks the laws once more, by queries over all rows.  Any row means that something is badly wrong.  The
-- order of changes is taken from ids, never from times: a clock may be set back.

create or replace view api.law_audit as
select 'L1' as law, format('order %s was claimed in a mode that forbids it', o.order_id) as violation
from trade.orders as o
join trade.order_intents as i on i.intent_id = o.intent_id
join trade.intent_types as t on t.intent_type = i.intent_type and t.side = i.side
join lateral (
    select h.to_mode
    from risk.mode_history as h
    where h.scope = 'system' and h.last_order_id < o.order_id
    order by h.mode_change_id desc
    limit 1
) as m on true
join risk.mode_rules as r on r.mode = m.to_mode and r.action = t.action
where r.verdict = 'DENY' or (r.verdict = 'APPROVE' and i.approved_by is null)
union all
select 'L2', format('position %s/%s/%s has locked %s, live sells and strays reserve %s', p.account_id, p.instrument_id,
    p.owner, p.locked_qty, coalesce(s.reserved, 0))
from trade.positions as p
left join (
    select m.account_id, m.instrument_id, m.owner, sum(m.reserved) as reserved
    from (
        select i.account_id, i.instrument_id, i.owner, i.reserved_qty as reserved
        from trade.order_intents as i
        where i.closed_at is null
        union all
        select o.account_id, o.instrument_id, i.owner, o.quantity - o.filled_qty
        from trade.orders as o
        join trade.order_intents as i on i.intent_id = o.intent_id
        where o.stray_since is not null and o.side = 'SELL'
    ) as m
    group by m.account_id, m.instrument_id, m.owner
) as s on s.account_id = p.account_id and s.instrument_id = p.instrument_id and s.owner = p.owner
where p.locked_qty <> coalesce(s.reserved, 0) or p.breach_qty <> greatest(p.locked_qty - p.qty, 0)
union all
select 'L3', format('account %s has locked %s, live buys and strays reserve %s', b.account_id, b.locked_cash,
    coalesce(s.reserved, 0))
from trade.balances as b
left join (
    select m.account_id, sum(m.reserved) as reserved
    from (
        select i.account_id, i.reserved_cash as reserved
        from trade.order_intents as i
        where i.closed_at is null
        union all
        select o.account_id, (o.quantity - o.filled_qty) * o.limit_price * (1 + i.reserve_rate)
        from trade.orders as o
        join trade.order_intents as i on i.intent_id = o.intent_id
        where o.stray_since is not null and o.side = 'BUY'
    ) as m
    group by m.account_id
) as s on s.account_id = b.account_id
where b.locked_cash <> coalesce(s.reserved, 0) or b.breach_cash <> greatest(b.locked_cash - b.cash, 0)
union all
select 'L3', format('account %s has cash %s, its entries sum to %s', b.account_id, b.cash, coalesce(s.total, 0))
from trade.balances as b
left join (
    select c.account_id, sum(c.amount) as total
    from trade.cash_entries as c
    group by c.account_id
) as s on s.account_id = b.account_id
where b.cash <> coalesce(s.total, 0)
union all
select 'L4', format('%s %s moved from %s to %s', e.entity, e.entity_id, e.before, e.change)
from (
    select
        x.entity,
        x.entity_id,
        x.change,
        lag(x.change, 1, 'BEGIN') over (partition by x.entity, x.entity_id order by x.event_id) as before
    from bus.events as x
    where x.entity in ('intent', 'order') and x.change = upper(x.change)
) as e
where e.before <> e.change
  and (e.before <> 'BEGIN' or not exists (select from bus.dropped_events))
  and not exists (
      select from trade.intent_transitions as t
      where e.entity = 'intent' and t.from_status = e.before and t.to_status = e.change
      union all
      select from trade.order_transitions as t
      where e.entity = 'order' and t.from_status = e.before and t.to_status = e.change
  )
union all
select 'L5', format('orders of intent %s exceed it: %s live, %s filled of %s', i.intent_id, s.live, i.filled_qty,
    i.quantity)
from trade.order_intents as i
join (
    select o.intent_id, sum(o.quantity - o.filled_qty) as live
    from trade.orders as o
    -- A pending child takes its parent's place; an order that a fact made too large is already being cancelled.
    where o.closed_at is null and not o.is_pending and o.cancel_requested_at is null
    group by o.intent_id
) as s on s.intent_id = i.intent_id
where s.live > i.quantity - i.filled_qty
union all
select 'L5', format('intent %s is %s, and no order of it lives', i.intent_id, i.status)
from trade.order_intents as i
where i.closed_at is null
  and i.status not in ('PENDING_APPROVAL', 'NEW')
  and not exists (select from trade.orders as o where o.intent_id = i.intent_id and o.closed_at is null)
union all
select 'L5', format('order %s ended here, may live at the broker, and is not being cancelled', o.order_id)
from trade.orders as o
where o.stray_since is not null
  and (o.closed_at is null or o.cancel_requested_at is null)
union all
select 'L5', format('the paper broker has order %s open, which ended here and is not being cancelled', o.order_id)
from paper.orders as p
join trade.orders as o on o.client_order_id = p.client_order_id
where p.status = 'OPEN'
  and o.closed_at is not null
  and o.stray_since is null
union all
select 'L6', format('the paper broker has order %s, which was never stored', o.client_order_id)
from paper.orders as o
where not exists (select from trade.orders as t where t.client_order_id = o.client_order_id)
  -- Except in the history that a restored database has lost: the broker got the order before that was noticed.
  and not exists (
      select
      from bus.epochs as e
      where e.epoch = split_part(o.client_order_id, '-', 1)
        and (o.paper_order_id <= e.last_paper_order_id or o.accepted_at < e.ended_at)
  )
union all
select 'L7', format('order %s says %s filled, its fills sum to %s', o.order_id, o.filled_qty + o.overfill_qty,
    coalesce(s.total, 0))
from trade.orders as o
left join (
    select f.order_id, sum(f.quantity - f.corrected_qty) as total
    from trade.fills as f
    group by f.order_id
) as s on s.order_id = o.order_id
where o.filled_qty + o.overfill_qty <> coalesce(s.total, 0)
union all
select 'L7', format('intent %s says %s filled, its fills sum to %s', i.intent_id, i.filled_qty + i.overfill_qty,
    coalesce(s.total, 0))
from trade.order_intents as i
left join (
    select f.intent_id, sum(f.quantity - f.corrected_qty) as total
    from trade.fills as f
    group by f.intent_id
) as s on s.intent_id = i.intent_id
where i.filled_qty + i.overfill_qty <> coalesce(s.total, 0)
union all
select 'L7', format('position %s/%s/%s is %s, fills and reconciliations sum to %s', p.account_id, p.instrument_id,
    p.owner, p.qty, coalesce(s.total, 0))
from trade.positions as p
left join (
    select m.account_id, m.instrument_id, m.owner, sum(m.quantity) as total
    from (
        select
            f.account_id, f.instrument_id, f.owner,
            case f.side when 'BUY' then f.quantity else -f.quantity end - f.fee_qty as quantity
        from trade.fills as f
        union all
        select r.account_id, r.instrument_id, r.owner, r.quantity
        from trade.reconciliations as r
    ) as m
    group by m.account_id, m.instrument_id, m.owner
) as s on s.account_id = p.account_id and s.instrument_id = p.instrument_id and s.owner = p.owner
where p.qty <> coalesce(s.total, 0)
union all
select 'L7', format('position %s/%s/%s has earned %s and cost %s, its money sums to %s', p.account_id,
    p.instrument_id, p.owner, p.realized_pnl, p.cost, coalesce(s.total, 0))
from trade.positions as p
left join (
    select m.account_id, m.instrument_id, m.owner, sum(m.amount) as total
    from (
        select f.account_id, f.instrument_id, f.owner, c.amount
        from trade.cash_entries as c
        join trade.fills as f on f.fill_id = c.fill_id
        where not exists (select from trade.busts as b where b.fill_id = f.fill_id)
        union all
        select r.account_id, r.instrument_id, r.owner, -r.quantity * r.price
        from trade.reconciliations as r
        where not exists (select from trade.busts as b where b.reconciliation_id = r.reconciliation_id)
    ) as m
    group by m.account_id, m.instrument_id, m.owner
) as s on s.account_id = p.account_id and s.instrument_id = p.instrument_id and s.owner = p.owner
where p.realized_pnl - p.cost <> coalesce(s.total, 0)
union all
select 'L9', format('intent %s is %s, its last event says %s', i.intent_id, i.status, coalesce(e.change, 'nothing'))
from trade.order_intents as i
left join lateral (
    select x.change
    from bus.events as x
    where x.intent_id = i.intent_id and x.entity = 'intent' and x.change = upper(x.change)
    order by x.event_id desc
    limit 1
) as e on true
where e.change is distinct from i.status
  and (e.change is not null or not exists (select from bus.dropped_events))
union all
select 'L9', format('%s fills, %s events of fills', f.fills, e.events)
from (select count(*) as fills from trade.fills) as f
cross join (select count(*) as events from bus.events as x where x.entity = 'fill' and x.change in ('BUY', 'SELL')) as e
where f.fills <> e.events
  and not exists (select from bus.dropped_events);

comment on view api.law_audit is 'Violations of the laws found in the rows. It must be empty.';
