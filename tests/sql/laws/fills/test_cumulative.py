"""L7 without execution ids: only the new part of an order's cumulative totals counts, and only once."""

from decimal import Decimal

import pytest

from tests.sql.laws.market_kit import refusal

TOTAL = (
    "select api.record_cumulative('demo', %s, %s, %s::numeric, %s::numeric, %s::numeric, %s::numeric,"
    " %s::timestamptz)"
)


def said(kit, order, quantity, notional, fee=0, tax=0):
    return (order.client_order_id, None, quantity, notional, fee, tax, kit.now)


def tell(kit, order, quantity, notional, fee=0, tax=0, by="execution"):
    """Report the broker's cumulative total for an order."""
    return kit.call(by, TOTAL, *said(kit, order, quantity, notional, fee, tax))


def fills(kit):
    query = "select broker_fill_id, quantity, price, fee, tax from trade.fills order by fill_id"
    return [tuple(row) for row in kit.rows(kit.db, query)]


@pytest.fixture
def order(kit):
    """A buy of ten at the broker."""
    return kit.live_order("BUY", 10, 71_000)


# -- once --------------------------------------------------------------------------------------------------


def test_a_total_records_what_is_new_at_the_price_of_what_is_new(kit, order):
    assert tell(kit, order, 4, 280_000, fee=42, tax=1) == "RECORDED"
    assert tell(kit, order, 10, 280_000 + 6 * 70_100, fee="105.09", tax=3) == "RECORDED"

    number = order.order_id
    assert fills(kit) == [
        (f"cum:{number}:4", 4, 70_000, 42, 1),
        (f"cum:{number}:10", 6, 70_100, Decimal("63.09"), 2),
    ]
    assert kit.position().avg_price == 70_060
    assert kit.balance().cash == 100_000_000 - 700_600 - Decimal("105.09") - 3
    assert kit.order(number).status == "FILLED"
    assert kit.audit() == []


@pytest.mark.parametrize("again", [4, "4.0", 3, 0], ids=["the same", "with a zero", "an older one", "none"])
def test_a_total_that_is_not_larger_is_known(kit, order, again):
    tell(kit, order, 4, 280_000)

    assert tell(kit, order, again, 70_000 * Decimal(again)) == "DUPLICATE"

    assert kit.position().qty == 4
    assert kit.audit() == []


def test_a_smaller_total_is_older_news_whatever_it_is_worth(kit, order):
    tell(kit, order, 4, 280_000)

    assert tell(kit, order, 3, 290_000) == "DUPLICATE"
    assert kit.balance().cash == 100_000_000 - 280_000


def test_the_same_total_for_other_money_is_booked(kit, order):
    tell(kit, order, 4, 280_000)
    tell(kit, order, 10, 700_000, fee=105)

    assert tell(kit, order, 10, "700000.5", fee=105) == "RESTATED"
    assert tell(kit, order, 10, "700000.5", fee=105) == "DUPLICATE"

    assert kit.balance().cash == 100_000_000 - Decimal("700000.5") - 105
    assert kit.position().cost == Decimal("700000.5")
    assert kit.audit() == []


def test_the_same_total_without_its_money_changes_nothing(kit, order):
    tell(kit, order, 4, 280_000)

    assert tell(kit, order, 4, 0) == "DUPLICATE"
    assert kit.balance().cash == 100_000_000 - 280_000


@pytest.mark.parametrize("notional", [280_000, 270_000, 0])
def test_more_units_for_no_more_money_are_kept_as_an_incident(kit, order, notional):
    tell(kit, order, 4, 280_000)

    assert tell(kit, order, 10, notional) == "UNMATCHED"

    assert kit.position().qty == 4
    assert kit.incidents() == [("unmatched_fill", True)]


def test_totals_may_come_in_any_order(kit, order):
    answers = [tell(kit, order, q, q * 70_000) for q in (6, 2, 10, 6, 8, 10)]

    assert answers == ["RECORDED", "DUPLICATE", "RECORDED", "DUPLICATE", "DUPLICATE", "DUPLICATE"]
    assert [quantity for _, quantity, *_ in fills(kit)] == [6, 4]
    assert kit.audit() == []


def test_a_total_reported_by_stream_and_poll_at_once_counts_once(kit, order):
    stream, poll = kit.connect("execution"), kit.connect("reconcile")
    args = said(kit, order, 4, 280_000)
    with stream.transaction():
        assert kit.call(stream, TOTAL, *args) == "RECORDED"
        late = kit.background(poll, TOTAL, *args)
        kit.wait_for_lock(poll)

    assert late.result(20) == [("DUPLICATE",)]
    assert kit.position().qty == 4
    assert kit.audit() == []


def test_a_larger_total_that_had_to_wait_records_only_what_the_first_did_not(kit, order):
    stream, poll = kit.connect("execution"), kit.connect("reconcile")
    with stream.transaction():
        assert kit.call(stream, TOTAL, *said(kit, order, 4, 280_000)) == "RECORDED"
        late = kit.background(poll, TOTAL, *said(kit, order, 10, 700_600))
        kit.wait_for_lock(poll)

    assert late.result(20) == [("RECORDED",)]
    assert [(quantity, price) for _, quantity, price, *_ in fills(kit)] == [(4, 70_000), (6, 70_100)]
    assert kit.audit() == []


