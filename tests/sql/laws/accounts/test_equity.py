"""Equity from facts; profit of the day and drawdown leave out deposits and withdrawals."""

import datetime as dt
from decimal import Decimal

import pytest

from tests.sql.laws.accounts.accounts_kit import measure
from tests.sql.laws.market_kit import OTHER, SYMBOL


def mark(kit):
    row = kit.look("select mark, is_flagged from trade.marks")
    return row.mark, row.is_flagged


def prices(kit, bid, ask, last=None, symbol=SYMBOL):
    kit.quote(bid, ask, symbol=symbol)
    if last is not None:
        query = (
            "select ingest_trades('sim', %s::text[], %s::timestamptz[], %s::bigint[], %s::numeric[], '{1}')"
        )
        seq = int(kit.now.timestamp() * 1_000_000) + last
        assert kit.call("feed", query, [symbol], [kit.now], [seq], [str(last)])


# -- a worked example --------------------------------------------------------------------------------------


def test_two_days_with_a_deposit_and_a_withdrawal(kit):
    first = measure(kit)
    assert (first.equity, first.day_pnl, first.drawdown, first.peak) == (100_000_000, 0, 0, 100_000_000)

    kit.hold(100, 70_000)
    kit.advance(hours=1)
    prices(kit, 72_000, 72_100)
    row = measure(kit)
    assert (row.equity, row.day_pnl, row.peak) == (100_200_000, 200_000, 100_200_000)

    kit.advance(minutes=1)
    kit.move_cash(50_000_000)
    kit.advance(minutes=1)
    prices(kit, 71_000, 71_100)
    row = measure(kit)
    assert (row.equity, row.day_pnl) == (150_100_000, 100_000), "a deposit is no profit"
    assert (row.peak, row.drawdown) == (150_200_000, Decimal("0.000666")), "and no new height"
    assert row.day_pnl_rate == Decimal("0.001333"), "0.2 % of 100 million, then -0.067 % of 150"

    kit.advance(hours=12)  # 23:02 in Seoul: still Monday
    kit.move_cash(-50_000_000)
    kit.advance(hours=1)  # 00:02 on Tuesday
    prices(kit, 69_000, 69_100)
    row = measure(kit)
    assert (row.equity, row.day_pnl) == (99_900_000, -200_000), "counted from the last of Monday"
    assert (round(row.peak), row.drawdown) == (100_166_689, Decimal("0.002662")), "a withdrawal is no loss"

    kit.fill(kit.live_order("SELL", 100, 60_000), 100, 70_000, fee=1_050, tax=10_500)
    kit.advance(hours=1)
    row = measure(kit)
    assert (row.equity, row.day_pnl) == (99_988_450, -200_000 + 100_000 - 11_550)

    days = kit.rows("desk", "select day_pnl from performance where account = 'demo' order by day_start")
    assert [day.day_pnl for day in days] == [100_000, -111_550]


@pytest.mark.parametrize(
    ("kind", "profit"), [("dividend", 361), ("correction", 361), ("deposit", 0)], ids=str
)
def test_what_the_account_earned_is_profit_and_what_was_paid_in_is_not(kit, kind, profit):
    measure(kit)
    kit.advance(minutes=1)
    kit.move_cash(361, kind)
    kit.advance(minutes=1)

    assert measure(kit).day_pnl == profit


def test_a_flow_counts_once_however_often_is_measured(kit):
    measure(kit)
    kit.advance(minutes=1)
    kit.move_cash(1_000)
    kit.advance(minutes=1)

    assert [measure(kit).day_pnl for _ in range(3)] == [0, 0, 0]
    assert measure(kit).peak == 100_001_000


def test_accounts_are_measured_each_by_itself(kit):
    kit.add_account("second", cash=5)
    measure(kit)
    kit.advance(minutes=1)
    kit.move_cash(7)
    kit.advance(minutes=1)
    measure(kit)

    rows = kit.rows("desk", "select account, equity, day_pnl from performance order by account")
    assert [tuple(row) for row in rows] == [("demo", 100_000_007, 0), ("second", 5, 0)]


def test_the_clock_measures_by_itself(kit):
    kit.db.execute("update bus.jobs set next_run_at = %s", [kit.now])
    while kit.call("risk", "select run_due_jobs()"):
        pass

    assert kit.call("desk", "select count(*) from performance") == 1


