"""L2 and L3: what an intent reserved is released exactly once, however it ends."""

import pytest

from tests.sql.laws.reservations.costs import cost


def cancel_waiting(kit, intent_id):
    kit.call("desk", "select cancel_intent(%s, 'test')", intent_id)
    kit.call("desk", "select cancel_intent(%s, 'again')", intent_id)


def expire_waiting(kit, intent_id):
    kit.advance(minutes=2)
    kit.call("risk", "select expire_due()")
    kit.call("risk", "select expire_due()")


def reject_pending(kit, intent_id):
    kit.db.execute(
        "update trade.order_intents set status = 'PENDING_APPROVAL' where intent_id = %s", [intent_id]
    )
    kit.call("desk", "select reject(%s, 'no')", intent_id)


def broker_rejects(kit, intent_id):
    order = kit.claim_one()
    for _ in range(2):
        kit.call("execution", "select order_rejected(%s, %s, 'X', 'no', false)", order.order_id, order.fence)


def broker_rejects_for_now_three_times(kit, intent_id):
    for _ in range(3):
        order = kit.claim_one()
        kit.call("execution", "select order_rejected(%s, %s, 'X', 'no', true)", order.order_id, order.fence)
        kit.advance(seconds=2)


def unsent_three_times(kit, intent_id):
    for _ in range(3):
        order = kit.claim_one()
        kit.call("execution", "select unsend(%s, %s)", order.order_id, order.fence)


def broker_never_had_it_three_times(kit, intent_id):
    for _ in range(3):
        order = kit.claim_one()
        kit.call("execution", "select order_unknown(%s, %s, 'timeout')", order.order_id, order.fence)
        kit.advance(seconds=7)
        assert (
            kit.call("execution", "select order_not_found(%s, %s)", order.order_id, order.fence)
            == "CANCELLED"
        )


def cancelled_at_the_broker(kit, intent_id):
    order = kit.claim_one()
    kit.accept(order)
    kit.call("desk", "select cancel_intent(%s, 'test')", intent_id)
    for _ in range(2):
        kit.call("execution", "select order_cancelled(%s, %s, 0)", order.order_id, order.fence)


def partly_filled_then_cancelled(kit, intent_id):
    order = kit.claim_one()
    kit.accept(order)
    kit.fill(order, 4, 70_000)
    kit.call("execution", "select order_cancelled(%s, %s, 4)", order.order_id, order.fence)


def filled_in_three(kit, intent_id):
    order = kit.claim_one()
    for quantity in (1, 2, 7):
        kit.fill(order, quantity, 70_000)
    kit.accept(order)


def overfilled(kit, intent_id):
    order = kit.claim_one()
    kit.accept(order)
    kit.fill(order, 12, 70_000)


WAYS_OUT = {
    cancel_waiting: "CANCELLED",
    expire_waiting: "EXPIRED",
    reject_pending: "REJECTED",
    broker_rejects: "REJECTED",
    broker_rejects_for_now_three_times: "CANCELLED",
    unsent_three_times: "CANCELLED",
    broker_never_had_it_three_times: "CANCELLED",
    cancelled_at_the_broker: "CANCELLED",
    partly_filled_then_cancelled: "CANCELLED",
    filled_in_three: "FILLED",
    overfilled: "FILLED",
}


@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize("way_out", WAYS_OUT, ids=lambda way: way.__name__)
def test_what_was_reserved_is_freed_once_however_an_intent_ends(kit, way_out, side):
    kit.hold(100)
    price = 70_000 if side == "BUY" else 60_000
    intent_id = kit.intent(side, 10, price)
    kit.intent(side, 7, price)  # another intent, whose reservation must stay

    way_out(kit, intent_id)

    row = kit.intent_row(intent_id)
    assert row.status == WAYS_OUT[way_out]
    assert (row.reserved_qty, row.reserved_cash) == (0, 0)
    bystander = 0 if way_out is expire_waiting else 7
    assert kit.position().locked_qty == (bystander if side == "SELL" else 0)
    assert kit.balance().locked_cash == (cost(bystander) if side == "BUY" else 0)
    assert kit.audit() == []
