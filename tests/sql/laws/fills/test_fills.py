"""L7: a fill counts once in any order of arrival, and is never changed."""

import datetime as dt
from decimal import Decimal

import pytest

from tests.sql.laws.fills.fills_kit import report
from tests.sql.laws.market_kit import FILL, refusal, refuses_truncate


@pytest.fixture
def order(kit):
    """A buy of ten at the broker."""
    return kit.live_order("BUY", 10, 70_000)


# -- once --------------------------------------------------------------------------------------------------


def test_a_fill_reported_twice_counts_once(kit, order):
    assert kit.fill(order, 4, 70_000, fill_id="F") == "RECORDED"
    assert kit.fill(order, 4, 70_000, fill_id="F") == "DUPLICATE"

    assert kit.position().qty == 4
    assert kit.balance().cash == 100_000_000 - 280_000
    assert len(kit.events("fill")) == 1
    assert kit.audit() == []


def test_a_fill_reported_by_two_sessions_at_once_counts_once(kit, order):
    first, second = kit.connect("execution"), kit.connect("reconcile")
    args = ("demo", order.client_order_id, None, "F", 4, 70_000, 0, 0, kit.now)
    with first.transaction():
        assert kit.call(first, FILL, *args) == "RECORDED"
        late = kit.background(second, FILL, *args)
        kit.wait_for_lock(second)

    assert late.result(20) == [("DUPLICATE",)]
    assert kit.position().qty == 4
    assert kit.audit() == []


def test_a_fill_whose_first_report_was_lost_counts(kit, order):
    first, second = kit.connect("execution"), kit.connect("reconcile")
    args = ("demo", order.client_order_id, None, "F", 4, 70_000, 0, 0, kit.now)
    with first.transaction(force_rollback=True):
        kit.call(first, FILL, *args)
        late = kit.background(second, FILL, *args)
        kit.wait_for_lock(second)

    assert late.result(20) == [("RECORDED",)]
    assert kit.audit() == []


def test_every_fill_of_many_reported_by_many_sessions_counts_once(kit, order):
    conns = [kit.connect("execution") for _ in range(4)]

    def tell(conn, numbers):
        return [
            kit.call(conn, FILL, "demo", order.client_order_id, None, f"F{n}", 1, 70_000, 0, 0, kit.now)
            for n in numbers
        ]

    tellings = [range(10), reversed(range(10)), range(5, 10), range(0, 10, 2)]
    futures = [kit.pool.submit(tell, conn, list(n)) for conn, n in zip(conns, tellings, strict=True)]
    answers = [answer for future in futures for answer in future.result(30)]

    assert sorted(answers) == ["DUPLICATE"] * 20 + ["RECORDED"] * 10
    assert kit.position().qty == 10
    assert kit.order(order.order_id).status == "FILLED"
    assert kit.audit() == []


def test_one_number_on_another_day_is_another_fill_of_another_order_only(kit, order):
    kit.fill(order, 4, 70_000, fill_id="F")
    kit.advance(days=1)
    other = kit.live_order("BUY", 10, 70_000)

    assert kit.fill(order, 4, 70_000, fill_id="F") == "DUPLICATE"
    assert kit.fill(other, 4, 70_000, fill_id="F") == "RECORDED"


@pytest.mark.parametrize("first", ["now", None], ids=["reported", "not reported"])
def test_a_fill_reported_without_its_time_counts_once_whatever_the_day(kit, order, first):
    report(kit, order.client_order_id, "F", at=first)
    reported_at = kit.now
    kit.advance(days=1)

    assert report(kit, order.client_order_id, "F", at=None) == "DUPLICATE"
    if first is None:
        assert report(kit, order.client_order_id, "F", at=reported_at - dt.timedelta(days=2)) == "DUPLICATE"
        assert report(kit, order.client_order_id, "F") == "DUPLICATE"

    assert kit.position().qty == 1
    assert kit.look("select is_time_told from trade.fills").is_time_told == (first is not None)
    assert kit.audit() == []


@pytest.mark.parametrize("at", ["infinity", "-infinity", "56789-01-01", "0044-03-15 BC", "2026-03-04"])
def test_a_time_that_cannot_be_is_taken_for_none(kit, order, at):
    """An impossible timestamp must not break a page that shows the day's fills."""
    assert report(kit, order.client_order_id, "F", at=at) == "RECORDED"

    fill = kit.look("select filled_at, is_time_told from trade.fills")
    assert (fill.filled_at, fill.is_time_told) == (kit.now, False)
    assert kit.audit() == []


def test_a_number_without_a_time_is_looked_for_among_the_fills_of_its_intent_only(kit, order):
    report(kit, order.client_order_id, "F")
    kit.advance(days=1)
    second = kit.live_order("BUY", 10, 70_000)

    assert report(kit, second.client_order_id, "F", at=None) == "RECORDED"


def test_the_day_of_a_fill_is_the_venues(kit, order):
    kit.advance(hours=13)  # 14:00 UTC: midnight in Seoul is one hour later
    kit.fill(order, 1, 70_000, fill_id="F")
    kit.advance(hours=2)
    other = kit.live_order("BUY", 10, 70_000)

    assert kit.fill(other, 1, 70_000, fill_id="F") == "RECORDED"
    dates = kit.rows(kit.db, "select trade_date::text from trade.fills order by fill_id")
    assert [row.trade_date for row in dates] == ["2026-03-02", "2026-03-03"]


