-- 0009_cost: a position keeps what it cost to the last digit, and its average price follows from that.  An
-- average kept in its place was rounded by each buy, which for a coin worth a millionth is real money.

alter table trade.positions
    add column cost numeric not null default 0;

-- What is not in cash is in the position or was earned or lost: so the cost follows from facts, exactly.
with money as (
    select m.account_id, m.instrument_id, m.owner, sum(m.amount) as amount
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
)

update trade.positions as p
set cost = case when p.qty > 0 then greatest(p.realized_pnl - n.amount, 0) else 0 end,
    realized_pnl = case when p.qty > 0 then greatest(p.realized_pnl, n.amount) else n.amount end
from money as n
where (n.account_id, n.instrument_id, n.owner) = (p.account_id, p.instrument_id, p.owner);

alter table trade.positions
    drop constraint positions_avg_iff_held,
    drop column avg_price;

alter table trade.positions
    add column avg_price numeric not null generated always as (
        coalesce(trim_scale(trim_scale(cost) / nullif(trim_scale(qty), 0)), 0)
    ) stored,
    add constraint positions_cost_while_held check (cost >= 0 and (qty > 0 or cost = 0));

comment on column trade.positions.cost is
    'What the quantity held was bought for, without fees, in the account''s currency; exact, 0 when flat.';
comment on column trade.positions.avg_price is 'Average entry price without fees: cost / qty, to at least 16 digits; 0 when flat.';
comment on column trade.positions.version is 'Raised by each change of qty, cost or realized_pnl.';
comment on column trade.fills.fee is 'Commission as told with the execution, negative for a rebate; what is told later is an entry of cash.';
comment on column trade.fills.tax is 'Tax as told with the execution; what is told later is an entry of cash.';
comment on column trade.fills.realized_pnl is 'What it added to the position''s realized_pnl when it was recorded.';
