"""A stray (ended here, live at the broker) blocks new orders, stays reserved, and is cancelled there."""

import pytest

from tests.sql.laws.market_kit import OTHER, refusal
from tests.sql.laws.orders.orders_kit import answer, cancels, is_stray, never_had

pytestmark = pytest.mark.usefixtures("laws_hold")


@pytest.fixture
def stray(kit):
    """A buy of ten that the broker first reported as not found and then accepted."""
    kit.buy(10)
    order = kit.claim_one()
    never_had(kit, order)
    answer(kit, "order_accepted", order, "B")
    return order


def test_it_is_cancelled_and_no_second_order_goes_out_until_it_is_gone(kit, stray):
    again = kit.buy(10)
    other = kit.buy(10, symbol=OTHER)
    assert [kit.order(order.order_id).intent_id for order in kit.claim()] == [other]
    assert kit.incidents() == [("stray_order", True)]

    (cancel,) = cancels(kit)
    assert (cancel.order_id, cancel.broker_order_id) == (stray.order_id, "B")
    assert answer(kit, "order_cancelled", stray, 0) == "CANCELLED"

    assert kit.incidents() == [("stray_order", False)]
    assert cancels(kit) == []
    assert [kit.order(order.order_id).intent_id for order in kit.claim()] == [again]
    assert kit.order(stray.order_id).status == "CANCELLED", "terminal stays terminal"


def test_its_cancel_goes_out_again_after_each_lease_until_the_broker_has_said_it_is_gone(kit, stray):
    assert len(cancels(kit)) == 1
    assert cancels(kit) == []
    kit.advance(seconds=11)
    assert len(cancels(kit)) == 1
    answer(kit, "order_accepted", stray, "B")
    assert is_stray(kit, stray)


def test_what_it_may_still_spend_is_reserved_and_a_fill_of_it_frees_its_part(kit, stray):
    each = kit.balance().locked_cash / 10
    assert each == 70_000 * (1 + kit.intent_row(1).reserve_rate)
    assert kit.balance().stray_cash == kit.balance().locked_cash

    assert kit.fill(stray, 4, 70_000) == "RECORDED"
    assert kit.balance().locked_cash == 6 * each
    assert kit.fill(stray, 6, 70_000) == "RECORDED"

    assert (kit.balance().locked_cash, is_stray(kit, stray)) == (0, False)
    assert kit.incidents() == [("stray_order", False)]
    assert cancels(kit) == []


def test_one_that_cash_does_not_cover_is_a_breach_and_not_an_error(kit):
    kit.buy(10)
    order = kit.claim_one()
    answer(kit, "order_rejected", order, "X", "no", False)
    kit.move_cash(-99_900_000)
    waiting = kit.buy(1, symbol=OTHER)

    answer(kit, "order_accepted", order, "B")

    assert kit.balance().breach_cash > 0
    assert kit.intent_row(waiting).status == "CANCELLED", "what was not sent is released"
    assert refusal(lambda: kit.buy(1, symbol=OTHER)) == "TRC02"
    answer(kit, "order_cancelled", order, 0)
    assert kit.balance().breach_cash == 0


def test_one_that_the_position_does_not_cover_is_a_breach_and_not_an_error(kit):
    kit.hold(10)
    kit.sell(10)
    order = kit.claim_one()
    never_had(kit, order)
    again = kit.claim_one()
    kit.accept(again)

    answer(kit, "order_accepted", order, "B")

    position = kit.position()
    assert (position.locked_qty, position.stray_qty, position.breach_qty) == (20, 10, 10)
    kit.fill(order, 4, 70_000)
    assert [cancel.order_id for cancel in cancels(kit)] == [order.order_id, again.order_id]
    answer(kit, "order_cancelled", order, 4)
    assert kit.position().breach_qty == 0


