"""L5 and L6: an intent has one live order, never larger than itself, and no order is sent twice."""

from decimal import Decimal

import psycopg
import pytest

from tests.sql.laws.market_kit import MINUTE, OTHER, refusal
from workers.runtime.errors import ExposureExceeded, IllegalMove, LostFence, NotAllowed, NotFound

UNIQUE = "23505"


def call(kit, query, order, *more):
    return kit.call("execution", f"select {query}", order.order_id, order.fence, *more)


def unsend(kit, order):
    return call(kit, "unsend(%s, %s)", order)


def unknown(kit, order):
    return call(kit, "order_unknown(%s, %s, 'timeout')", order)


def not_found(kit, order):
    return call(kit, "order_not_found(%s, %s)", order)


def doubts(kit, limit=10):
    return kit.rows("execution", "select * from claim_doubts(%s, %s)", kit.worker(), limit)


def claimed_intent(kit, **row):
    intent_id = kit.insert_intent(**row)
    kit.db.execute("update trade.order_intents set status = 'CLAIMED' where intent_id = %s", [intent_id])
    return intent_id


# -- L5: one live order, never more than the intent --------------------------------------------------------


def test_an_intent_has_at_most_one_live_order(kit):
    intent_id = claimed_intent(kit, quantity=10, reserved_cash=700_000)
    kit.insert_order(intent_id)

    assert refusal(lambda: kit.insert_order(intent_id)) == UNIQUE


def test_an_order_has_at_most_one_pending_child(kit):
    intent_id = claimed_intent(kit, quantity=10, reserved_cash=700_000)
    parent = kit.insert_order(intent_id)
    child = {"is_pending": True, "parent_order_id": parent}
    kit.insert_order(intent_id, **child)

    assert refusal(lambda: kit.insert_order(intent_id, **child)) == UNIQUE


def test_a_pending_child_does_not_live_beside_its_parent(kit):
    intent_id = claimed_intent(kit, quantity=10, reserved_cash=700_000)
    parent = kit.insert_order(intent_id)
    child = kit.insert_order(intent_id, is_pending=True, parent_order_id=parent)

    update = "update trade.orders set is_pending = false where order_id = %s"

    assert refusal(lambda: kit.db.execute(update, [child])) == UNIQUE


@pytest.mark.parametrize(
    "row",
    [
        {"quantity": 11},
        {"limit_price": 70_001},
        {"side": "SELL"},
        {"account_id": 2},
        {"instrument_id": 2},
    ],
)
def test_an_order_beyond_its_intent_is_refused(kit, row):
    kit.add_account("second")
    intent_id = claimed_intent(kit, quantity=10, reserved_cash=700_000)

    with pytest.raises(ExposureExceeded):
        kit.insert_order(intent_id, **row)


def test_an_order_below_the_worst_price_of_a_sell_is_refused(kit):
    kit.hold(10)
    kit.sell(10, 60_000)
    kit.db.execute("update trade.order_intents set status = 'CLAIMED' where status = 'NEW'")

    with pytest.raises(ExposureExceeded):
        kit.insert_order(2, side="SELL", quantity=10, limit_price=59_900)


def test_an_order_for_what_is_already_filled_is_refused(kit):
    kit.buy(10)
    order = kit.claim_one()
    kit.fill(order, 4, 70_000)
    kit.db.execute("update trade.orders set status = 'CANCELLED', closed_at = now()")

    with pytest.raises(ExposureExceeded):
        kit.insert_order(1, quantity=7)
    assert kit.insert_order(1, quantity=6)


@pytest.mark.parametrize("status", ["NEW", "PENDING_APPROVAL", "CANCELLED"])
def test_an_order_of_an_intent_nobody_claimed_is_refused(kit, status):
    intent_id = kit.insert_intent(status="PENDING_APPROVAL" if status == "PENDING_APPROVAL" else "NEW")
    if status == "CANCELLED":
        kit.call("desk", "select cancel_intent(%s, 'test')", intent_id)

    with pytest.raises(ExposureExceeded):
        kit.insert_order(intent_id)


@pytest.mark.parametrize(
    "row",
    [
        {"quantity": 0},
        {"limit_price": 0},
        {"filled_qty": 2},
        {"filled_qty": -1},
        {"overfill_qty": -1},
        {"client_order_id": ""},
        {"client_order_id": "x" * 37},
        {"claimed_by": None},
        {"order_type": "STOP"},
        {"is_pending": True},
        {"amend_at": "2026-03-02"},
        {"closed_at": "2026-03-02"},
    ],
)
def test_an_order_that_makes_no_sense_is_refused(kit, row):
    intent_id = claimed_intent(kit)

    assert refusal(lambda: kit.insert_order(intent_id, **row)) == "23514"


def test_a_client_order_id_is_never_used_again(kit):
    order = kit.live_order("BUY", 10, 70_000)
    call(kit, "order_cancelled(%s, %s, 0)", order)
    intent_id = claimed_intent(kit)

    assert refusal(lambda: kit.insert_order(intent_id, client_order_id=order.client_order_id)) == UNIQUE


def test_each_attempt_of_an_intent_gets_its_own_client_order_id(kit):
    kit.buy(1)
    seen = []
    for _ in range(3):
        order = kit.claim_one()
        seen.append(order.client_order_id)
        unsend(kit, order)

    assert len(set(seen)) == 3
    assert kit.claim() == []


# -- L6: claims --------------------------------------------------------------------------------------------


