"""The audit is not vacuous: each kind of corruption, written with triggers off, is reported under its law."""

import pytest

CORRUPTIONS = {
    "a position without its fill": ("L7", "update trade.positions set qty = qty + 1 where owner = 'manual'"),
    "a lock nobody holds": ("L2", "update trade.positions set locked_qty = locked_qty + 1"),
    "a lock that is gone": ("L2", "update trade.positions set locked_qty = 0 where locked_qty > 0"),
    "a breach nobody caused": ("L2", "update trade.positions set breach_qty = 1"),
    "cash locked by nobody": ("L3", "update trade.balances set locked_cash = locked_cash + 1"),
    "a breach of cash nobody caused": ("L3", "update trade.balances set breach_cash = 1"),
    "cash from nowhere": ("L3", "update trade.balances set cash = cash + 1"),
    "a movement of cash that is gone": ("L3", "delete from trade.cash_entries where kind = 'fill'"),
    "an intent that ended without release": (
        "L2",
        "update trade.order_intents set status = 'CANCELLED', reserved_qty = 0, closed_at = now()"
        " where side = 'SELL' and closed_at is null",
    ),
    "an intent that jumped": (
        "L4",
        "insert into bus.events (generation, cause, entity, entity_id, change, data)"
        " values (1, 'x', 'intent', 1, 'CLAIMED', '{}')",
    ),
    "an order that came back to life": (
        "L4",
        "insert into bus.events (generation, cause, entity, entity_id, change, data)"
        " values (1, 'x', 'order', 1, 'SENDING', '{}')",
    ),
    "an order beyond its intent": ("L5", "update trade.orders set quantity = 11 where status = 'SUBMITTED'"),
    "a live intent without a live order": (
        "L5",
        "update trade.orders set status = 'CANCELLED', closed_at = now() where status = 'SUBMITTED'",
    ),
    "an order that ended here and is open at the broker": (
        "L5",
        "insert into paper.orders (client_order_id, account, instrument_id, side, order_type, quantity,"
        " limit_price) select client_order_id, 'demo', 1, 'BUY', 'LIMIT', 1, 1 from trade.orders"
        " where status = 'FILLED'",
    ),
    "an order nobody stored": (
        "L6",
        "insert into paper.orders (client_order_id, account, instrument_id, side, order_type, quantity,"
        " limit_price) values ('stray', 'demo', 1, 'BUY', 'LIMIT', 1, 1)",
    ),
    "a fill that is gone": ("L7", "delete from trade.fills"),
    "a fill counted twice": (
        "L7",
        "insert into trade.fills (order_id, intent_id, account_id, instrument_id, owner, side, trade_date,"
        " broker_fill_id, quantity, price, fee, tax, realized_pnl, filled_at)"
        " select order_id, intent_id, account_id, instrument_id, owner, side, trade_date, 'again', quantity,"
        " price, fee, tax, realized_pnl, filled_at from trade.fills",
    ),
    "profit from nowhere": ("L7", "update trade.positions set realized_pnl = realized_pnl + 1"),
    "a cost that no money was paid for": ("L7", "update trade.positions set cost = cost + 1 where qty > 0"),
    "an order that says more than its fills": ("L7", "update trade.orders set overfill_qty = 1"),
    "an intent that says more than its fills": ("L7", "update trade.order_intents set overfill_qty = 1"),
    "a status nobody was told of": (
        "L9",
        "update trade.order_intents set status = 'CLAIMED' where status = 'NEW'",
    ),
    "a fill nobody was told of": ("L9", "delete from bus.events where entity = 'fill'"),
    "an order sent while halted": (
        "L1",
        "insert into risk.mode_history (scope, name, to_mode, reason, changed_at)"
        " values ('system', 'system', 'HALT', 'x', '2026-03-01')",
    ),
}


@pytest.fixture
def busy(kit):
    """A mix of states: a filled buy, a live sell, a waiting sell and a waiting buy."""
    kit.hold(30)
    kit.live_order("SELL", 10, 60_000)
    kit.sell(5)
    kit.buy(5)
    assert kit.audit() == []
    return kit


@pytest.mark.parametrize(("law", "damage"), CORRUPTIONS.values(), ids=CORRUPTIONS)
def test_the_audit_sees(busy, law, damage):
    with busy.triggers_off() as db:
        count = db.execute(damage.encode()).rowcount

    assert count > 0, "the damage was done"
    assert law in {row.law for row in busy.audit()}


def test_the_audit_sees_a_stray_that_nobody_cancels(busy):
    with busy.triggers_off() as db:
        db.execute("update trade.orders set stray_since = now() where status = 'FILLED'")

    assert "L5" in {row.law for row in busy.audit()}
