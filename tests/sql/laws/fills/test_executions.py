"""L7: an execution counts once, across midnight, an amend, a bust and a correction."""

import pytest

from tests.sql.laws.market_kit import FILL, SYMBOL, refusal
from tests.sql.laws.orders.orders_kit import answer

pytestmark = pytest.mark.usefixtures("laws_hold")


def report(kit, order, number, quantity, price, at, by="execution"):
    return kit.call(by, FILL, "demo", order.client_order_id, None, number, quantity, price, 0, 0, at)


BEFORE, AFTER = "2026-03-02 23:59:59.999+09", "2026-03-03 00:00:00+09"
BUST = f"select bust_fill('demo', '{SYMBOL}', 'F', '2026-03-02', 'x')"


@pytest.mark.parametrize("first", [BEFORE, AFTER])
def test_an_execution_reported_on_both_sides_of_midnight_counts_once(kit, first):
    order = kit.live_order("BUY", 10, 70_000)
    second = AFTER if first == BEFORE else BEFORE

    assert report(kit, order, "F", 4, 70_000, first) == "RECORDED"
    assert report(kit, order, "F", 4, 70_000, second) == "DUPLICATE"
    assert report(kit, order, "F", 5, 70_000, second) == "UNMATCHED"

    assert kit.position().qty == 4


def test_an_execution_without_a_time_reported_of_parent_and_child_counts_once(kit, fallen, child):
    assert report(kit, fallen, "F", 4, 74_000, None) == "RECORDED"
    answer(kit, "order_accepted", child, "B-child", 6)
    kit.advance(days=1)

    assert report(kit, child, "F", 4, 74_000, None) == "DUPLICATE"

    assert kit.position("momo").qty == 6


@pytest.mark.parametrize(("quantity", "price"), [(4, 69_900), (5, 70_000), (3, 70_000)])
def test_a_busted_execution_reported_otherwise_is_recorded_and_uses_up_no_more_of_its_order(
    kit, quantity, price
):
    order = kit.live_order("BUY", 10, 70_000)
    report(kit, order, "F", 4, 70_000, BEFORE)
    kit.call("execution", BUST)

    assert report(kit, order, "F", 4, 70_000, BEFORE) == "DUPLICATE", "as it was before it was taken back"
    assert report(kit, order, "F", quantity, price, BEFORE) == "RECORDED"
    assert report(kit, order, "F", quantity, price, AFTER) == "DUPLICATE"
    assert report(kit, order, "F", 4, 70_000, BEFORE) == "DUPLICATE", "old news"

    assert kit.position().qty == quantity
    assert kit.position().cost == quantity * price
    row = kit.order(order.order_id)
    assert (row.filled_qty, row.overfill_qty) == (max(4, quantity), 0)
    assert kit.intent_row(1).quantity - kit.intent_row(1).filled_qty == row.quantity - row.filled_qty


def test_a_corrected_execution_is_taken_back_and_corrected_once_more(kit):
    order = kit.live_order("BUY", 10, 70_000)
    for price in (70_000, 69_900, 69_800):
        assert report(kit, order, "F", 4, price, BEFORE) == "RECORDED"
        assert kit.call("execution", BUST) == "BUSTED"
        assert kit.call("execution", BUST) == "DUPLICATE"

    assert (kit.position().qty, kit.balance().cash) == (0, 100_000_000)


def test_a_correction_reported_by_two_sessions_at_once_counts_once(kit):
    order = kit.live_order("BUY", 10, 70_000)
    report(kit, order, "F", 4, 70_000, BEFORE)
    kit.call("execution", BUST)
    first, second = kit.connect("execution"), kit.connect("reconcile")
    args = ("demo", order.client_order_id, None, "F", 4, 69_900, 0, 0, BEFORE)
    with first.transaction():
        kit.call(first, FILL, *args)
        late = kit.background(second, FILL, *args)
        kit.wait_for_lock(second)

    assert late.result(20) == [("DUPLICATE",)]
    assert kit.position().qty == 4


def test_two_orders_of_one_number_may_both_be_corrected_for_one_day(kit):
    one, two = kit.live_order("BUY", 5, 70_000), kit.live_order("BUY", 5, 70_000)
    report(kit, one, "F", 5, 70_000, BEFORE)
    report(kit, two, "F", 5, 70_000, AFTER)
    for day in ("02", "03"):
        kit.call("execution", BUST.replace("-02'", f"-{day}'"))

    assert report(kit, one, "F", 5, 69_000, AFTER) == "RECORDED"
    assert report(kit, two, "F", 5, 69_000, AFTER) == "RECORDED"
    assert kit.position().qty == 10


def test_a_total_after_a_bust_counts_from_what_is_left(kit):
    order = kit.live_order("BUY", 10, 70_000)

    def total(quantity):
        query = "select record_cumulative('demo', %s, null, %s, %s, 0, 0, null)"
        return kit.call("execution", query, order.client_order_id, quantity, quantity * 70_000)

    total(4)
    number, day = kit.look("select broker_fill_id, trade_date from trade.fills")
    assert (
        kit.call("execution", f"select bust_fill('demo', '{SYMBOL}', %s, %s, 'x')", number, day) == "BUSTED"
    )

    assert [total(n) for n in (4, 2, 2, 6)] == ["DUPLICATE", "RECORDED", "DUPLICATE", "RECORDED"]
    assert kit.position().qty == 6
    assert kit.order(order.order_id).filled_qty == 6


COPY = (
    "insert into trade.fills (order_id, intent_id, account_id, instrument_id, owner, side, trade_date,"
    " broker_fill_id, quantity, price, fee, tax, realized_pnl, filled_at, revision, corrected_qty)"
    " select {order}, intent_id, account_id, instrument_id, owner, side, {day}, broker_fill_id, quantity,"
    " price, fee, tax, realized_pnl, filled_at, {revision}, {corrected} from trade.fills"
)
AS_IT_IS = {"order": "order_id", "day": "trade_date", "revision": "0", "corrected": "0"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"day": "trade_date + 1"}, "23505"),
        ({"order": "1"}, "23505"),
        ({"day": "trade_date + 1", "order": "1", "revision": "-1"}, "23514"),
        ({"day": "trade_date + 1", "order": "1", "corrected": "quantity + 1"}, "23514"),
        ({"day": "trade_date + 1", "order": "1"}, None),
    ],
)
def test_an_execution_written_by_hand_is_one_of_its_order_and_of_its_day(kit, changes, code):
    kit.live_order("BUY", 10, 70_000)
    order = kit.live_order("BUY", 10, 70_000)
    kit.fill(order, 4, 70_000)

    query = COPY.format(**AS_IT_IS | changes).encode()
    with kit.triggers_off() if code is None else kit.db.transaction():
        assert refusal(lambda: kit.db.execute(query)) == code
    if code is None:
        with kit.triggers_off() as db:
            db.execute("delete from trade.fills where order_id = 1")
