-- 600_views: what there is to see.  Names instead of numbers, newest facts, nothing that can be written but
-- system_mode.  A view reads tables with its owner's rights but calls functions with the reader's: so views
-- call none that read private tables.

create or replace view api.system_mode as
-- In a with clause: `select ... for update` of this view, as tools with a grid send it, must not lock the row.
with current_mode as (
    select s.mode, s.reason, s.changed_by, s.changed_at, s.evidence
    from risk.system_mode as s
)

select
    m.mode,
    m.reason,
    m.changed_by,
    m.changed_at,
    m.evidence,
    null::text as code
from current_mode as m;

comment on view api.system_mode is
    'The mode of the system. update system_mode set mode = ''HALT'', reason = ''why'' works; leaving HALT needs the column code.';

create or replace function api.tg_system_mode__update()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_answer record;
begin
    -- The same mode for another reason is a change, and a halt is never left out: the row may have changed since.
    if new.mode = 'NORMAL' and new.mode = old.mode and new.reason = old.reason then
        return new;
    end if;

    case new.mode
        when 'HALT' then perform api.halt(new.reason);
        when 'SAFE' then perform api.safe(new.reason);
        when 'NORMAL' then
            select * into v_answer from api.resume(new.reason, new.code);

            if v_answer.resumed is not true then
                raise warning '%', v_answer.message;
                return null;
            end if;
        else
            raise exception 'there is no mode %', new.mode
                using errcode = 'TRI01', hint = 'NORMAL, SAFE or HALT.';
    end case;

    select s.mode, s.reason, s.changed_by, s.changed_at into new.mode, new.reason, new.changed_by, new.changed_at
    from risk.system_mode as s;
    return new;
end;
$$;

comment on function api.tg_system_mode__update() is
    'An update of the view is the same as halt, safe or resume; a wrong code is a warning and changes nothing. Raises TRI01, TRI04.';

create or replace trigger _100_update
instead of update on api.system_mode
for each row execute function api.tg_system_mode__update();

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
    'Profit of each account''s day, without deposits and withdrawals, and the drawdown from its peak. day_pnl_rate is time-weighted (as GIPS asks): the growth between flows, chained, so each profit is a fraction of the equity that made it.';

create or replace view api.reconciliations as
select r.run_id, a.account, r.answer, r.differences, r.ran_at
from trade.reconciliation_runs as r
join trade.accounts as a on a.account_id = r.account_id;

comment on view api.reconciliations is 'Comparisons with brokers and what they found.';

create or replace view api.mode_history as
select h.mode_change_id, h.scope, h.name, h.from_mode, h.to_mode, h.reason, h.evidence, h.changed_by, h.changed_at
from risk.mode_history as h;

comment on view api.mode_history is 'Every change of a mode.';

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

comment on view api.accounts is 'Accounts with cash, what is promised of it, equity, and whether they take part yet.';

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
-- At what could be had now; while nobody bids, at the mark.
cross join lateral (
    select coalesce(p.qty * coalesce(case when b.bid_is_sound then b.bid end, b.mark, b.last), p.cost) as value
) as w;

comment on view api.positions is 'What each owner holds, what is promised of it, and the prices at which it is sold by itself.';

create or replace view api.dust as
select a.account, i.symbol, d.owner, d.qty
from trade.dust as d
join trade.accounts as a on a.account_id = d.account_id
join market.instruments as i on i.instrument_id = d.instrument_id;

comment on view api.dust is 'Rests too small to be sold.';

create or replace view api.cash_entries as
select a.account, c.cash_entry_id, c.kind, c.amount, c.fill_id, c.note, c.created_by, c.created_at, c.idempotency_key
from trade.cash_entries as c
join trade.accounts as a on a.account_id = c.account_id;

comment on view api.cash_entries is 'Every movement of cash; their sum is the balance.';

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

