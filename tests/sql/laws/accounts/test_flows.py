"""Deposits and withdrawals are neither profit nor loss, and an unsound quote makes no peak."""

from decimal import Decimal

import pytest

from tests.sql.laws.accounts.accounts_kit import measure
from tests.sql.laws.market_kit import SYMBOL


def cash(kit, kind, amount):
    kit.call("desk", "select record_cash('demo', %s, %s::numeric, 'test')", kind, amount)


@pytest.fixture
def million(kit):
    """The kit's account with 1,000,000 in cash at the start of its day."""
    kit.db.execute("update trade.balances set cash = 1000000")
    kit.db.execute("truncate risk.account_equity")
    measure(kit)
    return kit


# -- peaks -------------------------------------------------------------------------------------------------


def test_a_crossed_quote_between_two_measures_makes_no_peak(kit):
    kit.hold(100)
    measure(kit)
    kit.quote(900_000, 800_000)

    row = measure(kit)
    assert (row.equity, row.peak, row.is_flagged) == (100_000_000, 100_000_000, True)
    kit.quote(70_000, 70_100)
    row = measure(kit)
    assert (row.equity, row.peak, row.drawdown, row.is_flagged) == (100_000_000, 100_000_000, 0, False)


def test_a_quote_outside_the_limits_of_the_day_makes_no_peak(kit):
    kit.hold(100)
    kit.db.execute("update market.instruments set limit_low = 49000, limit_high = 91000")
    kit.quote(900_000, 900_100)

    assert measure(kit).peak == 100_000_000


def test_a_stale_mark_makes_no_peak(kit):
    kit.hold(100)
    measure(kit)
    kit.quote(80_000, 80_100)
    kit.advance(minutes=1)

    row = measure(kit)
    assert (row.equity, row.peak, row.is_flagged) == (101_000_000, 100_000_000, True)
    kit.quote(80_000, 80_100)
    assert measure(kit).peak == 101_000_000


def test_a_book_with_one_side_values_and_is_not_flagged(kit):
    kit.hold(100)
    kit.quotes([(SYMBOL, kit.now, 10_000, 91_000, 500_000, None, None)])

    row = measure(kit)
    assert (row.equity, row.peak, row.is_flagged) == (102_100_000, 102_100_000, False)


# -- the day's rate of return ------------------------------------------------------------------------------


def test_a_loss_after_a_deposit_is_a_fraction_of_all_of_it(million):
    cash(million, "deposit", 9_000_000)
    cash(million, "correction", -100_000)

    row = measure(million)
    assert (row.day_pnl, row.day_pnl_rate, row.drawdown) == (-100_000, Decimal("-0.01"), Decimal("0.01"))


def test_a_deposit_does_not_hide_the_loss_before_it(million):
    cash(million, "correction", -100_000)
    cash(million, "deposit", 9_000_000)

    row = measure(million)
    assert (row.day_pnl, row.day_pnl_rate, row.drawdown) == (-100_000, Decimal("-0.1"), Decimal("0.1"))


@pytest.mark.parametrize("part", [1, 450_000, 899_999])
def test_a_withdrawal_raises_neither_the_drawdown_nor_the_loss_of_the_day(million, part):
    cash(million, "correction", -100_000)
    assert measure(million).drawdown == Decimal("0.1")

    cash(million, "withdrawal", -part)

    row = measure(million)
    assert (row.drawdown, row.day_pnl_rate) == (Decimal("0.1"), Decimal("-0.1"))


def test_an_account_that_was_emptied_begins_again(million):
    cash(million, "correction", -100_000)
    cash(million, "withdrawal", -900_000)
    row = measure(million)
    assert (row.equity, row.peak, row.drawdown, row.day_pnl_rate) == (0, 0, None, None)

    cash(million, "deposit", 500_000)

    row = measure(million)
    assert (row.equity, row.peak, row.drawdown) == (500_000, 500_000, 0)
    assert (row.day_pnl, row.day_pnl_rate) == (-100_000, Decimal("-0.1")), "its loss of the day stays"


def test_more_than_all_can_be_withdrawn_and_nothing_divides_by_it(million):
    cash(million, "withdrawal", -1_500_000)
    row = measure(million)
    assert (row.equity, row.peak, row.day_pnl_rate) == (-500_000, 0, None)

    cash(million, "deposit", 2_000_000)
    assert measure(million).drawdown == 0


def test_an_account_begins_with_its_opening_deposit(kit):
    kit.add_account("other", 1_000_000)
    kit.call("desk", "select record_cash('other', 'correction', -10000, 'test')")
    kit.call(kit.db, "select api.measure_equity()")

    row = kit.look("select * from api.performance where account = 'other'")
    assert (row.day_pnl, row.day_pnl_rate, row.peak) == (-10_000, Decimal("-0.01"), 1_000_000)


def test_a_flow_and_a_measure_at_once_count_it_once(million):
    desk, job = million.connect("desk"), million.connect("superuser")
    with desk.transaction():
        desk.execute("select api.record_cash('demo', 'deposit', 9000000, 'test')")
        late = million.background(job, "select api.measure_equity()")
        million.wait_for_lock(job)
    late.result(20)

    row = measure(million)
    assert (row.day_pnl, row.peak, row.drawdown) == (0, 10_000_000, 0)