def test_an_id_is_the_same_whoever_brings_the_news_and_however_it_is_written(kit, order):
    with kit.db.transaction(force_rollback=True):
        tell(kit, order, "4.000", 280_000, by=kit.db)
        lost = fills(kit)
    tell(kit, order, 4, "280000.00", by="reconcile")

    assert [row[0] for row in lost] == [row[0] for row in fills(kit)] == [f"cum:{order.order_id}:4"]


# -- with other reports ------------------------------------------------------------------------------------


def test_fills_by_id_and_totals_of_one_order_add_up(kit, order):
    kit.fill(order, 4, 70_000, fee=40, fill_id="F1")

    assert tell(kit, order, 4, 280_000, fee=40) == "DUPLICATE"
    assert tell(kit, order, 10, 700_600, fee=100) == "RECORDED"

    assert fills(kit)[1] == (f"cum:{order.order_id}:10", 6, 70_100, 60, 0)
    assert kit.audit() == []


def test_a_total_with_less_commission_gives_the_difference_back(kit, order):
    tell(kit, order, 4, 280_000, fee=50)
    tell(kit, order, 10, 700_000, fee=20)

    assert [fee for *_, fee, _ in fills(kit)] == [50, -30]
    assert kit.balance().cash == 100_000_000 - 700_000 - 20


def test_costs_that_are_reported_later_are_booked_then(kit, order):
    assert tell(kit, order, 10, 700_000, fee=None, tax=None) == "RECORDED"

    assert tell(kit, order, 10, 700_000, fee=105, tax=7) == "RESTATED"
    assert tell(kit, order, 10, 700_000, fee=105, tax=7) == "DUPLICATE"
    assert tell(kit, order, 10, 700_000, fee="99.5", tax=7) == "RESTATED"

    assert kit.balance().cash == 100_000_000 - 700_000 - Decimal("106.5")
    assert kit.position().realized_pnl == -Decimal("106.5")
    fill = kit.look("select fee, tax, realized_pnl from api.fills")
    assert tuple(fill) == (Decimal("99.5"), 7, -Decimal("106.5"))
    assert kit.audit() == []


def test_costs_that_are_not_reported_with_a_larger_total_stay(kit, order):
    tell(kit, order, 4, 280_000, fee=50, tax=3)

    assert tell(kit, order, 10, 700_000, fee=None, tax=None) == "RECORDED"

    assert kit.balance().cash == 100_000_000 - 700_000 - 53
    assert tell(kit, order, 10, 700_000, fee=80, tax=None) == "RESTATED"
    assert kit.balance().cash == 100_000_000 - 700_000 - 83
    assert kit.audit() == []


def test_a_total_may_come_before_the_acceptance_and_after_the_end(kit):
    kit.buy(10)
    order = kit.claim_one()
    assert tell(kit, order, 4, 280_000) == "RECORDED"
    kit.accept(order)
    kit.call("execution", "select order_cancelled(%s, %s, 4)", order.order_id, order.fence)

    assert tell(kit, order, 10, 700_000) == "RECORDED"

    assert kit.order(order.order_id).status == "CANCELLED"
    assert kit.position().qty == 10
    assert kit.audit() == []


def test_a_total_beyond_the_order_is_an_overfill(kit, order):
    tell(kit, order, 12, 840_000)

    assert (kit.order(order.order_id).filled_qty, kit.order(order.order_id).overfill_qty) == (10, 2)
    assert kit.position().qty == 12
    assert kit.audit() == []


def test_totals_of_a_sell_take_away(kit):
    kit.hold(10)
    order = kit.live_order("SELL", 10, 60_000)

    tell(kit, order, 4, 284_000, tax=426)
    tell(kit, order, 10, 716_000, tax=1_074)

    assert kit.position().qty == 0
    assert kit.position().realized_pnl == 16_000 - 1_074
    assert kit.balance().cash == 100_000_000 + 16_000 - 1_074
    assert kit.audit() == []


# -- totals that match nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "odd"),
    [
        (0, "not ours"),
        *((2, odd) for odd in (-1, None, "NaN", "Infinity")),
        *((3, odd) for odd in (-1, None, "NaN", "Infinity")),
        (4, "NaN"),
        (5, "Infinity"),
    ],
)
def test_a_total_that_fits_nothing_is_kept_as_an_incident(kit, order, place, odd):
    args = list(said(kit, order, 4, 280_000))
    args[place] = odd

    assert kit.call("execution", TOTAL, *args) == "UNMATCHED"

    assert kit.incidents() == [("unmatched_fill", True)]
    assert fills(kit) == []
    assert kit.audit() == []


def test_an_order_is_found_by_the_brokers_number_where_ours_is_not_reported(kit, order):
    args = (None, f"B{order.order_id}", 4, 280_000, 0, 0, None)

    assert kit.call("execution", TOTAL, *args) == "RECORDED"


def test_a_snapshot_that_could_miss_an_order_is_refused(kit, order):
    conn = kit.connect("execution")
    conn.execute("set default_transaction_isolation = 'repeatable read'")
    args = ("not ours", None, 4, 280_000, 0, 0, kit.now)

    assert refusal(lambda: kit.call(conn, TOTAL, *args)) == "TRM02"


def test_a_total_whose_price_does_not_come_out_even_leaves_cash_exact(kit):
    before = kit.balance().cash
    order = kit.live_order("BUY", 3, 71_000)

    assert tell(kit, order, 3, 210_100) == "RECORDED"

    assert kit.balance().cash == before - 210_100
