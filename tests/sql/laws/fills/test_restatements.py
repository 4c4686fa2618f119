"""Later reports about an execution (costs, fees in kind, another price) are booked once."""

from decimal import Decimal

import pytest

from tests.sql.laws.market_kit import FILL, OTHER

FILL_IN_KIND = FILL[: FILL.rindex(")")] + ", p_fee_qty => %s::numeric)"
CASH = 100_000_000


def tell(kit, order, quantity, price, *, fee=0, tax=0, fee_qty=0, fill_id="F", by="execution"):
    args = ("demo", order.client_order_id, None, fill_id, quantity, price, fee, tax, kit.now, fee_qty)
    return kit.call(by, FILL_IN_KIND, *args)


def holding(kit):
    position = kit.position()
    return position.qty, position.cost, position.realized_pnl


def shown(kit, fill_id=1):
    query = "select quantity, price, fee, tax, fee_qty, realized_pnl from api.fills where fill_id = %s"
    return tuple(kit.look(query, fill_id))


@pytest.fixture
def order(kit):
    """A buy of ten at the broker."""
    return kit.live_order("BUY", 10, 80_000)


@pytest.fixture
def sell(kit):
    """A sell of four at the broker, out of ten bought at 70,000."""
    kit.hold(10, 70_000)
    return kit.live_order("SELL", 4, 60_000)


# -- costs -------------------------------------------------------------------------------------------------


def test_costs_that_are_reported_later_are_booked_then(kit, order):
    assert tell(kit, order, 4, 70_000, fee=None, tax=None) == "RECORDED"
    before = kit.position()

    assert tell(kit, order, 4, 70_000, fee="42.5", tax=3) == "RESTATED"
    assert tell(kit, order, 4, 70_000, fee="42.5", tax=3) == "DUPLICATE"
    assert tell(kit, order, 4, 70_000, fee=None, tax=None) == "DUPLICATE"

    after = kit.position()
    assert (after.qty, after.cost) == (before.qty, before.cost)
    assert after.realized_pnl == before.realized_pnl - Decimal("45.5")
    assert after.version == before.version + 1
    assert kit.balance().cash == CASH - 280_000 - Decimal("45.5")
    assert [event.change for event in kit.events("fill")] == ["BUY", "restated"]
    assert kit.audit() == []


def test_costs_that_are_reported_by_two_sessions_at_once_are_booked_once(kit, order):
    tell(kit, order, 4, 70_000, fee=None)
    first, second = kit.connect("execution"), kit.connect("reconcile")
    args = ("demo", order.client_order_id, None, "F", 4, 70_000, 42, 0, kit.now)
    with first.transaction():
        assert kit.call(first, FILL, *args) == "RESTATED"
        late = kit.background(second, FILL, *args)
        kit.wait_for_lock(second)

    assert late.result(20) == [("DUPLICATE",)]
    assert kit.balance().cash == CASH - 280_000 - 42
    assert kit.audit() == []


# -- another price -----------------------------------------------------------------------------------------


def test_another_price_of_a_buy_is_another_cost(kit, order):
    tell(kit, order, 10, 70_000, fee=100)

    assert tell(kit, order, 10, "69990.5", fee=100) == "RESTATED"
    assert tell(kit, order, 10, "69990.5", fee=100) == "DUPLICATE"

    assert holding(kit) == (10, 699_905, -100)
    assert kit.balance().cash == CASH - 699_905 - 100
    assert shown(kit) == (10, Decimal("69990.5"), 100, 0, 0, -100)
    assert kit.look("select price from trade.fills").price == 70_000, "what was reported first stays"
    assert kit.audit() == []


def test_another_price_of_a_sell_is_another_profit(kit, sell):
    tell(kit, sell, 4, 71_000, fee=10, tax=20)

    assert tell(kit, sell, 4, 71_500, fee=12, tax=20) == "RESTATED"

    assert holding(kit) == (6, 420_000, 6_000 - 32)
    assert kit.balance().cash == CASH - 700_000 + 286_000 - 32
    assert shown(kit, 2) == (4, 71_500, 12, 20, 0, 6_000 - 32)
    assert kit.audit() == []


