"""A sell needs only a sound bid and a buy only a sound ask, also in one-sided and locked books."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sql.laws.market_kit import OTHER, SYMBOL, refusal

LOW, HIGH = 65_000, 90_000  # daily price limits, where a test sets them

# (bid, bid size, ask, ask size), can sell, can buy
BOOKS = {
    "both sides": ((60_000, 9, 60_100, 9), True, True),
    "locked": ((60_000, 9, 60_000, 9), True, True),
    "crossed": ((60_100, 9, 60_000, 9), False, False),
    "no ask: null": ((60_000, 9, None, None), True, False),
    "no ask: zero": ((60_000, 9, 0, 0), True, False),
    "no ask: no size": ((60_000, 9, 60_100, 0), True, False),
    "no ask: unknown size": ((60_000, 9, 60_100, None), True, False),
    "no ask, a lower price without size": ((60_000, 9, 59_000, 0), True, False),
    "no bid: null": ((None, None, 60_100, 9), False, True),
    "no bid: zero": ((0, 0, 60_100, 9), False, True),
    "no bid: no size": ((60_000, 0, 60_100, 9), False, True),
    "no bid, a higher price without size": ((61_000, 0, 60_100, 9), False, True),
    "neither: null": ((None, None, None, None), False, False),
    "neither: zero": ((0, 0, 0, 0), False, False),
}
OUTSIDE = {
    "bid below": ((64_900, 9, 65_000, 9), False, True),
    "ask above": ((90_000, 9, 90_100, 9), True, False),
    "both below": ((64_800, 9, 64_900, 9), False, False),
    "both above": ((90_100, 9, 90_200, 9), False, False),
    "at the limits": ((65_000, 9, 90_000, 9), True, True),
}


def book(kit, bid, bid_size, ask, ask_size, symbol=SYMBOL):
    return kit.quotes([(symbol, kit.now, next(kit._seq), bid, bid_size, ask, ask_size)])


def limits(kit, low=LOW, high=HIGH):
    kit.db.execute("update market.instruments set limit_low = %s, limit_high = %s", [low, high])


def prices(kit, symbol=SYMBOL):
    return kit.rows("desk", "select * from prices where symbol = %s", symbol)[0]


def fire(kit):
    return kit.call("exits", "select fire_exits()")


def placed(kit, number, side):
    """Filled quantity of a market order for five at the paper broker."""
    query = "select paper_place(%s, 'demo', %s, %s, 'MARKET', 5, 60000)"
    kit.call("execution", query, number, SYMBOL, side)
    return kit.call("execution", "select filled_qty from paper_order(%s)", number)


def gate(kit, strategy, side, symbol=SYMBOL):
    """Code of the second gate for a pick."""
    pick = kit.call(
        strategy, "select propose(%s, %s, %s)", symbol, side, "EXIT" if side == "SELL" else "ENTRY"
    )
    kit.call("router", "select route_picks(10)")
    return kit.call("desk", "select code from gate_results where pick_id = %s and gate = 2", pick)


# -- which side may be traded ------------------------------------------------------------------------------


def traded(kit, quote):
    """Whether a sell and a buy are possible: by the view, by an intent by hand, and by the paper broker."""
    assert book(kit, *quote) == (1, 0, 0)
    row, number = prices(kit), next(kit._seq)
    assert row.is_fresh
    return [
        (row.can_sell, row.can_buy),
        (refusal(lambda: kit.sell(1, None)) != "TRP01", refusal(lambda: kit.buy(1, None)) != "TRP01"),
        (placed(kit, f"S{number}", "SELL") == 5, placed(kit, f"B{number}", "BUY") == 5),
    ]


def test_each_side_is_traded_on_when_it_is_sound(kit):
    kit.hold(100)

    found = {name: traded(kit, quote) for name, (quote, *_) in BOOKS.items()}

    assert found == {name: [(sells, buys)] * 3 for name, (_, sells, buys) in BOOKS.items()}


def test_a_side_outside_the_limits_of_the_day_is_not_sound_and_the_other_may_be(kit):
    kit.hold(100)
    limits(kit)

    found = {name: traded(kit, quote) for name, (quote, *_) in OUTSIDE.items()}

    assert found == {name: [(sells, buys)] * 3 for name, (_, sells, buys) in OUTSIDE.items()}


def test_a_limit_that_is_not_set_limits_nothing_and_the_other_does(kit):
    for low, high in ((65_000, None), (None, 90_000)):
        limits(kit, low, high)
        book(kit, 60_000, 1, 99_000, 1)

        assert (prices(kit).can_sell, prices(kit).can_buy) == (low is None, high is None)


def test_the_second_gate_asks_for_the_side_of_the_pick(kit):
    strategy = kit.add_strategy()
    kit.hold(10, owner="momo")
    book(kit, 80_000, 1, None, None)
    assert gate(kit, strategy, "SELL") == "ok"
    assert gate(kit, strategy, "BUY") == "TRP01"

    book(kit, None, None, 80_000, 1, OTHER)
    assert gate(kit, strategy, "SELL", OTHER) == "TRP01"
    assert gate(kit, strategy, "BUY", OTHER) == "ok"


def test_a_side_that_is_not_there_is_null_whatever_came(kit):
    book(kit, 60_000, 0, 60_100, 9)
    row = prices(kit)
    assert (row.bid, row.bid_size, row.ask, row.ask_size) == (None, None, 60_100, 9)

    book(kit, 60_000, 9, 0, 7)
    row = prices(kit)
    assert (row.bid, row.bid_size, row.ask, row.ask_size) == (60_000, 9, None, None)


# -- exits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [(None, None), (91_000, 9)], ids=["none", "outside"])
def test_a_target_fires_at_the_upper_limit_where_nobody_offers(kit, ask):
    kit.add_strategy()
    held = kit.hold(10, owner="momo")
    limits(kit)
    book(kit, 90_000, 500_000, *ask)

    assert fire(kit) == 1

    row = kit.intent_row(held + 1)
    assert (row.reason, row.quantity) == ("TAKE_PROFIT", 10)
    order = kit.claim_one()
    query = "select paper_place(%s, 'demo', %s, 'SELL', 'LIMIT', 10, %s)"
    kit.call("execution", query, order.client_order_id, SYMBOL, order.limit_price)
    fills = kit.rows("execution", "select * from paper_fills_since('demo', 0, 10)")
    assert [(fill.quantity, fill.price) for fill in fills] == [(10, 90_000)]


def test_a_stop_fires_on_a_locked_quote(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    book(kit, 67_000, 9, 67_000, 9)

    assert fire(kit) == 1


def test_a_stop_escalates_a_resting_sell_on_a_locked_quote(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    resting = kit.live_order("SELL", 10, 80_000, owner="momo", intent_type="EXIT")
    book(kit, 67_000, 9, 67_000, 9)

    fire(kit)

    assert kit.order(resting.order_id).amend_price == 65_000  # 67,000 less 3 %, up to a tick


def test_at_the_lower_limit_nobody_bids_no_stop_can_fire_and_that_is_shown(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    limits(kit)
    book(kit, None, None, 65_000, 500_000)

    assert fire(kit) == 0

    (row,) = kit.rows("desk", "select * from positions where owner = 'momo'")
    assert row.note == "nobody bids: stop and target cannot fire"
    book(kit, 65_000, 1, 65_100, 500_000)
    (row,) = kit.rows("desk", "select * from positions where owner = 'momo'")
    assert row.note == ""
    assert fire(kit) == 1


def test_why_a_stop_cannot_fire_is_beside_the_position(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    kit.hold(10)
    limits(kit)
    for quote, why in (
        ((60_100, 9, 60_000, 9), "the quote is crossed"),
        ((60_000, 9, 66_000, 9), "the bid is outside the limits"),
    ):
        book(kit, *quote)

        assert fire(kit) == 0
        notes = dict(kit.db.execute("select owner, note from api.positions").fetchall())
        assert notes["momo"].startswith(why)
        assert notes["manual"] is None, "what has no exits has none that could fire"


# -- marks -------------------------------------------------------------------------------------------------

side = st.one_of(st.none(), st.integers(69, 72))
changes = st.lists(
    st.one_of(
        st.tuples(st.just("quote"), side, side),
        st.tuples(st.just("trade"), st.integers(60, 80)),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=changes)
def test_a_mark_is_never_above_the_sound_ask_nor_below_the_sound_bid(kit, changes):
    kit.db.execute("truncate market.prices_best")
    before = None
    for seq, (what, *prices) in enumerate(changes, 1):
        if what == "quote":
            bid, ask = (None if price is None else price * 1_000 for price in prices)
            kit.quotes([(SYMBOL, kit.now, next(kit._seq), bid, 1, ask, 1)])
        else:
            query = (
                "select ingest_trades('sim', array[%s], array[%s], array[%s::bigint],"
                " array[%s::numeric], '{1}')"
            )
            kit.call("feed", query, SYMBOL, kit.now, 10_000_000 + next(kit._seq) + seq, prices[0] * 1_000)
        row = kit.look("select * from market.prices_best")
        if row.bid_is_sound:
            assert row.mark >= row.bid
        if row.ask_is_sound:
            assert row.mark <= row.ask
        if not (row.bid_is_sound or row.ask_is_sound):
            assert row.mark == before, "an unsound quote moves no mark"
        before = row.mark


def test_a_position_is_valued_by_sound_sides_alone(kit):
    kit.hold(10)
    book(kit, 900_000, 9, 800_000, 9)

    (row,) = kit.rows("desk", "select * from positions")
    assert (row.value, row.unrealized_pnl) == (700_000, 0)
    assert kit.look("select mark, is_flagged from trade.marks") == (70_000, True)

    book(kit, None, None, 69_000, 9)
    (row,) = kit.rows("desk", "select * from positions")
    assert (row.value, row.unrealized_pnl) == (690_000, -10_000)
    assert kit.look("select mark, is_flagged from trade.marks") == (69_000, False)


def test_what_a_reconciliation_finds_is_valued_at_the_mark(kit):
    book(kit, 900_000, 9, 800_000, 9)
    for _ in range(2):
        mark = kit.call("reconcile", "select holdings_fingerprint('demo')")
        kit.call("reconcile", "select reconcile('demo', %s, %s)", mark, '{"holdings": {"005930": 3}}')
        kit.advance(seconds=10)

    assert kit.look("select price from trade.reconciliations").price == 70_000


def test_the_sides_stored_make_sense(kit):
    """For any writer: a side is complete or absent, and sound only if present and not crossed."""
    for change in (
        "bid_size = null",
        "ask = null",
        "bid = null, bid_size = null",
        "ask = null, ask_size = null",
        "bid = 0",
        "bid = 70200",
        "received_at = null",
    ):
        query = f"update market.prices_best set {change} where instrument_id = 1"
        assert refusal(lambda query=query: kit.db.execute(query.encode())) == "23514", change


def test_a_paper_order_pays_at_most_what_was_reserved_for_it(kit):
    """0.00001234 at 99.95 costs a fee of 0.000000185; rounded to 8 decimals it would exceed the reserve."""
    kit.add_symbol("COIN", lot=Decimal("0.00000001"), tick_table="0.01")
    book(kit, Decimal("99.94"), 1, Decimal("99.95"), 1, "COIN")
    kit.buy(Decimal("0.00001234"), Decimal("99.95"), symbol="COIN")
    reserved = kit.balance().locked_cash
    order = kit.claim_one()
    query = "select paper_place(%s, 'demo', 'COIN', 'BUY', 'LIMIT', %s, %s)"
    kit.call("execution", query, order.client_order_id, order.quantity, order.limit_price)
    (fill,) = kit.rows("execution", "select * from paper_fills_since('demo', 0, 10)")

    assert fill.quantity * fill.price + fill.fee + fill.tax <= reserved
    assert fill.fee == Decimal("0.00000018")
