"""An amend replaces the open quantity of an order by a child order, stored before the broker gets it.

In these tests a stop escalates a resting take-profit: the only reason for an amend, and it must not fail.
"""

import pytest

from tests.sql.laws.market_kit import refusal


def fire(kit):
    return kit.call("exits", "select fire_exits()")


def amends(kit):
    return kit.rows("execution", "select * from claim_amends(%s, 10)", kit.worker())


def cancels(kit):
    return kit.rows("execution", "select * from claim_cancels(%s, 10)", kit.worker())


def answer(kit, function, order, *args):
    places = ", ".join(["%s"] * (len(args) + 2))
    return kit.call("execution", f"select {function}({places})", order.order_id, order.fence, *args)


def statuses(kit, *orders):
    return [kit.order(order.order_id).status for order in orders]


def intent_of(kit, order):
    return kit.intent_row(kit.order(order.order_id).intent_id)


def sold(kit, order, quantity, price=74_000):
    assert kit.fill(order, quantity, price) == "RECORDED"


@pytest.fixture
def resting(kit):
    """A take-profit of ten resting at the broker; ten are held at 70,000, with the stop at 67,900."""
    kit.add_strategy()
    kit.hold(10, owner="momo")
    return kit.live_order("SELL", 10, 74_000, owner="momo", intent_type="EXIT")


@pytest.fixture
def fallen(kit, resting):
    """The price has fallen through the stop, and the stop has fired."""
    kit.quote(60_000, 60_100)
    assert fire(kit) == 1
    return resting


@pytest.fixture
def child(kit, fallen):
    """The child order that will replace the resting take-profit."""
    (child,) = amends(kit)
    return child


@pytest.fixture(autouse=True)
def laws_hold(kit):
    yield
    assert kit.audit() == []


# -- a stop does not wait for a take-profit ----------------------------------------------------------------


def test_a_stop_turns_what_rests_into_a_sell_that_must_get_out(kit, fallen):
    intent, order = intent_of(kit, fallen), kit.order(fallen.order_id)

    assert (intent.reason, intent.limit_price, intent.worst_price) == ("STOP_LOSS", None, 58_200)
    assert intent.escalated_at == order.amend_at == kit.now
    assert order.amend_price == 58_200, "the bid less 3 %"
    assert (intent.reserved_qty, kit.position("momo").locked_qty) == (10, 10)
    assert kit.call(kit.db, "select count(*) from trade.order_intents where side = 'SELL'") == 1


def test_a_stop_escalates_once_however_far_the_price_falls(kit, fallen):
    kit.quote(50_000, 50_100)

    assert fire(kit) == 0
    assert intent_of(kit, fallen).worst_price == 58_200


def test_a_price_above_the_stop_leaves_the_take_profit_alone(kit, resting):
    kit.quote(68_000, 68_100)

    assert fire(kit) == 0
    assert amends(kit) == []


