"""Propose and route picks, and read how they were answered."""

from tests.sql.laws.market_kit import SYMBOL

PROPOSE = "select propose(%s, %s, %s, %s::numeric, %s::numeric, 'test', %s)"


def propose(kit, conn, symbol=SYMBOL, side="BUY", kind="ENTRY", quantity=None, price=None, key=None):
    return kit.call(conn, PROPOSE, symbol, side, kind, quantity, price, key)


def route(kit):
    return kit.call("router", "select route_picks(100)")


def answer(kit, pick_id):
    """Status of a pick, with the code and the bound from its last gate."""
    row = kit.rows("desk", "select * from picks where pick_id = %s", pick_id)[0]
    detail = kit.look(
        "select detail from strategy.gate_results where pick_id = %s order by gate desc limit 1", pick_id
    )
    return row.status, row.code, detail.detail.get("bound_by")


def quantity(kit):
    return kit.call(kit.db, "select quantity from trade.order_intents order by 1 desc limit 1")
