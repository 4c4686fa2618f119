"""Orders the broker no longer knows: asked about, given up after clean checks, reported to a person."""

import pytest

from tests.sql.laws.market_kit import refusal
from tests.sql.laws.orders.orders_kit import answer, cancels, is_stray, never_had

pytestmark = pytest.mark.usefixtures("laws_hold")

READ = "select advance_fills_cursor('demo', '')"


def doubts(kit):
    return kit.rows("execution", "select * from claim_doubts(%s, 10)", kit.worker())


def checks(kit, station="execution"):
    return kit.rows(station, "select * from claim_checks(%s, 100)", kit.worker(station))


def look(kit, ref):
    """Read the broker's fills, then report the order as not found."""
    kit.call("execution", READ)
    return kit.call("execution", "select order_not_found(%s, %s)", ref.order_id, ref.fence)


def overdue(kit):
    return [row.state for row in kit.rows("desk", "select state from overdue order by state")]


@pytest.fixture
def order(kit):
    """A buy of ten at a broker that needs three not-found answers before an order counts as lost."""
    kit.db.execute("update trade.brokers set not_found_needed = 3")
    order = kit.live_order("BUY", 10, 70_000, ttl="1 day")
    kit.advance(seconds=7)
    return order


def test_a_cancel_of_what_the_broker_does_not_know_ends_after_as_many_clean_looks_as_it_needs(kit, order):
    kit.call("desk", "select cancel_intent(1, 'test')")
    (asked,) = cancels(kit)

    said = [look(kit, asked)]
    while kit.order(order.order_id).closed_at is None:
        assert cancels(kit) == [], "it is looked for, not cancelled again"
        (asked,) = doubts(kit)
        said.append(look(kit, asked))
        kit.advance(seconds=1)

    assert said == ["IN_DOUBT", "ASK_AGAIN", "ASK_AGAIN", "CANCELLED"]
    assert (kit.intent_row(1).status, kit.balance().locked_cash) == ("CANCELLED", 0)
    assert kit.incidents() == [("lost_order", True)]


def test_an_order_that_is_found_after_all_is_cancelled_as_it_was_asked(kit, order):
    kit.call("desk", "select cancel_intent(1, 'test')")
    look(kit, cancels(kit)[0])
    (asked,) = doubts(kit)
    look(kit, asked)

    answer(kit, "order_accepted", order, "B")

    row = kit.order(order.order_id)
    assert (row.status, row.not_found_count) == ("SUBMITTED", 0)
    assert [cancel.order_id for cancel in cancels(kit)] == [order.order_id]


def test_what_was_accepted_is_not_lost_before_its_fills_were_read_after_the_question(kit, order):
    kit.call("execution", READ)
    kit.advance(minutes=1)
    (asked,) = checks(kit)

    assert answer(kit, "order_not_found", asked) == "FILLS_FIRST"
    assert kit.order(order.order_id).status == "SUBMITTED"
    kit.call("execution", READ)
    kit.advance(seconds=1)
    assert answer(kit, "order_not_found", asked) == "IN_DOUBT"


def test_what_was_accepted_and_lost_is_not_tried_again(kit, order):
    kit.db.execute("update trade.brokers set not_found_needed = 1")
    assert [look(kit, kit.order(order.order_id)) for _ in range(2)] == ["IN_DOUBT", "CANCELLED"]

    assert kit.claim() == []
    assert kit.fill(order, 4, 70_000) == "RECORDED"
    assert is_stray(kit, order), "it was there after all"


def test_a_parent_is_not_lost_while_its_child_may_be_in_its_place(kit, fallen, child):
    kit.advance(seconds=7)

    assert look(kit, kit.order(fallen.order_id)) == "AMEND_FIRST"


def test_the_stop_of_a_lost_exit_fires_again(kit, resting):
    kit.advance(minutes=1)
    (asked,) = checks(kit)
    assert look(kit, asked) == "IN_DOUBT"
    (asked,) = doubts(kit)
    assert look(kit, asked) == "CANCELLED"

    kit.quote(60_000, 60_100)
    assert kit.call("exits", "select fire_exits()") == 1
    assert len(kit.claim()) == 1


# -- live orders are asked about ---------------------------------------------------------------------------


def test_a_live_order_is_asked_about_each_minute_nobody_has(kit, order):
    assert checks(kit) == []
    kit.advance(seconds=53)
    (asked,) = checks(kit)
    assert (asked.order_id, asked.fence) == (order.order_id, order.fence + 1)
    assert kit.call("execution", "select doubts from orders_waiting()") is False
    kit.call("execution", "select order_accepted(%s, %s, 'B')", asked.order_id, asked.fence)

    kit.advance(seconds=59)
    assert checks(kit) == []
    kit.advance(seconds=1)
    assert kit.call("execution", "select doubts from orders_waiting()") is True
    assert len(checks(kit)) == 1


def test_an_order_whose_acceptance_was_never_reported_is_asked_about_too(kit):
    kit.buy(10, ttl="1 day")
    order = kit.claim_one()
    kit.fill(order, 4, 70_000)
    kit.advance(minutes=1)

    assert [asked.order_id for asked in checks(kit)] == [order.order_id]


