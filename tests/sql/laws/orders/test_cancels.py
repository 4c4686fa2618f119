"""A cancel goes to one worker at a time, and waits for the fills that the broker counted."""

from tests.sql.laws.orders.orders_kit import call, cancels


def test_a_cancel_is_handed_to_one_worker_for_one_lease(kit):
    order = kit.live_order("BUY", 10, 70_000)
    kit.call("desk", "select cancel_intent(1, 'test')")

    first, again = cancels(kit), cancels(kit)
    kit.advance(seconds=10)

    assert (len(first), len(again), len(cancels(kit))) == (1, 0, 1)
    assert first[0].order_id == order.order_id


def test_a_cancel_waits_for_fills_the_broker_counted(kit):
    order = kit.live_order("BUY", 10, 70_000)
    kit.call("desk", "select cancel_intent(1, 'test')")
    (asked,) = cancels(kit)

    assert call(kit, "order_cancelled(%s, %s, 4)", asked) == "FILLS_FIRST"
    kit.fill(order, 4, 70_000)
    assert call(kit, "order_cancelled(%s, %s, 4)", asked) == "CANCELLED"

    assert kit.intent_row(1).status == "CANCELLED"
    assert kit.position().qty == 4
    assert kit.audit() == []


def test_a_fill_and_a_cancel_at_once_end_in_one_order(kit):
    order = kit.live_order("BUY", 10, 70_000)
    first, second = kit.connect("execution"), kit.connect("reconcile")
    with first.transaction():
        kit.fill(order, 10, 70_000, by=first)
        query = "select order_cancelled(%s, %s, 0)"
        late = kit.background(second, query, order.order_id, order.fence)
        kit.wait_for_lock(second)

    assert late.result(20) == [("FILLED",)]
    assert kit.intent_row(1).status == "FILLED"
    assert kit.audit() == []
