-- 40_strategies: strategies and their picks; the last three views show a strategy its own rows.

create or replace view api.strategies as
select
    s.strategy, s.class, a.account, s.symbols, s.parameters, s.budget, s.order_notional, s.exit_profile, s.status,
    'aegis_s_' || s.strategy as login, s.changed_at,
    coalesce((select sum(p.realized_pnl) from trade.positions as p where p.owner = s.strategy), 0) as realized_pnl,
    w.reason as waits_for,
    w.since as waits_since
from strategy.strategies as s
join trade.accounts as a on a.account_id = s.account_id
left join strategy.waits as w on w.strategy = s.strategy and s.status = 'RUNNING';

comment on view api.strategies is 'Strategies, what they have earned, and why one that should run does not run yet.';

create or replace view api.picks as
select
    p.pick_id,
    p.strategy,
    i.symbol,
    p.intent_type,
    p.side,
    p.quantity,
    p.limit_price,
    p.reason,
    p.status,
    g.code,
    g.message,
    p.created_at,
    p.routed_at
from strategy.picks as p
join market.instruments as i on i.instrument_id = p.instrument_id
left join lateral (
    select r.code, r.message
    from strategy.gate_results as r
    where r.pick_id = p.pick_id
    order by r.gate desc
    limit 1
) as g on true;

comment on view api.picks is 'What strategies proposed and the last gate''s answer.';

create or replace view api.gate_results as
select r.pick_id, r.gate, r.passed, r.code, r.message, r.detail, r.decided_at
from strategy.gate_results as r;

comment on view api.gate_results is 'Every gate''s answer to every pick.';

create or replace view api.limits as
select a.account, l.limit_name, l.value, b.meaning
from risk.limits as l
join trade.accounts as a on a.account_id = l.account_id
join strategy.pick_bounds as b on b.limit_name = l.limit_name;

comment on view api.limits is 'Limits of the accounts, and what each one bounds.';

create or replace view api.my_strategy as
select s.strategy, a.account, a.venue, s.class, s.symbols, s.parameters, s.status, s.budget
from strategy.strategies as s
join trade.accounts as a on a.account_id = s.account_id
where session_user = 'aegis_s_' || s.strategy;

comment on view api.my_strategy is 'The strategy of this login.';

create or replace view api.my_positions as
select i.symbol, p.qty, p.locked_qty, p.avg_price, p.realized_pnl, p.opened_at
from trade.positions as p
join market.instruments as i on i.instrument_id = p.instrument_id
where session_user = 'aegis_s_' || p.owner;

comment on view api.my_positions is 'What the strategy of this login holds.';

create or replace view api.my_picks as
select p.pick_id, p.symbol, p.side, p.intent_type, p.status, p.code, p.message, p.created_at, p.routed_at
from api.picks as p
where session_user = 'aegis_s_' || p.strategy;

comment on view api.my_picks is 'What the strategy of this login proposed, and the answers.';
