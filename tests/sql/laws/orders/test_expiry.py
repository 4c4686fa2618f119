"""An intent ends at its time or when a person cancels it; a live order is asked to cancel."""

from tests.sql.laws.market_kit import refusal


def expire(kit):
    return kit.call("risk", "select expire_due()")


def test_a_waiting_intent_ends_at_its_time_and_not_before(kit):
    intent_id = kit.buy(1)
    kit.advance(seconds=59)
    assert expire(kit) == 0
    kit.advance(seconds=1)

    assert expire(kit) == 1
    assert kit.intent_row(intent_id).status == "EXPIRED"
    assert expire(kit) == 0


def test_a_live_order_past_its_time_is_asked_to_cancel_once(kit):
    order = kit.live_order("BUY", 1, 70_000)
    kit.advance(seconds=60)

    assert [expire(kit), expire(kit)] == [1, 0]
    assert kit.order(order.order_id).cancel_requested_at is not None
    kit.call("execution", "select order_cancelled(%s, %s, 0)", order.order_id, order.fence)
    assert kit.intent_row(1).status == "EXPIRED"


def test_cancelling_says_what_it_did(kit):
    waiting = kit.buy(1)
    cancel = "select cancel_intent(%s, 'test')"

    assert kit.call("desk", cancel, waiting) == "cancelled"
    assert kit.call("desk", cancel, waiting) == "it had already ended"
    kit.live_order("BUY", 1, 70_000)
    assert kit.call("desk", cancel, waiting + 1) == "a cancel of its order was requested"
    assert refusal(lambda: kit.call("desk", cancel, 999)) == "TRI02"


def test_an_approval_and_an_expiry_at_once_leave_one_of_them(kit):
    intent_id = kit.insert_intent(status="PENDING_APPROVAL")
    kit.advance(seconds=60)
    desk, risk = kit.connect("desk"), kit.connect("risk")
    with risk.transaction():
        assert kit.call(risk, "select expire_due()") == 1
        late = kit.background(desk, "select approve(%s, 'yes')", intent_id)
        kit.wait_for_lock(desk)

    assert refusal(lambda: late.result(20)) == "TRL01"
    assert kit.intent_row(intent_id).status == "EXPIRED"
    assert kit.audit() == []


def test_the_tables_know_when_something_is_due(kit):
    assert kit.call("risk", "select next_due()") is None
    kit.buy(1)

    assert kit.call("risk", "select next_due()").total_seconds() == 60
    kit.claim_one()
    assert kit.call("risk", "select next_due()").total_seconds() == 1
