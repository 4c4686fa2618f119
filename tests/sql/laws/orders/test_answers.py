"""L6: an answer of the broker may arrive twice or out of order."""

import pytest

from tests.sql.laws.market_kit import refusal
from tests.sql.laws.orders.orders_kit import UNIQUE, call


def test_an_acceptance_reported_twice_changes_nothing(kit):
    order = kit.live_order("BUY", 10, 70_000)
    before = len(kit.events("intent"))

    kit.accept(order)

    assert kit.order(order.order_id).status == "SUBMITTED"
    assert len(kit.events("intent")) == before


def test_a_number_the_broker_gives_to_two_orders_is_kept_for_the_first_and_reported(kit):
    kit.buy(1)
    first = kit.claim_one()
    kit.accept(first, "B1")
    kit.buy(1)
    order = kit.claim_one()

    kit.accept(order, "B1")

    accepted = kit.order(order.order_id)
    assert (accepted.status, accepted.broker_order_id) == ("SUBMITTED", None)
    assert kit.order(first.order_id).broker_order_id == "B1"
    assert kit.incidents() == [("duplicate_order_number", True)]
    assert kit.fill(order, 1, 70_000) == "RECORDED"
    assert kit.audit() == []


def test_no_two_orders_of_an_account_have_one_number_of_the_broker(kit):
    kit.buy(1)
    kit.accept(kit.claim_one(), "B1")
    kit.buy(1)
    order = kit.claim_one()
    twice = f"update trade.orders set broker_order_id = 'B1' where order_id = {order.order_id}"

    assert refusal(lambda: kit.db.execute(twice.encode())) == UNIQUE


@pytest.mark.parametrize("for_now", ["true", "false"])
def test_a_rejection_reported_twice_touches_neither_the_next_attempt_nor_itself(kit, for_now):
    intent_id = kit.buy(10)
    reject = "order_rejected(%s, %s, 'BUSY', 'later', {})"
    first = kit.claim_one()
    call(kit, reject.format("true"), first)
    before = kit.order(first.order_id)
    kit.advance(seconds=2)
    second = kit.claim_one()

    refusal(lambda: call(kit, reject.format(for_now), first))

    assert kit.intent_row(intent_id).status == "CLAIMED"
    assert kit.order(second.order_id).status == "SENDING"
    assert kit.order(first.order_id) == before
    assert kit.claim() == []


def test_a_definite_rejection_is_never_tried_again(kit):
    intent_id = kit.buy(10)
    call(kit, "order_rejected(%s, %s, 'APBK0400', 'not enough', false)", kit.claim_one())
    kit.advance(seconds=30)

    assert kit.claim() == []
    assert kit.intent_row(intent_id).status == "REJECTED"


def test_a_rejection_for_now_waits_a_second_and_is_tried_three_times(kit):
    intent_id = kit.buy(10)
    for _ in range(3):
        call(kit, "order_rejected(%s, %s, 'BUSY', 'later', true)", kit.claim_one())
        assert kit.claim() == []
        kit.advance(seconds=1)

    assert kit.claim() == []
    assert kit.intent_row(intent_id).status == "CANCELLED"


def test_an_order_filled_before_its_rejection_keeps_its_fills(kit):
    kit.buy(10)
    order = kit.claim_one()
    kit.fill(order, 4, 70_000)

    call(kit, "order_rejected(%s, %s, 'X', 'rest refused', true)", order)

    assert kit.order(order.order_id).status == "CANCELLED"
    assert kit.intent_row(1).status == "CANCELLED"
    assert kit.position().qty == 4
    assert kit.audit() == []
