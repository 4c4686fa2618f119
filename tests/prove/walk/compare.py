"""Whether the database and the model are in the same state, and whether the laws hold for all rows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.prove.model.records import ZERO
from tests.prove.model.state import Model
from tests.prove.walk.walker import Violation, Walk

STATE = """
select
    (select array_agg((a.account, b.cash::text, b.locked_cash::text, b.breach_cash::text))
     from trade.balances b join trade.accounts a using (account_id)),
    (select array_agg((a.account, n.symbol, p.owner, p.qty::text, p.locked_qty::text, p.breach_qty::text))
     from trade.positions p join trade.accounts a using (account_id)
     join market.instruments n using (instrument_id)),
    (select array_agg((i.intent_id, i.status, i.filled_qty::text, i.overfill_qty::text, i.worst_price::text))
     from trade.order_intents i),
    (select array_agg((o.order_id, o.status, o.quantity::text, o.filled_qty::text, o.overfill_qty::text,
        o.fence, o.is_pending, o.cancel_requested_at is not null, o.stray_since is not null,
        o.broker_ended_at is not null)) from trade.orders o),
    (select s.mode from risk.system_mode s),
    array(select row(l.*)::text from api.law_audit l)
"""


def compare(walk: Walk) -> None:
    """Check that both are in the same state and that the laws hold for all rows."""
    found = walk.place.db.execute(STATE).fetchone()
    assert found is not None
    cash, positions, intents, orders, mode, audit = found
    walk.must(audit == [], f"law_audit: {audit}")
    breached = compare_cash(walk, cash) | compare_positions(walk, positions or [])
    compare_intents(walk.model, intents or [])
    compare_orders(walk.model, orders or [])
    walk.reached["breach"] += breached
    walk.must(mode == walk.model.mode, f"mode {mode}, must be {walk.model.mode}")


def compare_cash(walk: Walk, rows: list[Any]) -> bool:
    """Compare the balances; return whether one of them is breached."""
    breached = False
    for account, *figures in rows:
        cash, locked, breach = map(Decimal, figures)
        wanted = walk.model.accounts[account].cash, walk.model.locked_cash(account)
        walk.must((cash, locked) == wanted, f"{account}: cash, locked {cash}, {locked}, must be {wanted}")
        walk.must(breach == max(locked - cash, ZERO), f"{account}: breach of cash {breach}")
        breached |= locked > cash
    return breached


def compare_positions(walk: Walk, rows: list[Any]) -> bool:
    """Compare the positions; return whether one of them is breached."""
    breached = False
    held = {(a, s, o): tuple(map(Decimal, figures)) for a, s, o, *figures in rows}
    for holding in {*held, *walk.model.positions}:
        qty, locked, breach = held.get(holding, (ZERO, ZERO, ZERO))
        wanted = walk.model.positions.get(holding, ZERO), walk.model.locked_qty(holding)
        walk.must((qty, locked) == wanted, f"{holding}: qty, locked {qty}, {locked}, must be {wanted}")
        walk.must(breach == max(locked - qty, ZERO), f"{holding}: breach {breach}")
        breached |= locked > qty
    return breached


def compare_intents(model: Model, rows: list[Any]) -> None:
    have = {int(i): (s, Decimal(f), Decimal(o), Decimal(w)) for i, s, f, o, w in rows}
    same("intent", have, {i.id: (i.status, i.filled, i.overfill, i.worst) for i in model.intents.values()})


def compare_orders(model: Model, rows: list[Any]) -> None:
    have = {
        int(i): (s, Decimal(q), Decimal(f), Decimal(v), int(n), *(flag == "t" for flag in flags))
        for i, s, q, f, v, n, *flags in rows
    }
    want = {
        o.id: (
            *(o.status, o.quantity, o.filled, o.overfill, o.fence),
            *(o.is_pending, o.cancel_asked, o.stray, o.ended),
        )
        for o in model.orders.values()
    }
    same("order", have, want)


def same(what: str, have: dict[int, Any], want: dict[int, Any]) -> None:
    if have != want:
        odd = {k: (have.get(k), want.get(k)) for k in {*have, *want} if have.get(k) != want.get(k)}
        raise Violation(f"{what}s are, and must be: {odd}")
