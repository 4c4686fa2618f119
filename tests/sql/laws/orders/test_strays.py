"""A stray (ended here, live at the broker) blocks new orders, stays reserved, and is cancelled there."""

import pytest

from tests.sql.laws.exits.test_amends import child, fallen, resting  # noqa: F401 (fixtures)
from tests.sql.laws.market_kit import FILL, OTHER, SYMBOL, refusal


def answer(kit, function, order, *args):
    places = ", ".join(["%s"] * (len(args) + 2))
    fence = kit.order(order.order_id).fence
    return kit.call("execution", f"select {function}({places})", order.order_id, fence, *args)


def cancels(kit):
    return kit.rows("execution", "select * from claim_cancels(%s, 10)", kit.worker())


def never_had(kit, order):
    answer(kit, "order_unknown", order, "timeout")
    kit.advance(seconds=7)
    assert answer(kit, "order_not_found", order) == "CANCELLED"


def is_stray(kit, order):
    return kit.order(order.order_id).stray_since is not None


@pytest.fixture(autouse=True)
def laws_hold(kit):
    yield
    assert kit.audit() == []


@pytest.fixture
def stray(kit):
    """A buy of ten that the broker first reported as not found and then accepted."""
    kit.buy(10)
    order = kit.claim_one()
    never_had(kit, order)
    answer(kit, "order_accepted", order, "B")
    return order


def test_it_is_cancelled_and_no_second_order_goes_out_until_it_is_gone(kit, stray):
    again = kit.buy(10)
    other = kit.buy(10, symbol=OTHER)
    assert [kit.order(order.order_id).intent_id for order in kit.claim()] == [other]
    assert kit.incidents() == [("stray_order", True)]

    (cancel,) = cancels(kit)
    assert (cancel.order_id, cancel.broker_order_id) == (stray.order_id, "B")
    assert answer(kit, "order_cancelled", stray, 0) == "CANCELLED"

    assert kit.incidents() == [("stray_order", False)]
    assert cancels(kit) == []
    assert [kit.order(order.order_id).intent_id for order in kit.claim()] == [again]
    assert kit.order(stray.order_id).status == "CANCELLED", "terminal stays terminal"


def test_its_cancel_goes_out_again_after_each_lease_until_the_broker_has_said_it_is_gone(kit, stray):
    assert len(cancels(kit)) == 1
    assert cancels(kit) == []
    kit.advance(seconds=11)
    assert len(cancels(kit)) == 1
    answer(kit, "order_accepted", stray, "B")
    assert is_stray(kit, stray)


def test_what_it_may_still_spend_is_reserved_and_a_fill_of_it_frees_its_part(kit, stray):
    each = kit.balance().locked_cash / 10
    assert each == 70_000 * (1 + kit.intent_row(1).reserve_rate)
    assert kit.balance().stray_cash == kit.balance().locked_cash

    assert kit.fill(stray, 4, 70_000) == "RECORDED"
    assert kit.balance().locked_cash == 6 * each
    assert kit.fill(stray, 6, 70_000) == "RECORDED"

    assert (kit.balance().locked_cash, is_stray(kit, stray)) == (0, False)
    assert kit.incidents() == [("stray_order", False)]
    assert cancels(kit) == []


def test_one_that_cash_does_not_cover_is_a_breach_and_not_an_error(kit):
    kit.buy(10)
    order = kit.claim_one()
    answer(kit, "order_rejected", order, "X", "no", False)
    kit.move_cash(-99_900_000)
    waiting = kit.buy(1, symbol=OTHER)

    answer(kit, "order_accepted", order, "B")

    assert kit.balance().breach_cash > 0
    assert kit.intent_row(waiting).status == "CANCELLED", "what was not sent is released"
    assert refusal(lambda: kit.buy(1, symbol=OTHER)) == "TRC02"
    answer(kit, "order_cancelled", order, 0)
    assert kit.balance().breach_cash == 0


def test_one_that_the_position_does_not_cover_is_a_breach_and_not_an_error(kit):
    kit.hold(10)
    kit.sell(10)
    order = kit.claim_one()
    never_had(kit, order)
    again = kit.claim_one()
    kit.accept(again)

    answer(kit, "order_accepted", order, "B")

    position = kit.position()
    assert (position.locked_qty, position.stray_qty, position.breach_qty) == (20, 10, 10)
    kit.fill(order, 4, 70_000)
    assert [cancel.order_id for cancel in cancels(kit)] == [order.order_id, again.order_id]
    answer(kit, "order_cancelled", order, 4)
    assert kit.position().breach_qty == 0