def test_a_stop_does_not_sell_what_a_stray_may_sell_and_fires_once_that_is_gone(kit, fallen, child):
    never_had(kit, child)

    assert kit.fill(child, 4, 60_000) == "RECORDED"

    assert [kit.order(o.order_id).status for o in (fallen, child)] == ["REPLACED", "CANCELLED"]
    assert is_stray(kit, child)
    position = kit.position("momo")
    assert (position.qty, position.locked_qty, position.stray_qty) == (6, 6, 6)
    kit.quote(60_000, 60_100)
    assert kit.call("exits", "select fire_exits()") == 0

    (cancel,) = cancels(kit)
    assert cancel.order_id == child.order_id
    answer(kit, "order_cancelled", child, 4)

    kit.quote(60_000, 60_100)
    assert kit.call("exits", "select fire_exits()") == 1
    assert (kit.claim_one().quantity, kit.position("momo").locked_qty) == (6, 6)


def test_whoever_lost_the_fence_is_heard_about_an_order_that_has_ended_and_about_no_other(kit):
    kit.buy(10)
    order = kit.claim_one()
    kit.advance(seconds=7)
    (asked,) = kit.rows("execution", "select * from claim_doubts(%s, 10)", kit.worker())
    late = f"select order_accepted({order.order_id}, {order.fence}, 'B')"
    assert refusal(lambda: kit.call("execution", late)) == "TRL03"
    answer(kit, "order_not_found", asked)

    kit.call("execution", late)

    assert is_stray(kit, order)


def test_an_order_the_broker_has_ended_is_no_stray_whatever_is_reported_again(kit):
    order = kit.live_order("BUY", 10, 70_000)
    answer(kit, "order_cancelled", order, 0)

    answer(kit, "order_accepted", order, "B")
    kit.fill(order, 4, 70_000)

    assert not is_stray(kit, order)
    assert kit.balance().locked_cash == 0


def test_fills_the_broker_counts_of_an_order_that_ended_are_an_incident_until_they_come(kit):
    order = kit.live_order("BUY", 10, 70_000)
    answer(kit, "order_cancelled", order, 0)

    assert answer(kit, "order_cancelled", order, 4) == "CANCELLED"
    assert kit.incidents() == [("missing_fills", True)]

    kit.fill(order, 4, 70_000)
    assert kit.incidents() == [("missing_fills", False)]


def test_a_cancel_that_was_asked_while_an_order_was_on_its_way_is_not_answered_by_another_attempt(kit):
    intent = kit.buy(10)
    order = kit.claim_one()
    kit.call("desk", "select cancel_intent(%s, 'test')", intent)

    never_had(kit, order)

    assert kit.intent_row(intent).status == "CANCELLED"
    assert kit.claim() == []


@pytest.mark.parametrize("fact", ["accepted", "filled"])
def test_the_child_of_a_parent_in_doubt_is_heard_of(kit, fallen, child, fact):
    """As after an adoption, which makes us ask about every order sent."""
    kit.db.execute("update trade.orders set status = 'IN_DOUBT' where order_id = %s", [fallen.order_id])

    if fact == "accepted":
        answer(kit, "order_accepted", child, "B-child", 10)
    else:
        assert kit.fill(child, 4, 60_000) == "RECORDED"

    assert kit.order(fallen.order_id).status == "REPLACED"


@pytest.mark.parametrize(
    "change",
    [
        "stray_since = now()",
        "stray_since = now(), cancel_requested_at = now(), filled_qty = quantity",
        "stray_since = now(), cancel_requested_at = now(), broker_ended_at = now()",
    ],
)
def test_a_stray_is_being_cancelled_or_it_is_none(kit, change):
    order = kit.live_order("BUY", 10, 70_000)
    answer(kit, "order_rejected", order, "X", "no", False)

    query = f"update trade.orders set {change} where order_id = {order.order_id}"
    assert refusal(lambda: kit.db.execute(query.encode())) == "23514"


@pytest.mark.parametrize("table", ["positions", "balances"])
def test_what_strays_lock_is_part_of_what_is_locked(kit, table):
    kit.hold(10)
    column = "stray_qty" if table == "positions" else "stray_cash"

    for value in (1, -1):
        query = f"update trade.{table} set {column} = {value}"
        assert refusal(lambda q=query: kit.db.execute(q.encode())) == "23514"
