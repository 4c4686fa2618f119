"""A long history, created cheaply: finished intents, orders and fills, inserted with triggers disabled.

Only tests may do this.  No row is live, so a function that finds its work by an index stays as fast as on an
empty database.
"""

from __future__ import annotations

from tests.prove.place import Connection
from tests.triggers import OFF, ON

GROWING = (
    "trade.order_intents", "trade.orders", "trade.fills", "trade.cash_entries", "strategy.picks",
    "strategy.gate_results", "paper.orders", "paper.fills", "bus.events_from_0", "trade.reconciliation_runs",
    "trade.reconciliations", "market.quarantine", "risk.mode_history", "risk.incidents",
)  # fmt: skip

# Parameters: the number of rows and the owner.  Every statement adds rows to the existing ones.
PAST = """
insert into trade.order_intents (account_id, instrument_id, owner, intent_type, side, reason, quantity,
    worst_price,
    status, reserved_qty, reserved_cash, filled_qty, attempts, idempotency_key, request, expires_at,
    created_at,
    closed_at, closed_reason)
select a.account_id, i.instrument_id, '{owner}', 'ENTRY', 'BUY', 'past', 1, 70000, 'FILLED', 0, 0, 1, 1,
    'past ' || gen_random_uuid(), '{{}}', '2020-01-01'::timestamptz + n * interval '1 s',
    '2020-01-01'::timestamptz + n * interval '1 s', '2020-01-01', 'filled'
from generate_series(1, {rows}) as n, (select min(account_id) as account_id from trade.accounts) as a,
    (select min(instrument_id) as instrument_id from market.instruments) as i;

insert into trade.orders (intent_id, account_id, instrument_id, side, client_order_id, broker_order_id,
    status,
    quantity, limit_price, filled_qty, send_before, answered_at, closed_at, closed_reason)
select i.intent_id, i.account_id, i.instrument_id, i.side, 'past-' || i.intent_id, 'P' || i.intent_id,
    'FILLED',
    1, 70000, 1, i.expires_at, i.expires_at, i.closed_at, 'filled'
from trade.order_intents as i
where i.reason = 'past' and not exists (select from trade.orders as o where o.intent_id = i.intent_id);

insert into trade.fills (order_id, intent_id, account_id, instrument_id, owner, side, trade_date,
    broker_fill_id,
    quantity, price, fee, tax, realized_pnl, filled_at)
select o.order_id, o.intent_id, o.account_id, o.instrument_id, '{owner}', 'BUY', '2020-01-01',
    o.broker_order_id,
    1, 70000, 1, 0, -1, '2020-01-01'
from trade.orders as o
where o.client_order_id like 'past-%'
   and not exists (select from trade.fills as f where f.order_id = o.order_id);

insert into trade.cash_entries (account_id, kind, amount, fill_id, created_at)
select f.account_id, 'fill', -70000, f.fill_id, '2020-01-01'
from trade.fills as f
where not exists (select from trade.cash_entries as c where c.fill_id = f.fill_id);

insert into strategy.picks (strategy, account_id, instrument_id, intent_type, side, reason,
    idempotency_key, request,
    status, expires_at, routed_at)
select '{owner}', a.account_id, i.instrument_id, 'ENTRY', 'BUY', 'past', 'past ' || gen_random_uuid(),
    '{{}}',
    'REFUSED', '2020-01-01', '2020-01-01'
from generate_series(1, {rows}) as n, (select min(account_id) as account_id from trade.accounts) as a,
    (select min(instrument_id) as instrument_id from market.instruments) as i;

insert into strategy.gate_results (pick_id, gate, passed, code, message, detail)
select p.pick_id, 1, false, 'TRI04', 'past', '{{}}'
from strategy.picks as p
where p.reason = 'past' and not exists (select from strategy.gate_results as g where g.pick_id = p.pick_id);

insert into paper.orders (client_order_id, account, instrument_id, side, order_type, quantity, limit_price,
    filled_qty, status)
select o.client_order_id, 'demo', o.instrument_id, 'BUY', 'LIMIT', 1, 70000, 1, 'FILLED'
from trade.orders as o
where o.client_order_id like 'past-%'
on conflict do nothing;

insert into paper.fills (paper_order_id, account, quantity, price, fee, tax)
select o.paper_order_id, o.account, 1, 70000, 1, 0
from paper.orders as o
where not exists (select from paper.fills as f where f.paper_order_id = o.paper_order_id);

insert into bus.events (generation, at, cause, entity, entity_id, change, intent_id, data)
select 1, '2020-01-01', 'past', 'intent', i.intent_id, i.status, i.intent_id, '{{"past": true}}'
from trade.order_intents as i
where i.reason = 'past' and not exists (select from bus.events as e where e.intent_id = i.intent_id);
"""


def add_past(db: Connection, rows: int, owner: str) -> None:
    """Add this many intents, each with an order, fill, cash entry, pick, gate result and event."""
    statements = PAST.format(rows=int(rows), owner=owner)
    db.execute(f"begin; {OFF} {statements} {ON}; commit".encode())
    db.execute("vacuum analyze")
