-- 60_system: views of the system, with names instead of ids; only system_mode can be updated.  A view reads tables with
-- its owner's rights but calls functions with the reader's, so no view calls a function that reads private tables.

create or replace view api.incidents as
select n.incident_id, n.kind, n.subject, n.detail, n.opened_at, n.closed_at, k.severity, k.advice
from risk.incidents as n
join risk.incident_kinds as k on k.kind = n.kind;

comment on view api.incidents is 'What a person should look at; closed_at is null while it is open.';

create or replace view api.workers as
select
    w.worker_id, w.name, w.login, w.pid, w.host, w.state, w.heartbeat_at, w.started_at, w.stopped_at, w.detail,
    w.state <> 'stopped' and bus.has_beaten(w.heartbeat_at, w.detail) and bus.worker_is_alive(w.worker_id) as is_alive,
    w.state <> 'stopped' and not bus.has_beaten(w.heartbeat_at, w.detail) and bus.worker_is_alive(w.worker_id)
        as is_hung
from bus.workers as w;

comment on view api.workers is
    'Worker processes; is_alive: holds its lock and has sent a heartbeat lately; is_hung: holds its lock and has '
    'missed three heartbeats.';

create or replace view api.events as
select e.event_id, e.at, e.actor, e.entity, e.entity_id, e.change, e.intent_id, e.data
from bus.events as e;

comment on view api.events is 'The durable history of events.';

create or replace view api.jobs as
select j.job, j.every, j.next_run_at, j.last_run_at, j.last_result, j.runs
from bus.jobs as j;

comment on view api.jobs is 'Scheduled jobs.';

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

comment on view api.refusals is 'What was refused and why, by the gates and by api functions.';

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

comment on view api.status is
    'The state of the system in one row; is_foreign marks a restored or copied database that waits for adopt(reason, '
    'code).';

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

comment on view api.totals is 'How many quotes, trades, picks, intents, orders and fills there have been.';
