-- 20_orders: intents, orders and fills, and how long each hop between them took.

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

comment on view api.intents is 'Decisions that were admitted, and their progress.';

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

comment on view api.orders is 'Orders, each stored before it was sent to its broker.';

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

comment on view api.fills is
    'Fills, each counted once, with the price and costs reported so far; the note marks those the venue busted.';

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
