"""Facts are never refused: one that undercuts a reservation opens an incident and stops new risk."""

import pytest

from tests.sql.laws.market_kit import OTHER
from workers.runtime.errors import CashBreached, QuantityBreached


@pytest.fixture
def ghost(kit):
    """A sell of all ten shares that was reported cancelled, although its fill is still on the way."""
    kit.hold(10)
    order = kit.live_order("SELL", 10, 60_000)
    kit.call("execution", "select order_cancelled(%s, %s, 0)", order.order_id, order.fence)
    assert kit.position().locked_qty == 0
    return order


def test_a_late_sell_fill_sheds_what_was_not_sent(kit, ghost):
    unsent = kit.sell(10)

    assert kit.fill(ghost, 10, 60_000) == "RECORDED"

    assert kit.intent_row(unsent).status == "CANCELLED"
    assert kit.intent_row(unsent).closed_reason == "cancelled: less is held than it had reserved"
    position = kit.position()
    assert (position.qty, position.locked_qty, position.breach_qty) == (0, 0, 0)
    assert kit.incidents() == [("breach", False)]
    assert kit.audit() == []


def test_only_as_much_is_shed_as_the_breach_needs_newest_first(kit, ghost):
    older, newer = kit.sell(5), kit.sell(5)

    kit.fill(ghost, 4, 60_000)

    assert (kit.intent_row(older).status, kit.intent_row(newer).status) == ("NEW", "CANCELLED")
    position = kit.position()
    assert (position.qty, position.locked_qty, position.breach_qty) == (6, 5, 0)


def test_a_late_sell_fill_under_a_sent_order_is_a_breach_until_that_order_ends(kit, ghost):
    sent = kit.live_order("SELL", 10, 60_000)

    assert kit.fill(ghost, 10, 60_000) == "RECORDED"

    position = kit.position()
    assert (position.qty, position.locked_qty, position.breach_qty) == (0, 10, 10)
    assert kit.incidents() == [("breach", True)]
    for decide in (lambda: kit.buy(1), lambda: kit.sell(1), lambda: kit.insert_intent()):
        with pytest.raises(QuantityBreached):
            decide()
    assert kit.buy(1, symbol=OTHER)
    assert kit.audit() == []

    kit.call("execution", "select order_cancelled(%s, %s, 0)", sent.order_id, sent.fence)

    assert kit.position().breach_qty == 0
    assert kit.incidents() == [("breach", False)]
    assert kit.buy(1)
    assert kit.audit() == []


def test_a_breach_of_quantity_shrinks_with_each_share_bought_back(kit, ghost):
    buying = kit.live_order("BUY", 10, 70_000)
    kit.live_order("SELL", 10, 60_000)
    kit.fill(ghost, 10, 60_000)

    kit.fill(buying, 4, 70_000)

    assert kit.position().breach_qty == 6
    kit.fill(buying, 6, 70_000)
    assert kit.position().breach_qty == 0
    assert kit.incidents() == [("breach", False)]
    assert kit.audit() == []


def test_a_withdrawal_sheds_buys_that_were_not_sent(kit):
    older, newer = kit.buy(100), kit.buy(100)

    kit.move_cash(-90_000_000)

    assert (kit.intent_row(older).status, kit.intent_row(newer).status) == ("NEW", "CANCELLED")
    assert kit.balance().breach_cash == 0
    assert kit.incidents() == [("breach", False)]
    assert kit.audit() == []


def test_a_withdrawal_under_a_sent_order_is_a_breach_until_cash_is_back(kit):
    kit.hold(10)
    kit.live_order("BUY", 100, 70_000)

    assert kit.move_cash(-99_000_000) == 100_000_000 - 700_000 - 99_000_000

    balance = kit.balance()
    assert balance.breach_cash == balance.locked_cash - balance.cash > 0
    assert kit.incidents() == [("breach", True)]
    with pytest.raises(CashBreached):
        kit.buy(1)
    with pytest.raises(CashBreached):
        kit.insert_intent()
    assert kit.sell(1)
    assert kit.audit() == []

    kit.move_cash(99_000_000)

    assert kit.balance().breach_cash == 0
    assert kit.incidents() == [("breach", False)]
    assert kit.buy(1)
    assert kit.audit() == []


def test_fees_beyond_the_reserve_are_paid_and_breach_what_others_reserved(kit):
    kit.move_cash(-98_000_000)
    first = kit.live_order("BUY", 10, 70_000)
    second = kit.live_order("BUY", 18, 70_000)

    assert kit.fill(first, 10, 70_000, fee=100_000) == "RECORDED"

    balance = kit.balance()
    assert balance.cash == 2_000_000 - 800_000
    assert balance.breach_cash == balance.locked_cash - balance.cash > 0
    assert kit.incidents() == [("breach", True)]
    kit.call("execution", "select order_cancelled(%s, %s, 0)", second.order_id, second.fence)
    assert kit.balance().breach_cash == 0
    assert kit.incidents() == [("breach", False)]
    assert kit.audit() == []


def test_an_overfill_is_kept_and_paid(kit):
    kit.move_cash(-99_000_000)
    order = kit.live_order("BUY", 10, 70_000)

    assert kit.fill(order, 20, 70_000) == "RECORDED"

    row = kit.order(order.order_id)
    assert (row.filled_qty, row.overfill_qty, row.status) == (10, 10, "FILLED")
    assert kit.intent_row(row.intent_id).overfill_qty == 10
    assert kit.position().qty == 20
    assert kit.balance().cash == 1_000_000 - 1_400_000
    assert kit.balance().breach_cash == 400_000
    with pytest.raises(CashBreached):
        kit.buy(1)
    assert kit.audit() == []