def test_a_stop_does_not_sell_what_a_stray_may_sell_and_fires_once_that_is_gone(kit, fallen, child):  # noqa: F811
    never_had(kit, child)

    assert kit.fill(child, 4, 60_000) == "RECORDED"

    assert [kit.order(o.order_id).status for o in (fallen, child)] == ["REPLACED", "CANCELLED"]
    assert is_stray(kit, child)
    position = kit.position("momo")
    assert (position.qty, position.locked_qty, position.stray_qty) == (6, 6, 6)
    kit.quote(60_000, 60_100)
    assert kit.call("exits", "select fire_exits()") == 0

    (cancel,) = cancels(kit)
    assert cancel.order_id == child.order_id
    answer(kit, "order_cancelled", child, 4)

    kit.quote(60_000, 60_100)
    assert kit.call("exits", "select fire_exits()") == 1
    assert (kit.claim_one().quantity, kit.position("momo").locked_qty) == (6, 6)


def test_whoever_lost_the_fence_is_heard_about_an_order_that_has_ended_and_about_no_other(kit):
    kit.buy(10)
    order = kit.claim_one()
    kit.advance(seconds=7)
    (asked,) = kit.rows("execution", "select * from claim_doubts(%s, 10)", kit.worker())
    late = f"select order_accepted({order.order_id}, {order.fence}, 'B')"
    assert refusal(lambda: kit.call("execution", late)) == "TRL03"
    answer(kit, "order_not_found", asked)

    kit.call("execution", late)

    assert is_stray(kit, order)


def test_an_order_the_broker_has_ended_is_no_stray_whatever_is_reported_again(kit):
    order = kit.live_order("BUY", 10, 70_000)
    answer(kit, "order_cancelled", order, 0)

    answer(kit, "order_accepted", order, "B")
    kit.fill(order, 4, 70_000)

    assert not is_stray(kit, order)
    assert kit.balance().locked_cash == 0


def test_fills_the_broker_counts_of_an_order_that_ended_are_an_incident_until_they_come(kit):
    order = kit.live_order("BUY", 10, 70_000)
    answer(kit, "order_cancelled", order, 0)

    assert answer(kit, "order_cancelled", order, 4) == "CANCELLED"
    assert kit.incidents() == [("missing_fills", True)]

    kit.fill(order, 4, 70_000)
    assert kit.incidents() == [("missing_fills", False)]


def test_a_cancel_that_was_asked_while_an_order_was_on_its_way_is_not_answered_by_another_attempt(kit):
    intent = kit.buy(10)
    order = kit.claim_one()
    kit.call("desk", "select cancel_intent(%s, 'test')", intent)

    never_had(kit, order)

    assert kit.intent_row(intent).status == "CANCELLED"
    assert kit.claim() == []


@pytest.mark.parametrize("fact", ["accepted", "filled"])
def test_the_child_of_a_parent_in_doubt_is_heard_of(kit, fallen, child, fact):  # noqa: F811
    """As after an adoption, which makes us ask about every order sent."""
    kit.db.execute("update trade.orders set status = 'IN_DOUBT' where order_id = %s", [fallen.order_id])

    if fact == "accepted":
        answer(kit, "order_accepted", child, "B-child", 10)
    else:
        assert kit.fill(child, 4, 60_000) == "RECORDED"

    assert kit.order(fallen.order_id).status == "REPLACED"


@pytest.mark.parametrize(
    "change",
    [
        "stray_since = now()",
        "stray_since = now(), cancel_requested_at = now(), filled_qty = quantity",
        "stray_since = now(), cancel_requested_at = now(), broker_ended_at = now()",
    ],
)
def test_a_stray_is_being_cancelled_or_it_is_none(kit, change):
    order = kit.live_order("BUY", 10, 70_000)
    answer(kit, "order_rejected", order, "X", "no", False)

    query = f"update trade.orders set {change} where order_id = {order.order_id}"
    assert refusal(lambda: kit.db.execute(query.encode())) == "23514"


