-- 10_accounts: accounts, what they hold, and how they performed.

create or replace view api.accounts as
select
    a.account,
    a.broker,
    a.venue,
    a.currency,
    b.cash,
    b.locked_cash,
    b.cash + b.breach_cash - b.locked_cash as free_cash,
    b.breach_cash,
    e.equity,
    a.reconciled_at,
    a.reconciled_run = (select n.run_number from bus.instance as n) as is_open,
    v.mode
from trade.accounts as a
join trade.balances as b on b.account_id = a.account_id
join trade.equities as e on e.account_id = a.account_id
left join risk.verdicts as v on v.account_id = a.account_id and v.action = 'NEW_BUY';

comment on view api.accounts is
    'Accounts with cash, how much of it is reserved, equity, and whether their intents may be claimed yet (is_open).';

create or replace view api.performance as
select
    a.account,
    q.day_start,
    q.equity,
    q.equity - q.opening_equity - q.flows as day_pnl,
    case when q.base > 0 then round(q.growth * q.equity / q.base - 1, 6) end as day_pnl_rate,
    q.peak,
    round(1 - q.equity / nullif(q.peak, 0), 6) as drawdown,
    q.is_flagged,
    q.measured_at
from risk.account_equity as q
join trade.accounts as a on a.account_id = q.account_id;

comment on view api.performance is
    'Profit of each account''s day, without deposits and withdrawals, and the drawdown from its peak. day_pnl_rate is '
    'time-weighted (as GIPS requires): the growth between flows, chained, so each profit is a fraction of the equity '
    'that earned it.';

create or replace view api.reconciliations as
select r.run_id, a.account, r.answer, r.differences, r.ran_at
from trade.reconciliation_runs as r
join trade.accounts as a on a.account_id = r.account_id;

comment on view api.reconciliations is 'Comparisons with brokers and what they found.';

create or replace view api.positions as
select
    a.account,
    i.symbol,
    p.owner,
    p.qty,
    p.locked_qty,
    p.qty - p.locked_qty as free_qty,
    p.breach_qty,
    p.avg_price,
    p.cost,
    b.bid,
    w.value,
    w.value - p.cost as unrealized_pnl,
    p.realized_pnl,
    e.stop_price,
    e.take_price,
    coalesce(e.is_armed and d.qty is null, false) as is_armed,
    case when k.why is null then e.note else concat_ws('; ', k.why, nullif(e.note, '')) end as note,
    p.version,
    p.opened_at
from trade.positions as p
join trade.accounts as a on a.account_id = p.account_id
join market.instruments as i on i.instrument_id = p.instrument_id
left join market.prices_best as b on b.instrument_id = p.instrument_id
left join trade.position_exits as e
    on e.account_id = p.account_id and e.instrument_id = p.instrument_id and e.owner = p.owner
left join trade.dust as d
    on d.account_id = p.account_id and d.instrument_id = p.instrument_id and d.owner = p.owner
left join trade.exits_blocked as k
    on k.account_id = p.account_id and k.instrument_id = p.instrument_id and k.owner = p.owner
-- At the current bid; without a sound bid, at the mark.
cross join lateral (
    select coalesce(p.qty * coalesce(case when b.bid_is_sound then b.bid end, b.mark, b.last), p.cost) as value
) as w;

comment on view api.positions is
    'What each owner holds, how much of it is reserved, and the prices at which it is sold automatically.';

create or replace view api.dust as
select a.account, i.symbol, d.owner, d.qty
from trade.dust as d
join trade.accounts as a on a.account_id = d.account_id
join market.instruments as i on i.instrument_id = d.instrument_id;

comment on view api.dust is 'Remainders too small to sell.';

create or replace view api.cash_entries as
select a.account, c.cash_entry_id, c.kind, c.amount, c.fill_id, c.note, c.created_by, c.created_at, c.idempotency_key
from trade.cash_entries as c
join trade.accounts as a on a.account_id = c.account_id;

comment on view api.cash_entries is 'Every movement of cash; their sum is the balance.';