def test_of_a_buy_that_was_partly_sold_the_part_is_profit_or_loss(kit, order):
    tell(kit, order, 10, 70_000)
    kit.fill(kit.live_order("SELL", 4, 60_000), 4, 71_000)

    assert tell(kit, order, 10, 70_100) == "RESTATED"

    # 1,000 more was paid: six tenths raise the cost of what is held, the rest is a loss
    assert holding(kit) == (6, 420_600, 4_000 - 400)
    assert kit.audit() == []


@pytest.mark.parametrize("again", [False, True], ids=["flat", "bought again"])
def test_of_a_buy_that_was_sold_it_is_all_profit_or_loss(kit, order, again):
    tell(kit, order, 10, 70_000)
    kit.fill(kit.live_order("SELL", 10, 60_000), 10, 71_000)
    if again:
        kit.advance(seconds=1)
        kit.fill(kit.live_order("BUY", 10, 80_000), 10, 72_000)

    assert tell(kit, order, 10, 69_900) == "RESTATED"

    assert holding(kit) == (10 * again, 720_000 * again, 10_000 + 1_000)
    assert kit.audit() == []


def test_a_price_lower_than_what_is_left_of_the_cost_takes_no_more_than_that(kit, order):
    tell(kit, order, 1, 80_000)
    kit.fill(kit.live_order("BUY", 9, 80_000), 9, 100, fill_id="cheap")
    kit.fill(kit.live_order("SELL", 9, 60_000), 9, 70_000, fill_id="out")
    assert kit.position().cost < 70_000

    assert tell(kit, order, 1, 1_000) == "RESTATED"

    assert (kit.position().qty, kit.position().cost) == (1, 0)
    assert kit.audit() == []


def test_thirds_of_a_difference_are_lost_nowhere(kit, order):
    tell(kit, order, 3, 70_000)
    kit.fill(kit.live_order("SELL", 2, 60_000), 2, 70_000)

    tell(kit, order, 3, "70000.01")

    position = kit.position()
    assert position.realized_pnl - position.cost == kit.balance().cash - CASH
    assert kit.audit() == []


def test_stop_and_target_follow_the_price(kit):
    kit.add_strategy()
    order = kit.live_order("BUY", 10, 80_000, owner="momo", intent_type="ENTRY")
    tell(kit, order, 10, 77_000)
    query = "select stop_price, is_armed from trade.position_exits where owner = 'momo'"

    assert tell(kit, order, 10, 70_000) == "RESTATED"

    assert tuple(kit.look(query)) == (67_900, True)


def test_a_price_that_undercuts_the_cash_is_a_breach_and_sheds(kit, order):
    tell(kit, order, 10, 70_000)
    intent = kit.buy(1_000, 99_000)
    assert kit.intent_row(intent).status == "NEW"

    assert tell(kit, order, 10, 200_000) == "RESTATED"

    assert kit.intent_row(intent).status == "CANCELLED"
    assert kit.balance().breach_cash == 0
    assert kit.audit() == []


# -- a fee in kind -----------------------------------------------------------------------------------------


def test_a_fee_in_kind_that_is_reported_later_is_taken_then(kit, order):
    tell(kit, order, 10, 70_000)

    assert tell(kit, order, 10, 70_000, fee_qty="0.5") == "RESTATED"
    assert tell(kit, order, 10, 70_000, fee_qty="0.5") == "DUPLICATE"
    assert tell(kit, order, 10, 70_000) == "DUPLICATE", "one that is not reported again was not given back"

    assert holding(kit) == (Decimal("9.5"), 700_000, 0)
    assert shown(kit) == (10, 70_000, 0, 0, Decimal("0.5"), 0)
    (row,) = kit.rows(kit.db, "select quantity, price, fill_id from trade.reconciliations")
    assert tuple(row) == (Decimal("-0.5"), 0, 1)
    assert kit.audit() == []


