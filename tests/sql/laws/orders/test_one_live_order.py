"""L5: an intent has one live order, never larger than itself, and each attempt a number of its own."""

import pytest

from tests.sql.laws.market_kit import refusal
from tests.sql.laws.orders.orders_kit import UNIQUE, call, claimed_intent, unsend
from workers.runtime.errors import ExposureExceeded


def test_an_intent_has_at_most_one_live_order(kit):
    intent_id = claimed_intent(kit, quantity=10, reserved_cash=700_000)
    kit.insert_order(intent_id)

    assert refusal(lambda: kit.insert_order(intent_id)) == UNIQUE


def test_an_order_has_at_most_one_pending_child(kit):
    intent_id = claimed_intent(kit, quantity=10, reserved_cash=700_000)
    parent = kit.insert_order(intent_id)
    child = {"is_pending": True, "parent_order_id": parent}
    kit.insert_order(intent_id, **child)

    assert refusal(lambda: kit.insert_order(intent_id, **child)) == UNIQUE


def test_a_pending_child_does_not_live_beside_its_parent(kit):
    intent_id = claimed_intent(kit, quantity=10, reserved_cash=700_000)
    parent = kit.insert_order(intent_id)
    child = kit.insert_order(intent_id, is_pending=True, parent_order_id=parent)

    update = "update trade.orders set is_pending = false where order_id = %s"

    assert refusal(lambda: kit.db.execute(update, [child])) == UNIQUE


@pytest.mark.parametrize(
    "row",
    [
        {"quantity": 11},
        {"limit_price": 70_001},
        {"side": "SELL"},
        {"account_id": 2},
        {"instrument_id": 2},
    ],
)
def test_an_order_beyond_its_intent_is_refused(kit, row):
    kit.add_account("second")
    intent_id = claimed_intent(kit, quantity=10, reserved_cash=700_000)

    with pytest.raises(ExposureExceeded):
        kit.insert_order(intent_id, **row)


def test_an_order_below_the_worst_price_of_a_sell_is_refused(kit):
    kit.hold(10)
    kit.sell(10, 60_000)
    kit.db.execute("update trade.order_intents set status = 'CLAIMED' where status = 'NEW'")

    with pytest.raises(ExposureExceeded):
        kit.insert_order(2, side="SELL", quantity=10, limit_price=59_900)


def test_an_order_for_what_is_already_filled_is_refused(kit):
    kit.buy(10)
    order = kit.claim_one()
    kit.fill(order, 4, 70_000)
    kit.db.execute("update trade.orders set status = 'CANCELLED', closed_at = now()")

    with pytest.raises(ExposureExceeded):
        kit.insert_order(1, quantity=7)
    assert kit.insert_order(1, quantity=6)


@pytest.mark.parametrize("status", ["NEW", "PENDING_APPROVAL", "CANCELLED"])
def test_an_order_of_an_intent_nobody_claimed_is_refused(kit, status):
    intent_id = kit.insert_intent(status="PENDING_APPROVAL" if status == "PENDING_APPROVAL" else "NEW")
    if status == "CANCELLED":
        kit.call("desk", "select cancel_intent(%s, 'test')", intent_id)

    with pytest.raises(ExposureExceeded):
        kit.insert_order(intent_id)


@pytest.mark.parametrize(
    "row",
    [
        {"quantity": 0},
        {"limit_price": 0},
        {"filled_qty": 2},
        {"filled_qty": -1},
        {"overfill_qty": -1},
        {"client_order_id": ""},
        {"client_order_id": "x" * 37},
        {"claimed_by": None},
        {"order_type": "STOP"},
        {"is_pending": True},
        {"amend_at": "2026-03-02"},
        {"closed_at": "2026-03-02"},
    ],
)
def test_an_order_that_makes_no_sense_is_refused(kit, row):
    intent_id = claimed_intent(kit)

    assert refusal(lambda: kit.insert_order(intent_id, **row)) == "23514"


def test_a_client_order_id_is_never_used_again(kit):
    order = kit.live_order("BUY", 10, 70_000)
    call(kit, "order_cancelled(%s, %s, 0)", order)
    intent_id = claimed_intent(kit)

    assert refusal(lambda: kit.insert_order(intent_id, client_order_id=order.client_order_id)) == UNIQUE


def test_each_attempt_of_an_intent_gets_its_own_client_order_id(kit):
    kit.buy(1)
    seen = []
    for _ in range(3):
        order = kit.claim_one()
        seen.append(order.client_order_id)
        unsend(kit, order)

    assert len(set(seen)) == 3
    assert kit.claim() == []
