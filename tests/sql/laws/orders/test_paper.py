"""The paper broker places an order once, uses each quote's size once, and reports fills in order."""

from decimal import Decimal

import pytest

from tests.sql.laws.market_kit import SYMBOL

PLACE = "select * from paper_place(%s, 'demo', %s, %s, %s, %s::numeric, %s::numeric)"
FILLS = "select * from paper_fills_since('demo', %s, 100)"


def place(kit, number, side="BUY", quantity=10, price=70_100, kind="LIMIT", by="execution"):
    return kit.rows(by, PLACE, number, SYMBOL, side, kind, quantity, price)


def fills(kit, after=0):
    return kit.rows("execution", FILLS, after)


def match(kit, by="execution"):
    return kit.call(by, "select paper_match(null)")


def test_an_order_sent_twice_is_placed_once(kit):
    first = place(kit, "A")

    assert place(kit, "A") == first
    assert len(fills(kit)) == 1


@pytest.mark.parametrize(
    ("side", "limit", "filled_at"),
    [
        ("BUY", 70_100, 70_100),
        ("BUY", 71_000, 70_100),
        ("BUY", 70_000, None),
        ("SELL", 70_000, 70_000),
        ("SELL", 69_000, 70_000),
        ("SELL", 70_100, None),
    ],
)
def test_an_order_fills_at_the_other_side_when_that_reaches_its_limit(kit, side, limit, filled_at):
    place(kit, "A", side, price=limit)

    assert [fill.price for fill in fills(kit)] == ([filled_at] if filled_at else [])


def test_a_market_order_takes_whatever_price_there_is(kit):
    place(kit, "A", kind="MARKET", price=1)

    assert [fill.price for fill in fills(kit)] == [70_100]


def test_a_quotes_size_is_taken_once_and_the_next_quotes_again(kit):
    kit.quote(70_000, 70_100, size=4)
    place(kit, "A")
    match(kit)
    match(kit)
    assert [fill.quantity for fill in fills(kit)] == [4]

    kit.quote(70_000, 70_100, size=4)
    match(kit)
    kit.quote(70_000, 70_100, size=4)
    match(kit)

    assert [fill.quantity for fill in fills(kit)] == [4, 4, 2]
    assert match(kit) == 0


def test_two_orders_share_the_size_of_one_quote(kit):
    kit.quote(70_000, 70_100, size=4)

    place(kit, "A", quantity=3)
    place(kit, "B", quantity=3)

    assert [fill.quantity for fill in fills(kit)] == [3, 1]


def test_an_unsound_quote_fills_nothing(kit):
    kit.quote(70_100, 70_000)

    place(kit, "A")

    assert fills(kit) == []


def test_a_cancelled_order_is_not_filled(kit):
    place(kit, "A", price=69_000)
    kit.rows("execution", "select * from paper_cancel('A')")
    kit.quote(68_000, 68_100)

    assert match(kit) == 0
    (row,) = kit.rows("execution", "select * from paper_order('A')")
    assert (row.status, row.filled_qty) == ("CANCELLED", 0)


def test_a_filled_order_cannot_be_cancelled(kit):
    place(kit, "A")

    (row,) = kit.rows("execution", "select * from paper_cancel('A')")

    assert (row.status, row.filled_qty) == ("FILLED", 10)


def test_costs_are_those_of_the_venue(kit):
    place(kit, "A")
    place(kit, "B", "SELL", price=70_000)

    buy, sell = fills(kit)
    assert (buy.fee, buy.tax) == (Decimal("105.15"), 0)
    assert (sell.fee, sell.tax) == (Decimal("105"), Decimal("1050"))


def test_a_reader_with_a_cursor_misses_no_fill_of_a_slower_session(kit):
    """A session that fills first may commit last: no later fill number may become visible before it."""
    first, second = kit.connect("execution"), kit.connect("execution")
    with first.transaction():
        place(kit, "A", by=first)
        late = kit.pool.submit(place, kit, "B", by=second)
        kit.wait_for_lock(second)
        assert fills(kit) == []
    late.result(20)

    seen = fills(kit)
    assert [fill.client_order_id for fill in seen] == ["A", "B"]
    assert fills(kit, seen[0].broker_fill_id) == seen[1:]


def test_its_books_agree_with_ours_after_a_round_trip(kit):
    for side, price in (("BUY", 70_500), ("SELL", 69_500)):
        kit.intent(side, 10, price)
        order = kit.claim_one()
        (placed,) = place(kit, order.client_order_id, side, 10, price)
        kit.accept(order, placed.broker_order_id)
        fill = fills(kit)[-1]
        kit.fill(
            order, fill.quantity, fill.price, fee=fill.fee, tax=fill.tax, fill_id=str(fill.broker_fill_id)
        )

    mark = kit.call("reconcile", "select holdings_fingerprint('demo')")
    answer = kit.call("reconcile", "select reconcile('demo', %s, paper_snapshot('demo'))", mark)

    assert answer == "AGREES"
    assert kit.audit() == []