COPY_FILL = (
    "insert into trade.fills (order_id, intent_id, account_id, instrument_id, owner, side, trade_date,"
    " broker_fill_id, quantity, price, fee, tax, fee_qty, realized_pnl, filled_at)"
    " select order_id, intent_id, account_id, instrument_id, owner, {side}, trade_date, {fill_id},"
    " {quantity}, {price}, fee, tax, {fee_qty}, realized_pnl, filled_at from trade.fills"
)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"fill_id": "broker_fill_id"}, "23505"),
        ({"side": "'HOLD'"}, "23514"),
        ({"quantity": "0"}, "23514"),
        ({"price": "0"}, "23514"),
        ({"fee_qty": "quantity"}, "23514"),
        ({}, None),
    ],
    ids=str,
)
def test_a_fill_written_by_hand_counts_once_and_makes_sense(kit, order, changes, code):
    kit.fill(order, 4, 70_000)
    as_it_is = {
        "side": "side",
        "fill_id": "'another'",
        "quantity": "quantity",
        "price": "price",
        "fee_qty": "0",
    }

    assert refusal(lambda: kit.db.execute(COPY_FILL.format(**as_it_is | changes).encode())) == code


def test_a_reconciliation_corrects_something(kit):
    kit.hold(10)
    query = (
        "insert into trade.reconciliations (account_id, instrument_id, owner, quantity, price, reason)"
        " values (1, 1, 'manual', 0, 1, 'x')"
    )

    assert refusal(lambda: kit.db.execute(query)) == "23514"


# -- in any order of arrival -------------------------------------------------------------------------------


def test_a_fill_may_come_before_the_acceptance(kit):
    kit.buy(10)
    order = kit.claim_one()

    assert kit.fill(order, 10, 70_000) == "RECORDED"
    kit.accept(order)

    row = kit.order(order.order_id)
    assert (row.status, row.broker_order_id) == ("FILLED", f"B{order.order_id}")
    assert kit.intent_row(1).status == "FILLED"
    assert kit.audit() == []


def test_a_fill_resolves_a_doubt(kit):
    kit.buy(10)
    order = kit.claim_one()
    kit.call("execution", "select order_unknown(%s, %s, 'timeout')", order.order_id, order.fence)

    kit.fill(order, 4, 70_000)

    assert kit.order(order.order_id).status == "PARTIAL_FILLED"
    assert kit.intent_row(1).status == "PARTIAL_FILLED"
    assert kit.audit() == []


@pytest.mark.parametrize("ending", ["cancelled", "rejected", "expired"])
def test_a_fill_after_the_end_counts_and_changes_no_status(kit, ending):
    kit.buy(10)
    order = kit.claim_one()
    if ending == "rejected":
        kit.call("execution", "select order_rejected(%s, %s, 'X', '', false)", order.order_id, order.fence)
    else:
        kit.accept(order)
        kit.advance(minutes=2 if ending == "expired" else 0)
        kit.call("execution", "select order_cancelled(%s, %s, 0)", order.order_id, order.fence)
    before = kit.intent_row(1).status
    assert before == ending.upper()

    assert kit.fill(order, 10, 70_000) == "RECORDED"

    row = kit.intent_row(1)
    assert (row.status, row.filled_qty, row.reserved_cash) == (before, 10, 0)
    assert kit.position().qty == 10
    assert kit.balance().cash == 100_000_000 - 700_000
    assert kit.audit() == []


@pytest.mark.parametrize("quantity", [4, 10])
@pytest.mark.parametrize("halted", [False, True])
def test_a_fill_of_an_order_taken_for_never_sent_counts(kit, quantity, halted):
    """The broker reports the order as not found, its intent waits to be sent again, then a fill arrives."""
    kit.hold(10)
    kit.sell(10, 60_000)
    order = kit.claim_one()
    kit.call("execution", "select order_unknown(%s, %s, 'timeout')", order.order_id, order.fence)
    kit.advance(seconds=7)
    kit.call("execution", "select order_not_found(%s, %s)", order.order_id, order.fence)
    if halted:
        kit.call("desk", "select halt('test')")
        kit.call("risk", "select enforce_modes()")

    assert kit.fill(order, quantity, 60_000) == "RECORDED"

    assert kit.position().qty == 10 - quantity
    assert kit.position().locked_qty == 10 - quantity
    assert kit.audit() == []


# -- overfills ---------------------------------------------------------------------------------------------


def test_what_is_filled_beyond_the_order_is_kept_as_overfill(kit, order):
    kit.fill(order, 6, 70_000)
    kit.fill(order, 6, 70_000)

    row, intent = kit.order(order.order_id), kit.intent_row(1)
    assert (row.filled_qty, row.overfill_qty, row.status) == (10, 2, "FILLED")
    assert (intent.filled_qty, intent.overfill_qty, intent.status) == (10, 2, "FILLED")
    assert kit.position().qty == 12
    assert kit.audit() == []


def test_more_sold_than_was_known_is_adopted_as_a_reconciliation_and_reported(kit):
    kit.hold(10)
    order = kit.live_order("SELL", 10, 60_000)

    assert kit.fill(order, 15, 71_000) == "RECORDED"

    position = kit.position()
    assert (position.qty, position.locked_qty, position.avg_price) == (0, 0, 0)
    (row,) = kit.rows(kit.db, "select * from trade.reconciliations")
    assert (row.quantity, row.price, row.owner) == (5, 71_000, "manual")
    assert ("oversold", True) in kit.incidents()
    assert position.realized_pnl == pytest.approx(10 * 1_000, abs=Decimal("1e-9"))
    assert kit.audit() == []


# -- history is append-only --------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["trade.fills", "trade.cash_entries", "trade.reconciliations"])
def test_facts_are_only_added_to(kit, table):
    kit.hold(10)
    kit.fill(kit.live_order("SELL", 10, 60_000), 15, 71_000)

    assert refuses_truncate(kit.db, table)
    for statement in (f"update {table} set account_id = account_id", f"delete from {table}"):
        assert refusal(lambda s=statement: kit.db.execute(s.encode())) == "TRL02", statement