# -- marks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "worth"),
    [(None, 70_000), (70_050, 70_050), (69_000, 70_000), (75_000, 70_100)],
    ids=["no trade yet", "between", "below the bid", "above the ask"],
)
def test_a_mark_is_the_last_price_within_bid_and_ask(kit, last, worth):
    kit.hold(10, 65_000)
    prices(kit, 70_000, 70_100, last)

    assert mark(kit) == (worth, False)
    assert measure(kit).equity == 100_000_000 + 10 * (worth - 65_000)


def test_a_stale_mark_stays_the_last_good_one_and_is_flagged(kit):
    kit.hold(10)
    prices(kit, 72_000, 72_100)
    assert not measure(kit).is_flagged
    kit.advance(minutes=1)

    assert mark(kit) == (72_000, True)
    row = measure(kit)
    assert (row.equity, row.is_flagged) == (100_020_000, True)

    prices(kit, 71_000, 71_100)
    row = measure(kit)
    assert (row.equity, row.is_flagged) == (100_010_000, False)


def test_an_empty_book_leaves_the_last_trade_as_mark_and_is_flagged(kit):
    kit.hold(10)
    prices(kit, 72_000, 72_100, 72_050)
    kit.quote(0, 0)

    assert mark(kit) == (72_050, True)


def test_what_never_had_a_price_is_worth_what_it_cost_and_is_flagged(kit):
    kit.add_symbol("035720")
    kit.hold(10, 40_000, symbol="035720")

    assert mark(kit) == (40_000, True)
    row = measure(kit)
    assert (row.equity, row.is_flagged) == (100_000_000, True)


def test_one_stale_mark_of_several_flags_the_account(kit):
    kit.hold(1)
    kit.hold(1, symbol=OTHER)
    kit.advance(minutes=1)
    kit.quote(70_000, 70_100)

    assert measure(kit).is_flagged
    kit.quote(70_000, 70_100, symbol=OTHER)
    assert not measure(kit).is_flagged


def test_an_account_without_positions_needs_no_marks(kit):
    kit.advance(days=3)

    assert not measure(kit).is_flagged


# -- the account's day -------------------------------------------------------------------------------------


def day_start(kit, zone, boundary, at):
    return kit.call(kit.db, "select market.day_start(%s, %s::time, %s)", zone, boundary, at)


@pytest.mark.parametrize(
    ("zone", "boundary", "at", "start"),
    [
        ("Asia/Seoul", "00:00", "2026-03-02T14:59:59", "2026-03-01T15:00"),
        ("Asia/Seoul", "00:00", "2026-03-02T15:00:00", "2026-03-02T15:00"),
        ("Asia/Seoul", "06:00", "2026-03-02T20:59:59", "2026-03-01T21:00"),
        ("Asia/Seoul", "06:00", "2026-03-02T21:00:00", "2026-03-02T21:00"),
        ("UTC", "00:00", "2026-03-02T23:59:59", "2026-03-02T00:00"),
        ("America/New_York", "00:00", "2026-03-08T12:00:00", "2026-03-08T05:00"),
        ("America/New_York", "00:00", "2026-03-09T12:00:00", "2026-03-09T04:00"),
    ],
)
def test_a_day_begins_at_its_boundary_in_the_zone_of_the_venue(kit, zone, boundary, at, start):
    at, start = (dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC) for text in (at, start))

    assert day_start(kit, zone, boundary, at) == start


def test_profit_begins_again_at_the_accounts_own_boundary(kit):
    kit.db.execute("truncate risk.account_equity")
    kit.db.execute("update trade.accounts set day_boundary = '06:00'")
    measure(kit)
    kit.advance(hours=19)  # 05:00 in Seoul: still Monday's account day
    kit.move_cash(300, "dividend")
    assert measure(kit).day_pnl == 300

    kit.advance(minutes=59)
    assert measure(kit).day_pnl == 300

    kit.advance(minutes=1)
    row = measure(kit)
    assert row.day_pnl == 0
    assert row.day_start == dt.datetime(2026, 3, 2, 21, 0, tzinfo=dt.UTC)
    assert kit.call("desk", "select count(*) from performance") == 2


def test_an_empty_book_without_any_trade_leaves_the_last_sound_quote_as_mark(kit):
    kit.hold(10, 60_000)
    kit.quote(70_000, 70_100)
    kit.quote(0, 0)

    assert mark(kit) == (70_000, True)


def test_a_deposit_in_the_very_instant_of_a_measure_is_no_profit(kit):
    kit.call(kit.db, "select api.measure_equity()")
    kit.move_cash(1_000_000)
    kit.call(kit.db, "select api.measure_equity()")

    assert kit.call("desk", "select day_pnl from performance where account = 'demo'") == 0