@pytest.mark.parametrize("table", ["positions", "balances"])
def test_what_strays_lock_is_part_of_what_is_locked(kit, table):
    kit.hold(10)
    column = "stray_qty" if table == "positions" else "stray_cash"

    for value in (1, -1):
        query = f"update trade.{table} set {column} = {value}"
        assert refusal(lambda q=query: kit.db.execute(q.encode())) == "23514"


# -- an execution counts once ------------------------------------------------------------------------------


def report(kit, order, number, quantity, price, at, by="execution"):
    return kit.call(by, FILL, "demo", order.client_order_id, None, number, quantity, price, 0, 0, at)


BEFORE, AFTER = "2026-03-02 23:59:59.999+09", "2026-03-03 00:00:00+09"
BUST = f"select bust_fill('demo', '{SYMBOL}', 'F', '2026-03-02', 'x')"


@pytest.mark.parametrize("first", [BEFORE, AFTER])
def test_an_execution_reported_on_both_sides_of_midnight_counts_once(kit, first):
    order = kit.live_order("BUY", 10, 70_000)
    second = AFTER if first == BEFORE else BEFORE

    assert report(kit, order, "F", 4, 70_000, first) == "RECORDED"
    assert report(kit, order, "F", 4, 70_000, second) == "DUPLICATE"
    assert report(kit, order, "F", 5, 70_000, second) == "UNMATCHED"

    assert kit.position().qty == 4


def test_an_execution_without_a_time_reported_of_parent_and_child_counts_once(kit, fallen, child):  # noqa: F811
    assert report(kit, fallen, "F", 4, 74_000, None) == "RECORDED"
    answer(kit, "order_accepted", child, "B-child", 6)
    kit.advance(days=1)

    assert report(kit, child, "F", 4, 74_000, None) == "DUPLICATE"

    assert kit.position("momo").qty == 6


@pytest.mark.parametrize(("quantity", "price"), [(4, 69_900), (5, 70_000), (3, 70_000)])
def test_a_busted_execution_reported_otherwise_is_recorded_and_uses_up_no_more_of_its_order(
    kit, quantity, price
):
    order = kit.live_order("BUY", 10, 70_000)
    report(kit, order, "F", 4, 70_000, BEFORE)
    kit.call("execution", BUST)

    assert report(kit, order, "F", 4, 70_000, BEFORE) == "DUPLICATE", "as it was before it was taken back"
    assert report(kit, order, "F", quantity, price, BEFORE) == "RECORDED"
    assert report(kit, order, "F", quantity, price, AFTER) == "DUPLICATE"
    assert report(kit, order, "F", 4, 70_000, BEFORE) == "DUPLICATE", "old news"

    assert kit.position().qty == quantity
    assert kit.position().cost == quantity * price
    row = kit.order(order.order_id)
    assert (row.filled_qty, row.overfill_qty) == (max(4, quantity), 0)
    assert kit.intent_row(1).quantity - kit.intent_row(1).filled_qty == row.quantity - row.filled_qty


def test_a_corrected_execution_is_taken_back_and_corrected_once_more(kit):
    order = kit.live_order("BUY", 10, 70_000)
    for price in (70_000, 69_900, 69_800):
        assert report(kit, order, "F", 4, price, BEFORE) == "RECORDED"
        assert kit.call("execution", BUST) == "BUSTED"
        assert kit.call("execution", BUST) == "DUPLICATE"

    assert (kit.position().qty, kit.balance().cash) == (0, 100_000_000)


def test_a_correction_reported_by_two_sessions_at_once_counts_once(kit):
    order = kit.live_order("BUY", 10, 70_000)
    report(kit, order, "F", 4, 70_000, BEFORE)
    kit.call("execution", BUST)
    first, second = kit.connect("execution"), kit.connect("reconcile")
    args = ("demo", order.client_order_id, None, "F", 4, 69_900, 0, 0, BEFORE)
    with first.transaction():
        kit.call(first, FILL, *args)
        late = kit.background(second, FILL, *args)
        kit.wait_for_lock(second)

    assert late.result(20) == [("DUPLICATE",)]
    assert kit.position().qty == 4