create or replace view api.intents as
select
    t.intent_id,
    a.account,
    i.symbol,
    t.owner,
    t.intent_type,
    t.side,
    t.reason,
    t.quantity,
    t.worst_price,
    t.status,
    t.filled_qty,
    t.overfill_qty,
    t.reserved_qty,
    t.reserved_cash,
    t.attempts,
    t.pick_id,
    t.created_by,
    t.created_at,
    t.expires_at,
    t.closed_at,
    t.closed_reason
from trade.order_intents as t
join trade.accounts as a on a.account_id = t.account_id
join market.instruments as i on i.instrument_id = t.instrument_id;

comment on view api.intents is 'Decisions that were admitted, and how far they have come.';

create or replace view api.approvals as
select
    t.intent_id, a.account, i.symbol, t.owner, t.side, t.quantity, t.reason, t.worst_price, t.created_at, t.expires_at
from trade.order_intents as t
join trade.accounts as a on a.account_id = t.account_id
join market.instruments as i on i.instrument_id = t.instrument_id
where t.status = 'PENDING_APPROVAL';

comment on view api.approvals is 'Intents that wait for a person: approve(intent_id, note) or reject(intent_id, note).';

create or replace view api.orders as
select
    o.order_id,
    o.intent_id,
    a.account,
    i.symbol,
    o.side,
    o.client_order_id,
    o.broker_order_id,
    o.status,
    o.quantity,
    o.limit_price,
    o.filled_qty,
    o.overfill_qty,
    o.created_at,
    o.answered_at,
    o.cancel_requested_at,
    o.closed_at,
    o.closed_reason
from trade.orders as o
join trade.accounts as a on a.account_id = o.account_id
join market.instruments as i on i.instrument_id = o.instrument_id;

comment on view api.orders is 'Orders, each stored before its broker heard of it.';

create or replace view api.fills as
select
    f.fill_id,
    f.order_id,
    f.intent_id,
    a.account,
    i.symbol,
    f.owner,
    f.side,
    f.quantity,
    case when m.notional = f.quantity * f.price then f.price else trim_scale(m.notional / f.quantity) end as price,
    m.fee,
    m.tax,
    m.realized_pnl,
    t.reason,
    f.broker_fill_id,
    f.filled_at,
    f.recorded_at,
    m.fee_qty,
    case when b.fill_id is not null then 'busted: ' || b.reason else '' end as note
from trade.fills as f
join trade.fill_money as m on m.fill_id = f.fill_id
join trade.accounts as a on a.account_id = f.account_id
join market.instruments as i on i.instrument_id = f.instrument_id
join trade.order_intents as t on t.intent_id = f.intent_id
left join trade.busts as b on b.fill_id = f.fill_id;

comment on view api.fills is 'Executions, each counted once, with the price and the costs told by now; the note says which the venue took back.';

create or replace view api.prices as
select
    i.symbol,
    i.venue,
    q.bid,
    q.bid_size,
    q.ask,
    q.ask_size,
    q.last,
    q.source,
    q.received_seq,
    q.received_at,
    q.is_fresh,
    q.bid_is_sound,
    q.ask_is_sound,
    q.can_sell,
    q.can_buy
from market.quotes_now as q
join market.instruments as i on i.instrument_id = q.instrument_id;

comment on view api.prices is
    'Best prices; a side that is not there is null. is_fresh says that the quote is of now, can_sell and can_buy that one may sell to its bid and buy at its ask.';

create or replace view api.instruments as
select
    i.symbol, i.venue, i.name, i.currency, i.tick_table, i.lot_size, i.min_notional, i.limit_low, i.limit_high,
    i.max_quote_age, i.is_active
from market.instruments as i;

comment on view api.instruments is 'The universe: what can be traded and its rules.';

create or replace view api.feeds as
select
    f.feed, f.venue, f.source, f.status, f.detail, f.last_heard_at,
    f.quotes_applied, f.quotes_superseded, f.quotes_quarantined,
    f.trades_applied, f.trades_superseded, f.trades_quarantined
from market.feeds as f;

comment on view api.feeds is 'Where prices come from and what became of everything they brought.';

create or replace view api.quarantine as
select k.quarantine_id, k.feed, k.symbol, k.reason, k.data, k.received_at
from market.quarantine as k;

