"""A restored backup or a copy trades only after a person has adopted it, and sends nothing twice."""

import pytest

from tests.sql.laws.market_kit import refusal
from tests.sql.laws.runs.runs_kit import CODE, adopt, instance, make_foreign, mode


def test_only_a_person_with_the_code_adopts(kit):
    make_foreign(kit)

    assert refusal(lambda: kit.call("router", "select adopt('why', %s)", CODE)) == "42501"
    wrong = [adopt(kit, "wrong") for _ in range(2)]
    assert [answer.adopted for answer in wrong] == [False, False]
    assert len({answer.message for answer in wrong}) == 2, "each try is remembered"
    resumed = kit.rows("desk", "select * from resume('why', %s)", CODE)[0]
    assert (resumed.resumed, instance(kit).is_foreign) == (False, True)

    assert adopt(kit).adopted
    assert mode(kit).mode == "HALT", "adopting is not resuming"
    assert kit.rows("desk", "select * from resume('why', %s)", CODE)[0].resumed
    assert not adopt(kit).adopted, "once is enough"
    assert kit.incidents() == [("foreign_database", False)]


def test_nothing_is_sent_before_the_adoption_not_even_what_was_approved(kit):
    kit.hold(10)
    resting = kit.live_order("BUY", 1, 60_000)
    kit.call("desk", "select halt('why')")
    sell = kit.sell(5)
    kit.call("desk", "select approve(%s, 'get out')", sell)
    make_foreign(kit)
    kit.open_account()
    kit.call("risk", "select enforce_modes()")
    cancels = "select * from claim_cancels(%s, 10)"
    amends = "select * from claim_amends(%s, 10)"
    kit.db.execute("update trade.orders set amend_at = bus.clock(), amend_price = 60000")

    assert kit.order(resting.order_id).cancel_requested_at is not None
    assert kit.claim() == []
    assert kit.rows("execution", cancels, kit.worker()) == []
    assert kit.rows("execution", amends, kit.worker()) == []


def test_what_waited_expires_and_what_was_sent_is_asked_about(kit):
    kit.hold(10)
    resting = kit.live_order("BUY", 1, 60_000)
    kit.buy(2, 60_000)
    sending = kit.claim_one()
    waiting = kit.buy(3, 60_000)
    make_foreign(kit)

    assert adopt(kit).message.startswith("adopted: 1 intents expired, 2 orders in doubt")

    assert kit.intent_row(waiting).status == "EXPIRED"
    for order in (resting, sending):
        row = kit.order(order.order_id)
        assert (row.status, row.fence) == ("IN_DOUBT", order.fence + 1)
    asked = kit.rows("execution", "select * from claim_doubts(%s, 10)", kit.worker())
    assert {order.order_id for order in asked} == {resting.order_id, sending.order_id}
    assert kit.audit() == []


@pytest.mark.parametrize("answer", ["rejected", "not found"])
def test_what_was_sent_before_an_adoption_is_never_tried_again(kit, answer):
    """A second attempt may already have been filled in the history that was lost."""
    kit.intent("BUY", 1, 60_000, ttl="1 hour")
    order = kit.claim_one()
    make_foreign(kit)
    adopt(kit)
    kit.call("desk", "select resume('why', %s)", CODE)
    kit.advance(seconds=60)

    for _ in range(9):
        for asked in kit.rows("execution", "select * from claim_doubts(%s, 10)", kit.worker()):
            if answer == "rejected":
                reject = "select order_rejected(%s, %s, 'BUSY', 'later', true)"
                kit.call("execution", reject, asked.order_id, asked.fence)
            else:
                kit.call("execution", "select order_not_found(%s, %s)", asked.order_id, asked.fence)
        kit.advance(seconds=10)
    kit.open_account()

    assert kit.order(order.order_id).closed_at is not None
    assert kit.claim() == []
    assert kit.audit() == []


def test_a_refused_order_of_the_present_epoch_is_tried_again(kit):
    """Control for the test above: without an adoption, such an order is tried again."""
    kit.intent("BUY", 1, 60_000, ttl="1 hour")
    order = kit.claim_one()
    reject = "select order_rejected(%s, %s, 'BUSY', 'later', true)"
    kit.call("execution", reject, order.order_id, order.fence)
    kit.advance(seconds=2)

    (again,) = kit.claim()

    assert again.client_order_id != order.client_order_id


def test_after_an_adoption_orders_have_numbers_no_broker_has_heard(kit):
    before = instance(kit).epoch
    make_foreign(kit)
    adopt(kit)
    kit.call("desk", "select resume('why', %s)", CODE)
    kit.open_account()
    kit.buy(1)

    order = kit.claim_one()

    assert not order.client_order_id.startswith(before)
    assert order.client_order_id.startswith(instance(kit).epoch)


def test_the_audit_forgives_the_broker_only_what_it_heard_in_a_lost_history(kit):
    lost = instance(kit).epoch
    heard = """
        insert into paper.orders
            (client_order_id, account, instrument_id, side, order_type, quantity, limit_price)
        values (%s, 'demo', 1, 'BUY', 'LIMIT', 1, 1)
    """
    kit.db.execute(heard, [f"{lost}-7-1"])
    kit.advance(hours=-1)  # the audit goes by order numbers, not times: the clock may have been set back
    make_foreign(kit)
    assert kit.audit() == []

    kit.db.execute(heard, [f"{lost}-8-1"])
    kit.db.execute(heard, [f"{instance(kit).epoch}-9-1"])

    assert [(row.law, row.violation.split()[5]) for row in kit.audit()] == [
        ("L6", f"{lost}-8-1,"),
        ("L6", f"{instance(kit).epoch}-9-1,"),
    ]
