"""Compare an account with its broker, and measure its equity."""

from psycopg.types.json import Jsonb

from tests.sql.laws.market_kit import SYMBOL

RECONCILE = "select reconcile('demo', %s, %s)"


def mark(kit):
    return kit.call("reconcile", "select holdings_fingerprint('demo')")


def look(kit, holdings, cash=None, seen=None):
    """Compare once with what the broker holds; the mark is read before the broker is asked."""
    snapshot = {"holdings": {symbol: str(qty) for symbol, qty in holdings.items()}}
    if cash is not None:
        snapshot["cash"] = str(cash)
    return kit.call("reconcile", RECONCILE, seen or mark(kit), Jsonb(snapshot))


def correct(kit, holdings, cash=None):
    assert [look(kit, holdings, cash) for _ in range(2)] == ["DIFFERS", "CORRECTED"]
    assert kit.audit() == []


def corrections(kit):
    rows = kit.rows(
        kit.db, "select owner, quantity, price, reason from trade.reconciliations order by reconciliation_id"
    )
    return [(row.owner, row.quantity, row.price) for row in rows]


def held(kit, symbol=SYMBOL):
    """Quantity of a symbol that each owner holds."""
    query = "select owner, qty from positions where symbol = %s order by owner"
    return {row.owner: row.qty for row in kit.rows("desk", query, symbol)}


def measure(kit):
    """Run the scheduled measurement; return the account's row of the day as people see it."""
    kit.call(kit.db, "select api.measure_equity()")
    return kit.look("select * from api.performance where account = 'demo' order by day_start desc")