def test_two_orders_of_one_number_may_both_be_corrected_for_one_day(kit):
    one, two = kit.live_order("BUY", 5, 70_000), kit.live_order("BUY", 5, 70_000)
    report(kit, one, "F", 5, 70_000, BEFORE)
    report(kit, two, "F", 5, 70_000, AFTER)
    for day in ("02", "03"):
        kit.call("execution", BUST.replace("-02'", f"-{day}'"))

    assert report(kit, one, "F", 5, 69_000, AFTER) == "RECORDED"
    assert report(kit, two, "F", 5, 69_000, AFTER) == "RECORDED"
    assert kit.position().qty == 10


def test_a_total_after_a_bust_counts_from_what_is_left(kit):
    order = kit.live_order("BUY", 10, 70_000)

    def total(quantity):
        query = "select record_cumulative('demo', %s, null, %s, %s, 0, 0, null)"
        return kit.call("execution", query, order.client_order_id, quantity, quantity * 70_000)

    total(4)
    number, day = kit.look("select broker_fill_id, trade_date from trade.fills")
    assert (
        kit.call("execution", f"select bust_fill('demo', '{SYMBOL}', %s, %s, 'x')", number, day) == "BUSTED"
    )

    assert [total(n) for n in (4, 2, 2, 6)] == ["DUPLICATE", "RECORDED", "DUPLICATE", "RECORDED"]
    assert kit.position().qty == 6
    assert kit.order(order.order_id).filled_qty == 6


COPY = (
    "insert into trade.fills (order_id, intent_id, account_id, instrument_id, owner, side, trade_date,"
    " broker_fill_id, quantity, price, fee, tax, realized_pnl, filled_at, revision, corrected_qty)"
    " select {order}, intent_id, account_id, instrument_id, owner, side, {day}, broker_fill_id, quantity,"
    " price, fee, tax, realized_pnl, filled_at, {revision}, {corrected} from trade.fills"
)
AS_IT_IS = {"order": "order_id", "day": "trade_date", "revision": "0", "corrected": "0"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"day": "trade_date + 1"}, "23505"),
        ({"order": "1"}, "23505"),
        ({"day": "trade_date + 1", "order": "1", "revision": "-1"}, "23514"),
        ({"day": "trade_date + 1", "order": "1", "corrected": "quantity + 1"}, "23514"),
        ({"day": "trade_date + 1", "order": "1"}, None),
    ],
)
def test_an_execution_written_by_hand_is_one_of_its_order_and_of_its_day(kit, changes, code):
    kit.live_order("BUY", 10, 70_000)
    order = kit.live_order("BUY", 10, 70_000)
    kit.fill(order, 4, 70_000)

    query = COPY.format(**AS_IT_IS | changes).encode()
    with kit.triggers_off() if code is None else kit.db.transaction():
        assert refusal(lambda: kit.db.execute(query)) == code
    if code is None:
        with kit.triggers_off() as db:
            db.execute("delete from trade.fills where order_id = 1")


# -- reports that match nothing ----------------------------------------------------------------------------


def test_each_different_fact_that_fits_nothing_is_kept_and_repeats_are_counted(kit):
    for quantity in (1, 2, 1, 3, 2, 1):
        query = "select record_fill('demo', 'nobody', null, 'F', %s, 1, 0, 0, null)"
        assert kit.call("execution", query, quantity) == "UNMATCHED"

    kept = kit.rows("desk", "select facts, times from unmatched_fills order by unmatched_fill_id")
    assert [(row.facts["quantity"], row.times) for row in kept] == [(1, 3), (2, 2), (3, 1)]
    subjects = kit.rows(kit.db, "select subject from risk.incidents order by 1")
    assert [row.subject for row in subjects] == ["demo/nobody/F", "demo/nobody/F (2)", "demo/nobody/F (3)"]


def test_a_fact_of_any_length_is_kept_in_little_room(kit):
    query = "select record_fill('demo', 'nobody', null, repeat(%s, 1000000), 1, 1, 0, 0, null)"
    for letter in "ab":
        kit.call("execution", query, letter)

    kept = kit.rows("desk", "select length(facts::text) as size from unmatched_fills")
    assert len(kept) == 2
    assert all(row.size < 2_000 for row in kept)


def test_what_fits_nothing_is_never_removed(kit):
    kit.call("execution", "select record_fill('demo', 'nobody', null, 'F', 1, 1, 0, 0, null)")

    for query in ("delete from trade.unmatched_fills", "truncate trade.unmatched_fills"):
        assert refusal(lambda q=query: kit.db.execute(q.encode())) == "TRL02"