def test_a_broker_is_asked_about_ten_a_second_whoever_asks(kit):
    for _ in range(25):
        kit.buy(1, ttl="1 day")
    for order in kit.claim():
        kit.accept(order)
    kit.advance(minutes=2)

    found = []
    for _ in range(3):
        found.append(len(checks(kit)))
        assert checks(kit, "reconcile") == []
        kit.advance(seconds=1)

    assert found == [10, 10, 5]


# -- giving up an order by hand ----------------------------------------------------------------------------

LOST = "select declare_lost(%s, 'gone')"


def test_a_person_gives_up_an_order_that_nobody_can_get_rid_of(kit, order):
    kit.call("desk", "select cancel_intent(1, 'test')")
    (asked,) = cancels(kit)

    assert kit.call("desk", LOST, order.order_id) == "CANCELLED"

    assert (kit.intent_row(1).status, kit.balance().locked_cash) == ("CANCELLED", 0)
    assert kit.order(order.order_id).closed_reason == "declared lost by aegis_desk: gone"
    late = f"select order_cancelled({asked.order_id}, {asked.fence}, 0)"
    assert refusal(lambda: kit.call("execution", late)) == "TRL03"
    assert refusal(lambda: kit.call("desk", LOST, order.order_id)) == "TRL01"
    assert "declared lost" in [event.change for event in kit.events("order")]


def test_a_stray_that_nobody_can_get_rid_of_is_given_up_too(kit):
    kit.buy(10)
    order = kit.claim_one()
    never_had(kit, order)
    answer(kit, "order_accepted", order, "B")

    kit.call("desk", LOST, order.order_id)

    assert (is_stray(kit, order), kit.balance().locked_cash) == (False, 0)
    assert kit.incidents() == [("stray_order", False)]


def test_an_order_that_never_answered_is_not_tried_again_after_a_persons_word(kit):
    kit.buy(10)
    order = kit.claim_one()
    kit.advance(seconds=7)

    kit.call("desk", LOST, order.order_id)

    assert kit.intent_row(1).status == "CANCELLED"


def test_what_may_be_on_its_way_is_not_given_up(kit, fallen, child):
    assert refusal(lambda: kit.call("desk", LOST, child.order_id)) == "TRL01"
    kit.advance(seconds=7)
    assert refusal(lambda: kit.call("desk", LOST, fallen.order_id)) == "TRL01"
    assert refusal(lambda: kit.call("desk", LOST, 4711)) == "TRI02"

    kit.call("desk", LOST, child.order_id)
    kit.call("desk", LOST, fallen.order_id)

    assert kit.position("momo").locked_qty == 0


@pytest.mark.parametrize("station", ["execution", "risk", "feed"])
def test_nobody_but_a_person_gives_up_an_order(kit, order, station):
    assert refusal(lambda: kit.call(station, LOST, order.order_id)) == "42501"


# -- how long a state may last -----------------------------------------------------------------------------


def sending(kit):
    kit.buy(10, ttl="1 day")
    return kit.claim_one()


def in_doubt(kit):
    answer(kit, "order_unknown", sending(kit), "timeout")


def cancel_asked(kit):
    kit.live_order("BUY", 10, 70_000, ttl="1 day")
    kit.call("desk", "select cancel_intent(1, 'test')")


def unheard(kit):
    kit.live_order("BUY", 10, 70_000, ttl="1 day")


def a_stray(kit):
    order = sending(kit)
    answer(kit, "order_rejected", order, "X", "no", False)
    answer(kit, "order_accepted", order, "B")


@pytest.mark.parametrize(
    ("make", "minutes", "state"),
    [
        (sending, 1, "order SENDING"),
        (in_doubt, 5, "order IN_DOUBT"),
        (cancel_asked, 5, "order with a cancel asked"),
        (unheard, 6, "order not checked"),
        (a_stray, 5, "order stray"),
        (lambda kit: kit.buy(10), 2, "intent past its time"),
        (sending, 10, "intent CLAIMED"),
    ],
)
def test_a_state_that_lasts_too_long_is_an_incident_until_it_is_over(kit, make, minutes, state):
    kit.advance(minutes=20)
    kit.open_account()
    make(kit)
    kit.advance(minutes=minutes, seconds=-1)
    assert state not in overdue(kit)
    kit.advance(seconds=3)

    assert state in overdue(kit)
    assert kit.call("risk", "select report_overdue()") == len(overdue(kit))
    assert kit.call("risk", "select report_overdue()") == 0, "once"

    for row in kit.rows(
        kit.db, "select order_id from trade.orders where closed_at is null or stray_since is not null"
    ):
        kit.call("desk", LOST, row.order_id)
    kit.call("risk", "select expire_due()")
    kit.call("risk", "select report_overdue()")
    assert ("overdue", True) not in kit.incidents()


def test_every_limit_of_a_state_says_what_ends_it_and_is_looked_at(kit):
    limits = {row.state for row in kit.rows(kit.db, "select * from trade.state_limits where because <> ''")}
    view = kit.call(kit.db, "select pg_get_viewdef('api.overdue'::regclass)")

    assert all(f"'{state}'" in view for state in limits)
    assert len(limits) == 7


def test_while_nothing_ran_nothing_is_overdue(kit, order):
    kit.advance(hours=9)
    kit.call("supervisor", "select begin_run()")

    assert overdue(kit) == []
