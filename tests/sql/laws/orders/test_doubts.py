"""L6: an order that may have left is in doubt, blocks its symbol and side, and is asked about."""

from decimal import Decimal

import pytest

from tests.sql.laws.market_kit import OTHER, refusal
from tests.sql.laws.orders.orders_kit import call, doubts, not_found, unknown, unsend
from workers.runtime.errors import IllegalMove, LostFence, NotFound


def test_an_unsent_order_is_over_and_its_intent_waits_again(kit):
    intent_id = kit.buy(10)
    order = kit.claim_one()

    unsend(kit, order)

    assert kit.order(order.order_id).status == "CANCELLED"
    assert kit.intent_row(intent_id).status == "NEW"
    assert kit.balance().locked_cash == Decimal("700105")
    assert kit.audit() == []


@pytest.mark.parametrize("after", ["accepted", "unknown", "unsent", "filled"])
def test_an_order_that_may_have_left_cannot_be_taken_back(kit, after):
    kit.buy(10)
    order = kit.claim_one()
    {
        "accepted": lambda: kit.accept(order),
        "unknown": lambda: unknown(kit, order),
        "unsent": lambda: unsend(kit, order),
        "filled": lambda: kit.fill(order, 1, 70_000),
    }[after]()

    with pytest.raises(IllegalMove):
        unsend(kit, order)


def test_an_order_of_a_dead_worker_is_in_doubt_once_its_time_to_leave_has_passed(kit):
    kit.buy(10)
    dying = kit.connect("execution")
    worker = kit.register(dying)
    (order,) = kit.rows(dying, "select * from claim_intents(%s, 1)", worker)
    pid = dying.info.backend_pid
    dying.close()
    kit.wait_until("select not exists (select from pg_stat_activity where pid = %s)", pid)

    assert doubts(kit) == []
    kit.advance(seconds=1)
    assert doubts(kit) == []
    kit.advance(seconds=0.1)
    (doubt,) = doubts(kit)

    assert doubt.order_id == order.order_id
    assert doubt.fence > order.fence
    assert kit.order(order.order_id).status == "IN_DOUBT"


def test_an_order_of_a_living_worker_is_in_doubt_only_after_its_time_to_answer(kit):
    kit.buy(10)
    kit.claim_one()

    kit.advance(seconds=6)
    assert doubts(kit) == []
    kit.advance(seconds=0.1)

    assert len(doubts(kit)) == 1


def test_an_answer_without_a_fence_is_refused(kit):
    kit.buy(1)
    order = kit.claim_one()

    assert refusal(lambda: kit.call("execution", "select unsend(%s, null)", order.order_id)) == "TRL03"
    assert (
        refusal(lambda: kit.call("execution", "select order_accepted(%s, null, 'B1')", order.order_id))
        == "TRL03"
    )


def test_who_lost_the_fence_can_answer_nothing(kit):
    kit.buy(10)
    order = kit.claim_one()
    kit.advance(seconds=7)
    (doubt,) = doubts(kit)

    for query in (
        "unsend(%s, %s)",
        "order_accepted(%s, %s, 'B1')",
        "order_rejected(%s, %s, 'X', 'no', false)",
        "order_unknown(%s, %s, 'timeout')",
        "order_not_found(%s, %s)",
        "order_cancelled(%s, %s, 0)",
    ):
        with pytest.raises(LostFence):
            call(kit, query, order)
        with pytest.raises(NotFound):
            kit.call("execution", f"select {query}", 999, 1)
    call(kit, "order_accepted(%s, %s, 'B1')", doubt)
    assert kit.order(order.order_id).status == "SUBMITTED"


def test_an_order_in_doubt_is_asked_about_by_one_worker_for_one_lease(kit):
    kit.buy(10)
    unknown(kit, kit.claim_one())

    first, again = doubts(kit), doubts(kit)
    kit.advance(seconds=10)
    later = doubts(kit)

    assert (len(first), len(again), len(later)) == (1, 0, 1)
    assert later[0].fence > first[0].fence


@pytest.mark.parametrize(
    ("side", "symbol", "is_blocked"),
    [("BUY", None, True), ("SELL", None, False), ("BUY", OTHER, False)],
)
def test_a_doubt_blocks_its_symbol_and_side_and_nothing_else(kit, side, symbol, is_blocked):
    kit.hold(10)
    kit.buy(10)
    unknown(kit, kit.claim_one())
    options = {"symbol": symbol} if symbol else {}
    kit.intent(side, 1, 70_000 if side == "BUY" else 60_000, **options)

    assert len(kit.claim()) == (0 if is_blocked else 1)


def test_a_resolved_doubt_blocks_nothing(kit):
    kit.buy(10)
    order = kit.claim_one()
    unknown(kit, order)
    kit.buy(1)
    kit.accept(order)

    assert len(kit.claim()) == 1


def test_not_found_counts_only_after_the_order_must_have_been_seen(kit):
    kit.db.execute("update trade.brokers set visibility_lag = '2 s', not_found_needed = 2")
    intent_id = kit.buy(10)
    order = kit.claim_one()
    unknown(kit, order)

    assert not_found(kit, order) == "TOO_EARLY"
    kit.advance(seconds=8)  # 1 s to be sent, 5 s to be answered, 2 s visibility lag
    assert not_found(kit, order) == "TOO_EARLY"
    kit.advance(seconds=0.1)
    assert not_found(kit, order) == "ASK_AGAIN"
    assert kit.intent_row(intent_id).status == "CLAIMED"
    assert not_found(kit, order) == "CANCELLED"

    assert kit.order(order.order_id).status == "CANCELLED"
    assert kit.intent_row(intent_id).status == "NEW"


def test_an_order_the_broker_answered_for_is_not_lost_before_its_fills_were_read(kit):
    order = kit.live_order("BUY", 10, 70_000)
    kit.advance(minutes=1)

    assert not_found(kit, order) == "FILLS_FIRST"
    assert kit.order(order.order_id).status == "SUBMITTED"


def test_an_order_that_should_have_left_and_did_not_answer_blocks_its_symbol_and_side(kit):
    kit.buy(1)
    kit.claim_one()
    kit.advance(seconds=1.1)
    kit.buy(1)
    kit.buy(1, symbol=OTHER)

    assert [order.symbol for order in kit.claim()] == [OTHER]