comment on view api.quarantine is 'Prices that were refused.';

create or replace view api.incidents as
select n.incident_id, n.kind, n.subject, n.detail, n.opened_at, n.closed_at
from risk.incidents as n;

comment on view api.incidents is 'What a person should look at; closed_at is null while it is open.';

create or replace view api.workers as
select
    w.worker_id, w.name, w.login, w.pid, w.host, w.state, w.heartbeat_at, w.started_at, w.stopped_at, w.detail,
    w.state <> 'stopped' and bus.has_beaten(w.heartbeat_at, w.detail) and bus.worker_is_alive(w.worker_id) as is_alive,
    w.state <> 'stopped' and not bus.has_beaten(w.heartbeat_at, w.detail) and bus.worker_is_alive(w.worker_id)
        as is_hung
from bus.workers as w;

comment on view api.workers is
    'Worker processes; is_alive holds its lock and has beaten lately, is_hung holds its lock and has missed three heartbeats.';

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

comment on view api.strategies is 'Strategies, what they have earned, and why one that shall run does not yet.';

create or replace view api.events as
select e.event_id, e.at, e.actor, e.entity, e.entity_id, e.change, e.intent_id, e.data
from bus.events as e;

comment on view api.events is 'The durable history.';

create or replace view api.jobs as
select j.job, j.every, j.next_run_at, j.last_run_at, j.last_result, j.runs
from bus.jobs as j;

comment on view api.jobs is 'What is done by the clock.';

create or replace view api.limits as
select a.account, l.limit_name, l.value
from risk.limits as l
join trade.accounts as a on a.account_id = l.account_id;

comment on view api.limits is 'Limits of the accounts.';

create or replace view api.intent_transitions as
select t.from_status, t.to_status
from trade.intent_transitions as t;

comment on view api.intent_transitions is 'The lifecycle of an intent.';

create or replace view api.order_transitions as
select t.from_status, t.to_status
from trade.order_transitions as t;

comment on view api.order_transitions is 'The lifecycle of an order.';

create or replace view api.intent_types as
select t.intent_type, t.side, t.action
from trade.intent_types as t;

comment on view api.intent_types is 'Kinds of intents, and the action the mode rules on.';

create or replace view api.exit_profiles as
select x.profile, x.stop_loss_rate, x.take_profit_rate
from trade.exit_profiles as x;

comment on view api.exit_profiles is 'How far from the average price positions are closed, as fractions.';

create or replace view api.brokers as
select b.broker, b.is_real, b.send_within, b.answer_timeout
from trade.brokers as b;

comment on view api.brokers is 'Brokers.';

create or replace view api.venues as
select v.venue, v.name, v.time_zone, v.taker_cap_rate, v.stop_cap_rate
from market.venues as v;

comment on view api.venues is 'Venues, and how far beyond the best price orders may go.';

create or replace view api.tick_sizes as
select t.tick_table, t.price_from, t.tick_size
from market.tick_sizes as t;

comment on view api.tick_sizes is 'Price steps by band.';

create or replace view api.fee_rates as
select f.venue, f.valid_from, f.maker_rate, f.taker_rate, f.buy_tax_rate, f.sell_tax_rate
from market.fee_rates as f;

comment on view api.fee_rates is 'Commission and tax by venue, as fractions, each from its first day on.';

create or replace view api.session_phases as
select p.venue, p.phase, p.starts::text as starts, p.ends::text as ends, p.weekdays,
    p.is_auction, p.poll_interval, p.exits_fire
from market.session_phases as p;

comment on view api.session_phases is 'When venues trade, in their own time.';

create or replace view api.latency as
with recent as (
    select i.intent_id, i.quote_at, i.pick_id, i.created_at, i.claimed_at
    from trade.order_intents as i
    order by i.intent_id desc
    limit 1000
),