def test_a_claim_stores_the_order_before_it_hands_it_out(kit):
    kit.buy(10)

    order = kit.claim_one()

    row = kit.order(order.order_id)
    assert (row.status, row.claimed_by, row.client_order_id) == (
        "SENDING",
        kit.worker(),
        order.client_order_id,
    )
    assert row.send_before - kit.now == order.send_within


def test_two_workers_at_once_get_each_intent_once(kit):
    intents = {kit.buy(1) for _ in range(10)}
    first, second = kit.connect("execution"), kit.connect("execution")
    workers = kit.register(first), kit.register(second)
    claim = "select * from claim_intents(%s, %s)"
    with first.transaction():
        one = kit.rows(first, claim, workers[0], 4)
        two = kit.background(second, claim, workers[1], 100)
        two.result(20)
    rest = kit.rows(first, claim, workers[0], 100)

    owners = kit.rows(kit.db, "select intent_id, claimed_by from trade.orders")
    assert {row.intent_id for row in owners} == intents
    assert len(owners) == 10
    assert len(one) == 4
    assert rest == []


def test_a_hundred_claims_by_four_workers_hand_out_each_intent_once(kit):
    intents = {kit.buy(1) for _ in range(100)}
    conns = [kit.connect("execution") for _ in range(4)]
    workers = [(conn, kit.register(conn)) for conn in conns]

    def work(conn, worker):
        found = []
        while batch := kit.rows(conn, "select * from claim_intents(%s, 3)", worker):
            found += batch
        return found

    futures = [kit.pool.submit(work, conn, worker) for conn, worker in workers]
    orders = [order for future in futures for order in future.result(30)]
    orders += kit.claim()

    assert len({order.client_order_id for order in orders}) == len(orders) == 100
    assert {row.intent_id for row in kit.rows(kit.db, "select intent_id from trade.orders")} == intents
    assert kit.audit() == []


def test_sells_are_handed_out_before_buys(kit):
    kit.hold(10)
    kit.buy(1)
    kit.sell(1)

    assert [order.side for order in kit.claim(1)] == ["SELL"]


def test_no_more_is_handed_out_than_there_are_tokens(kit):
    kit.db.execute("insert into bus.rate_limits values ('paper', 2, 3, 3, %s)", [kit.now])
    for _ in range(10):
        kit.buy(1)

    handed = []
    for pause in (0, 0, 1, 30):
        kit.advance(seconds=pause)
        orders = kit.claim()
        handed.append(len(orders))
        for order in orders:
            kit.accept(order)

    assert handed == [3, 0, 2, 3]


def test_an_expired_intent_is_not_claimed(kit):
    kit.buy(1)
    kit.advance(minutes=1)

    assert kit.claim() == []


def test_an_account_takes_no_part_before_it_agreed_with_its_broker_since_the_start(kit):
    kit.buy(1)
    kit.advance(seconds=1)
    kit.call("supervisor", "select begin_run()")

    assert kit.claim() == []
    kit.open_account()
    assert len(kit.claim()) == 1


@pytest.mark.parametrize("who", ["nobody", "another login", "a stopped worker"])
def test_only_a_living_worker_of_this_login_claims(kit, who):
    kit.buy(1)
    worker = {
        "nobody": lambda: 999,
        "another login": lambda: kit.register(kit.at("reconcile")),
        "a stopped worker": lambda: kit.worker(),
    }[who]()
    if who == "a stopped worker":
        kit.call("execution", "select stop_worker(%s)", worker)

    for function in ("claim_intents", "claim_cancels", "claim_doubts", "claim_amends"):
        with pytest.raises(NotAllowed):
            kit.rows("execution", f"select * from {function}(%s, 1)", worker)


# -- L6: unsend, doubt and the fence -----------------------------------------------------------------------


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


# -- answers that arrive twice or out of order -------------------------------------------------------------


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


# -- cancels -----------------------------------------------------------------------------------------------


def cancels(kit):
    return kit.rows("execution", "select * from claim_cancels(%s, 10)", kit.worker())


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


def test_a_worker_may_hold_only_its_own_lock(kit):
    other = kit.connect("reconcile")

    with pytest.raises(NotAllowed):
        kit.call(other, "select hold_worker_lock(%s)", kit.worker())
    assert not kit.call("desk", "select bool_or(not is_alive) from workers")


def test_a_session_that_ended_holds_no_worker_lock(kit):
    conn = kit.connect("execution")
    worker = kit.register(conn)
    query = "select is_alive from workers where worker_id = %s"
    assert kit.call("desk", query, worker)
    pid = conn.info.backend_pid

    kit.db.execute("select pg_terminate_backend(%s, 5000)", [pid])

    assert not kit.call("desk", query, worker)
    with pytest.raises(psycopg.OperationalError):
        conn.execute("select 1")


def test_an_intent_waits_until_its_time(kit):
    intent_id = kit.buy(1)
    kit.db.execute(
        "update trade.order_intents set not_before = %s where intent_id = %s",
        [kit.now + MINUTE / 2, intent_id],
    )

    assert kit.claim() == []
    kit.advance(seconds=30)
    assert len(kit.claim()) == 1


def test_an_order_that_should_have_left_and_did_not_answer_blocks_its_symbol_and_side(kit):
    kit.buy(1)
    kit.claim_one()
    kit.advance(seconds=1.1)
    kit.buy(1)
    kit.buy(1, symbol=OTHER)

    assert [order.symbol for order in kit.claim()] == [OTHER]
