"""An amend replaces the open quantity of an order by a child order, stored before the broker gets it.

In these tests a stop escalates a resting take-profit: the only reason for an amend, and it must not fail.
"""

import pytest

from tests.sql.laws.exits.exits_kit import amends, answer, fire, intent_of, sold, statuses
from tests.sql.laws.market_kit import refusal
from tests.sql.laws.orders.orders_kit import cancels

pytestmark = pytest.mark.usefixtures("laws_hold")


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
