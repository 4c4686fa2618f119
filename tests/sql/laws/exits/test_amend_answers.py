"""What the broker answers about an amend, and fills of the parent and of its child."""

import pytest

from tests.sql.laws.exits.exits_kit import amends, answer, fire, intent_of, sold, statuses
from tests.sql.laws.market_kit import refusal
from tests.sql.laws.orders.orders_kit import cancels

pytestmark = pytest.mark.usefixtures("laws_hold")


# -- refused, lost, not sent -------------------------------------------------------------------------------


def fails(kit, child, how):
    if how == "rejected":
        answer(kit, "order_rejected", child, "X", "no such order", False)
    elif how == "rejected for now":
        answer(kit, "order_rejected", child, "X", "busy", True)
    elif how == "unsent":
        answer(kit, "unsend", child)
    else:
        answer(kit, "order_unknown", child, "timeout")
        kit.advance(seconds=7)
        assert answer(kit, "order_not_found", child) == "CANCELLED"


@pytest.mark.parametrize("how", ["rejected", "rejected for now", "unsent", "never had"])
def test_an_amend_that_failed_is_not_tried_again_but_its_parent_cancelled_and_the_stop_fires_again(
    kit, fallen, child, how
):
    fails(kit, child, how)

    assert statuses(kit, fallen, child) == [
        "SUBMITTED",
        "REJECTED" if how.startswith("rejected") else "CANCELLED",
    ]
    assert kit.order(fallen.order_id).amend_at is None
    for _ in range(3):
        assert amends(kit) == []
        kit.advance(seconds=1)

    (cancel,) = cancels(kit)
    assert cancel.order_id == fallen.order_id
    assert answer(kit, "order_cancelled", cancel, 0) == "CANCELLED"
    assert intent_of(kit, fallen).status == "CANCELLED"
    assert kit.position("momo").locked_qty == 0

    kit.quote(60_000, 60_100)
    assert fire(kit) == 1
    assert (kit.claim_one().limit_price, kit.position("momo").locked_qty) == (58_200, 10)


def test_an_unknown_answer_is_a_doubt_that_is_asked_about_and_blocks_the_symbol(kit, fallen, child):
    answer(kit, "order_unknown", child, "timeout")

    assert statuses(kit, fallen, child) == ["SUBMITTED", "IN_DOUBT"]
    assert kit.order(child.order_id).is_pending
    assert amends(kit) == []
    kit.hold(5)
    kit.sell(5)
    assert kit.claim() == []

    (asked,) = kit.rows("execution", "select * from claim_doubts(%s, 10)", kit.worker())
    assert asked.order_id == child.order_id
    assert answer(kit, "order_not_found", asked) == "TOO_EARLY"
    answer(kit, "order_accepted", asked, "B-child", 10)

    assert statuses(kit, fallen, child) == ["REPLACED", "SUBMITTED"]
    assert len(kit.claim()) == 1


def test_a_child_whose_worker_died_is_asked_about(kit, fallen, child):
    kit.advance(seconds=7)

    (asked,) = kit.rows("execution", "select * from claim_doubts(%s, 10)", kit.worker())

    assert (asked.order_id, statuses(kit, child)) == (child.order_id, ["IN_DOUBT"])
    assert refusal(lambda: answer(kit, "order_accepted", child, "late", 10)) == "TRL03"


# -- fills of parent and child -----------------------------------------------------------------------------


def test_what_the_parent_was_filled_before_is_left_out_of_the_child(kit, fallen):
    sold(kit, fallen, 4)
    (child,) = amends(kit)

    assert child.quantity == 6
    answer(kit, "order_accepted", child, "B-child", 6)
    sold(kit, child, 6, 60_000)

    assert statuses(kit, fallen, child) == ["REPLACED", "FILLED"]
    assert intent_of(kit, child).status == "FILLED"
    assert kit.position("momo").qty == 0


def test_a_parent_that_was_filled_wholly_is_not_amended(kit, fallen):
    sold(kit, fallen, 10)

    assert amends(kit) == []


@pytest.mark.parametrize("reported", [6, None, 0], ids=["six", "not reported", "nothing"])
def test_a_fill_of_the_parent_while_the_child_is_under_way_makes_the_child_smaller(
    kit, fallen, child, reported
):
    sold(kit, fallen, 4)

    answer(kit, "order_accepted", child, "B-child", reported)

    assert (kit.order(child.order_id).quantity, statuses(kit, fallen, child)) == (
        6,
        ["REPLACED", "SUBMITTED"],
    )
    assert kit.order(child.order_id).cancel_requested_at is None


def test_a_parent_that_is_filled_before_its_child_arrives_ends_the_matter(kit, fallen, child):
    sold(kit, fallen, 10)
    answer(kit, "order_rejected", child, "X", "no such order", False)

    assert statuses(kit, fallen, child) == ["FILLED", "REJECTED"]
    assert intent_of(kit, fallen).status == "FILLED"
    assert (kit.position("momo").qty, kit.position("momo").locked_qty) == (0, 0)
    assert cancels(kit) == []


def test_a_late_fill_of_the_replaced_parent_counts_and_what_is_too_much_is_called_back(kit, fallen, child):
    answer(kit, "order_accepted", child, "B-child", 10)

    sold(kit, fallen, 4)

    assert kit.order(fallen.order_id).status == "REPLACED"
    assert kit.position("momo").qty == 6
    assert [cancel.order_id for cancel in cancels(kit)] == [child.order_id]


@pytest.mark.parametrize(("quantity", "status"), [(4, "PARTIAL_FILLED"), (10, "FILLED")])
def test_a_fill_of_the_child_says_that_it_was_accepted(kit, fallen, child, quantity, status):
    sold(kit, child, quantity, 60_000)

    assert statuses(kit, fallen, child) == ["REPLACED", status]
    answer(kit, "order_accepted", child, "B-child", 10)
    assert statuses(kit, fallen, child) == ["REPLACED", status]
    assert kit.position("momo").qty == 10 - quantity