def test_a_take_profit_that_was_not_sent_yet_goes_at_the_price_of_the_stop(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    kit.sell(10, 74_000, owner="momo", intent_type="EXIT")
    kit.quote(60_000, 60_100)

    assert fire(kit) == 1

    assert kit.claim_one().limit_price == 58_200
    assert amends(kit) == []


# -- one child at a time -----------------------------------------------------------------------------------


def test_a_worker_that_looked_before_another_stored_the_child_stores_none(kit, fallen):
    """It saw no child, then stalled before taking the lock; by then another worker had stored one."""
    late, keeper = kit.connect("execution"), kit.connect("superuser")
    keeper.execute(
        """
        create function trade.dawdle() returns boolean language plpgsql security definer as $$
        begin
            perform pg_advisory_xact_lock_shared(4711) where current_setting('aegis.dawdles', true) = 'yes';
            return true;
        end
        $$
        """
    )
    due = kit.call(keeper, "select pg_get_viewdef('trade.amends_due'::regclass)")
    keeper.execute(
        f"create or replace view trade.amends_due as {due.rstrip(';')} and trade.dawdle()".encode()
    )
    keeper.execute("select pg_advisory_lock(4711)")
    late.execute("set aegis.dawdles = 'yes'")
    dawdling = kit.background(late, "select * from claim_amends(%s, 10)", kit.register(late))
    kit.wait_for_lock(late)

    (child,) = amends(kit)
    keeper.execute("select pg_advisory_unlock(4711)")

    assert dawdling.result(20) == []
    assert kit.order(child.order_id).is_pending


# -- the child is stored next to its parent ----------------------------------------------------------------


def test_a_child_is_stored_before_the_broker_hears_of_it_and_waits_beside_its_parent(kit, fallen):
    (child,) = amends(kit)

    assert (child.parent_client_order_id, child.parent_broker_order_id) == (
        fallen.client_order_id,
        f"B{fallen.order_id}",
    )
    row = kit.order(child.order_id)
    assert (row.status, row.is_pending, row.parent_order_id) == ("SENDING", True, fallen.order_id)
    assert (child.side, child.quantity, child.limit_price) == ("SELL", 10, 58_200)
    assert child.client_order_id != fallen.client_order_id
    assert statuses(kit, fallen) == ["SUBMITTED"]
    assert kit.position("momo").locked_qty == 10, "the same ten are sold once"


def test_an_amend_is_handed_out_once(kit, child):
    assert amends(kit) == []


def test_accepted_it_takes_its_parents_place(kit, fallen, child):
    answer(kit, "order_accepted", child, "B-child", 10)

    assert statuses(kit, fallen, child) == ["REPLACED", "SUBMITTED"]
    assert not kit.order(child.order_id).is_pending
    sold(kit, child, 10, 60_000)
    assert intent_of(kit, child).status == "FILLED"
    assert kit.position("momo").qty == 0


def test_reported_twice_that_it_was_accepted_it_stays_as_it_is(kit, fallen, child):
    answer(kit, "order_accepted", child, "B-child", 10)
    answer(kit, "order_accepted", child, "B-child", 10)

    assert statuses(kit, fallen, child) == ["REPLACED", "SUBMITTED"]


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


@pytest.mark.parametrize("told", [6, None, 0], ids=["told", "not told", "told nothing"])
def test_a_fill_of_the_parent_while_the_child_is_under_way_makes_the_child_smaller(kit, fallen, child, told):
    sold(kit, fallen, 4)

    answer(kit, "order_accepted", child, "B-child", told)

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


# -- cancels and modes -------------------------------------------------------------------------------------


def test_a_cancel_waits_until_it_is_known_what_became_of_the_child(kit, fallen, child):
    kit.call("desk", "select cancel_intent(%s, 'test')", kit.order(fallen.order_id).intent_id)
    (cancel,) = cancels(kit)

    assert answer(kit, "order_cancelled", cancel, 0) == "AMEND_FIRST"
    assert statuses(kit, fallen, child) == ["SUBMITTED", "SENDING"]

    answer(kit, "order_rejected", child, "X", "", False)
    assert answer(kit, "order_cancelled", cancel, 0) == "CANCELLED"
    assert intent_of(kit, fallen).status == "CANCELLED"
    assert kit.position("momo").locked_qty == 0


def test_a_cancel_reaches_the_child_that_took_its_parents_place(kit, fallen, child):
    kit.call("desk", "select cancel_intent(%s, 'test')", kit.order(fallen.order_id).intent_id)
    answer(kit, "order_accepted", child, "B-child", 10)

    (cancel,) = cancels(kit)

    assert (cancel.order_id, cancel.broker_order_id) == (child.order_id, "B-child")
    assert answer(kit, "order_cancelled", cancel, 0) == "CANCELLED"
    assert statuses(kit, fallen, child) == ["REPLACED", "CANCELLED"]
    assert kit.position("momo").locked_qty == 0


def test_an_order_that_was_asked_to_cancel_is_not_amended(kit, fallen):
    kit.call("desk", "select cancel_intent(%s, 'test')", kit.order(fallen.order_id).intent_id)

    assert amends(kit) == []


def test_no_child_is_stored_while_the_mode_forbids_it(kit, fallen):
    kit.call("desk", "select halt('test')")

    assert amends(kit) == []
    assert kit.call(kit.db, "select count(*) from trade.orders where is_pending") == 0
    assert ("failed_item", True) not in kit.incidents()


def test_a_mode_that_stops_buying_lets_a_sell_be_amended(kit, fallen):
    kit.call("desk", "select safe('test')")

    assert len(amends(kit)) == 1


def test_a_snapshot_that_could_miss_a_halt_is_refused(kit, fallen):
    conn = kit.connect("execution")
    worker = kit.register(conn)
    conn.execute("set default_transaction_isolation = 'repeatable read'")

    assert refusal(lambda: kit.call(conn, "select order_id from claim_amends(%s, 1)", worker)) == "TRM02"