@pytest.mark.parametrize("fee_qty", ["0.25", "0.75"], ids=["less", "more"])
def test_a_fee_in_kind_reported_in_two_parts_is_the_larger(kit, order, fee_qty):
    tell(kit, order, 10, 70_000, fee_qty="0.5")

    tell(kit, order, 10, 70_000, fee_qty=fee_qty)

    assert kit.position().qty == 10 - max(Decimal(fee_qty), Decimal("0.5"))
    assert kit.audit() == []


def test_a_fee_in_kind_of_a_sell_costs_what_it_cost(kit, sell):
    tell(kit, sell, 4, 71_000)

    assert tell(kit, sell, 4, 71_000, fee_qty="0.1") == "RESTATED"

    assert holding(kit) == (Decimal("5.9"), 413_000, 4_000 - 7_000)
    assert kit.audit() == []


def test_a_fee_in_kind_of_what_is_sold_already_is_adopted_and_reported(kit, order):
    tell(kit, order, 10, 70_000)
    kit.fill(kit.live_order("SELL", 10, 60_000), 10, 71_000)

    assert tell(kit, order, 10, 70_000, fee_qty="0.5") == "RESTATED"

    assert kit.position().qty == 0
    assert kit.incidents() == [("oversold", True)]
    assert kit.audit() == []


# -- reports that do not match, and busts ------------------------------------------------------------------


def test_another_quantity_is_kept_as_an_incident(kit, order):
    tell(kit, order, 4, 70_000)

    assert tell(kit, order, 5, 70_000) == "UNMATCHED"

    assert kit.position().qty == 4
    assert kit.incidents() == [("unmatched_fill", True)]
    assert kit.audit() == []


def test_the_number_of_an_execution_of_another_intent_is_kept_as_an_incident(kit, order):
    tell(kit, order, 4, 70_000)
    second = kit.live_order("BUY", 4, 80_000)

    assert tell(kit, second, 4, 70_000) == "UNMATCHED"

    assert kit.position().qty == 4
    assert kit.incidents() == [("unmatched_fill", True)]
    assert kit.audit() == []


def test_the_same_number_in_another_symbol_is_another_execution(kit, order):
    kit.quote(70_000, 70_100, symbol=OTHER)
    second = kit.live_order("BUY", 4, 80_000, symbol=OTHER)

    assert tell(kit, order, 4, 70_000) == "RECORDED"
    assert tell(kit, second, 4, 70_000) == "RECORDED"


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_a_bust_takes_back_all_that_was_reported_by_then(kit, order, side):
    tell(kit, order, 10, 70_000, fill_id="first")
    before, cash = holding(kit), kit.balance().cash
    traded = kit.live_order(side, 4, 80_000 if side == "BUY" else 60_000)
    tell(kit, traded, 4, 71_300, fee=None)
    tell(kit, traded, 4, 71_310, fee=42, tax=7, fee_qty="0.5" if side == "BUY" else 0)
    assert holding(kit) != before

    busted = kit.call("execution", "select bust_fill('demo', '005930', 'F', '2026-03-02', 'wrong')")

    assert busted == "BUSTED"
    assert (holding(kit), kit.balance().cash) == (before, cash)
    assert tell(kit, traded, 4, 71_310, fee=9) == "DUPLICATE"
    assert kit.look("select note from api.fills where broker_fill_id = 'F'").note == "busted: wrong"
    assert kit.audit() == []


def test_the_story_of_an_intent_says_what_was_reported_later(kit, order):
    tell(kit, order, 10, 70_000)
    tell(kit, order, 10, 70_001, fee=42)

    story = [row.what for row in kit.rows("desk", "select what from explain(1)")]

    assert any(
        "restated by" in what and "10 more notional" in what and "42 more fee" in what for what in story
    )