hops as (
    select 1 as nr, 'quote to pick' as hop, p.created_at - p.quote_at as took
    from recent as r
    join strategy.picks as p on p.pick_id = r.pick_id
    union all
    select 2, 'pick to intent', r.created_at - p.created_at
    from recent as r
    join strategy.picks as p on p.pick_id = r.pick_id
    union all
    select 3, 'quote to exit intent', r.created_at - r.quote_at
    from recent as r
    where r.pick_id is null and r.quote_at is not null
    union all
    select 4, 'intent to claimed', r.claimed_at - r.created_at
    from recent as r
    union all
    select 5, 'claimed to answered', o.answered_at - o.created_at
    from recent as r
    join trade.orders as o on o.intent_id = r.intent_id
    union all
    select 6, 'filled to recorded', f.recorded_at - f.filled_at
    from recent as r
    join trade.fills as f on f.intent_id = r.intent_id
)

select
    h.hop,
    count(*) as samples,
    round(extract(epoch from percentile_cont(0.5) within group (order by h.took)) * 1000, 2) as p50_ms,
    round(extract(epoch from percentile_cont(0.99) within group (order by h.took)) * 1000, 2) as p99_ms
from hops as h
where h.took is not null
group by h.nr, h.hop
order by h.nr;

comment on view api.latency is 'Milliseconds of each hop over the last 1,000 intents, by the database''s clock.';

create or replace view api.refusals as
select r.decided_at as at, r.code, r.message, p.strategy as who, i.symbol
from strategy.gate_results as r
join strategy.picks as p on p.pick_id = r.pick_id
join market.instruments as i on i.instrument_id = p.instrument_id
where not r.passed
union all
select e.at, e.change, e.data ->> 'message', e.actor, e.data ->> 'symbol'
from bus.events as e
where e.entity = 'refusal';

comment on view api.refusals is 'What was refused and why, by gates and by the door.';

create or replace view api.status as
select
    n.kind,
    n.kind <> 'live' as is_simulated,
    m.mode,
    m.reason as mode_reason,
    m.changed_at as mode_since,
    (select count(*) from trade.order_intents as i where i.closed_at is null) as live_intents,
    (select count(*) from trade.orders as o where o.closed_at is null) as live_orders,
    (select count(*) from trade.orders as o where o.status = 'IN_DOUBT') as orders_in_doubt,
    (select count(*) from trade.positions as p where p.qty > 0) as open_positions,
    (select count(*) from trade.order_intents as i where i.status = 'PENDING_APPROVAL') as approvals,
    (select count(*) from risk.incidents as c where c.closed_at is null) as open_incidents,
    (
        select count(*)
        from bus.workers as w
        where w.state <> 'stopped'
          and bus.has_beaten(w.heartbeat_at, w.detail)
          and bus.worker_is_alive(w.worker_id)
    ) as workers,
    (
        select count(*)
        from market.feeds as f
        where f.status = 'CONNECTED'
          and f.last_heard_at between bus.clock() - f.max_silence and bus.clock() + interval '2 s'
    ) as live_feeds,
    bus.now() as at,
    n.is_foreign
from bus.instance as n
cross join risk.system_mode as m;

comment on view api.status is 'The state of the system on one line; is_foreign is a restored or copied database that waits for adopt(reason, code).';

create or replace view api.totals as
select
    (
        select coalesce(sum(f.quotes_applied + f.quotes_superseded + f.quotes_quarantined), 0)
        from market.feeds as f
    ) as quotes,
    (
        select coalesce(sum(f.trades_applied + f.trades_superseded + f.trades_quarantined), 0)
        from market.feeds as f
    ) as trades,
    (select count(*) from strategy.picks) as picks,
    (select count(*) from trade.order_intents) as intents,
    (select count(*) from trade.orders) as orders,
    (select count(*) from trade.fills) as fills;

comment on view api.totals is 'How much has passed through each station.';

create or replace view api.my_strategy as
select s.strategy, a.account, a.venue, s.class, s.symbols, s.parameters, s.status, s.budget
from strategy.strategies as s
join trade.accounts as a on a.account_id = s.account_id
where session_user = 'aegis_s_' || s.strategy;

comment on view api.my_strategy is 'The strategy this login is.';

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
