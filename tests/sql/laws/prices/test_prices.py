"""L8: the newest quote wins in any order of arrival, each is counted, and an unsound one fires nothing."""

import datetime as dt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sql.laws.market_kit import OTHER, START, SYMBOL, refusal
from workers.runtime.errors import NotFound, PriceOutOfLimits, StalePrice

SECOND = dt.timedelta(seconds=1)


def best(kit, symbol=SYMBOL):
    return kit.look(
        "select b.* from market.prices_best b join market.instruments i using (instrument_id)"
        " where symbol = %s",
        symbol,
    )


def counted(kit):
    row = kit.look("select * from market.feeds")
    return (row.quotes_applied, row.quotes_superseded, row.quotes_quarantined)


# -- in any order of arrival -------------------------------------------------------------------------------

quotes = st.lists(
    st.tuples(
        st.sampled_from([SYMBOL, OTHER]),
        st.integers(-5, 0),  # seconds relative to START
        st.integers(100, 104),  # the bid in hundreds; the ask also adds the index, to identify the quote
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(quotes=quotes, data=st.data())
def test_the_newest_quote_is_best_in_whatever_order_and_batches_they_come(kit, quotes, data):
    kit.db.execute("truncate market.prices_best")
    batch = [
        (symbol, START + seconds * SECOND, 1_000 + number, price * 100, 1, price * 100 + 100 + number, 1)
        for number, (symbol, seconds, price) in enumerate(quotes)
    ]
    newest = {}
    for row in sorted(batch, key=lambda row: (row[1], row[2])):
        newest[row[0]] = row
    shuffled = data.draw(st.permutations(batch))
    cut = data.draw(st.integers(0, len(batch)))
    before = counted(kit)

    first, second = shuffled[:cut], shuffled[cut:]
    answers = [kit.quotes(part) for part in (first, second, second, first) if part]

    found = {symbol: best(kit, symbol) for symbol in newest}
    for symbol, row in newest.items():
        quote = found[symbol]
        assert (quote.quote_ts, quote.received_seq, quote.bid, quote.ask) == (row[1], row[2], row[3], row[5])
    after = counted(kit)
    assert tuple(map(sum, zip(before, *answers, strict=True))) == after
    assert sum(after) - sum(before) == 2 * len(batch), "each quote is counted, however often it comes"


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    trades=st.lists(st.tuples(st.integers(-5, 0), st.integers(1, 9)), min_size=1, max_size=6), data=st.data()
)
def test_the_newest_trade_is_last_in_whatever_order_they_come(kit, trades, data):
    kit.db.execute("truncate market.prices_best")
    rows = [(START + ts * SECOND, seq, price * 100) for seq, (ts, price) in enumerate(trades, 1)]

    for ts, seq, price in data.draw(st.permutations(rows)):
        query = (
            "select ingest_trades('sim', array[%s], array[%s::timestamptz], array[%s::bigint],"
            " array[%s::numeric], array[1::numeric])"
        )
        kit.call("feed", query, SYMBOL, ts, seq, price)

    assert best(kit).last == max(rows)[2]


def test_two_batches_at_once_leave_the_newest(kit):
    first, second = kit.connect("feed"), kit.connect("feed")
    query = (
        "select ingest_quotes('sim', array['005930'], array[%s::timestamptz], array[%s::bigint],"
        " array[%s::numeric], array[1::numeric], array[%s::numeric], array[1::numeric])"
    )
    with first.transaction():
        first.execute(query, [kit.now, 100, 71_000, 71_100])
        older = kit.background(second, query, kit.now, 99, 70_900, 71_000)
        kit.wait_for_lock(second)
    older.result(20)

    assert best(kit).bid == 71_000


# -- quarantine --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("999999", START, 90, 1, 1, 2, 1), "unknown symbol"),
        ((None, START, 90, 1, 1, 2, 1), "unknown symbol"),
        ((SYMBOL, START + 2.001 * SECOND, 90, 1, 1, 2, 1), "from the future"),
        ((SYMBOL, None, 90, 1, 1, 2, 1), "not a price"),
        ((SYMBOL, START, 90, "-Infinity", 1, 2, 1), "not a price"),
        ((SYMBOL, START, None, 1, 1, 2, 1), "not a price"),
        ((SYMBOL, START, 90, -1, 1, 2, 1), "not a price"),
        ((SYMBOL, START, 90, None, 1, -2, 1), "not a price"),
        ((SYMBOL, START, 90, 1, -1, 2, 1), "not a price"),
        ((SYMBOL, START, 90, 1, 1, "NaN", 1), "not a price"),
        ((SYMBOL, START, 90, 1, 1, "Infinity", 1), "not a price"),
        ((SYMBOL, START, 90, 1, "NaN", 2, 1), "not a price"),
    ],
)
def test_what_cannot_be_a_quote_is_quarantined_and_the_rest_of_its_batch_is_not(kit, row, reason):
    good = (OTHER, START, 91, 71_000, 1, 71_100, 1)

    assert kit.quotes([row, good]) == (1, 0, 1)

    assert [entry.reason for entry in kit.rows("desk", "select * from quarantine")] == [reason]
    assert best(kit).bid == 70_000
    assert best(kit, OTHER).bid == 71_000
    assert counted(kit) == (3, 0, 1)


def test_a_quote_two_seconds_ahead_is_only_a_fast_clock(kit):
    assert kit.quote(71_000, 71_100, ts=START + 2 * SECOND) == (1, 0, 0)


def test_a_feed_nobody_opened_brings_nothing(kit):
    with pytest.raises(NotFound):
        kit.call(
            "feed", "select ingest_quotes('x', '{005930}', '{2026-03-02}', '{1}', '{1}', '{1}', '{2}', '{1}')"
        )


def test_a_feed_goes_on_after_the_highest_number_it_used(kit):
    kit.quotes([(SYMBOL, START, 50, 1, 1, 2, 1), (SYMBOL, START, 20, 1, 1, 2, 1)])

    assert kit.call("feed", "select open_feed('sim', 'SIM', 'sim')") == 51


# -- prices that may be traded on --------------------------------------------------------------------------

UNSOUND = {
    "empty": (0, 0),
    "crossed": (60_100, 60_000),
}


@pytest.mark.parametrize("quote", UNSOUND.values(), ids=UNSOUND)
def test_an_unsound_quote_is_shown_and_fires_nothing(kit, quote):
    kit.add_strategy()
    kit.hold(10, owner="momo")

    kit.quote(*quote)

    assert best(kit).bid == (quote[0] or None)
    assert kit.call("exits", "select fire_exits()") == 0
    with pytest.raises(StalePrice):
        kit.buy(1, None)


def test_a_quote_outside_the_limits_of_the_day_fires_nothing(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    kit.db.execute("update market.instruments set limit_low = 65000, limit_high = 90000")

    kit.quote(60_000, 60_100)

    assert kit.call("exits", "select fire_exits()") == 0
    with pytest.raises(StalePrice):
        kit.sell(1, None, owner="momo")


STALE = {
    "an old quote": lambda kit: (
        kit.advance(seconds=5.1),
        kit.call("feed", "select feed_status('sim', 'CONNECTED', 'alive')"),
    ),
    "a silent feed": lambda kit: (
        kit.db.execute("update market.instruments set max_quote_age = '1 hour'"),
        kit.advance(seconds=5.1),
    ),
    "a disconnected feed": lambda kit: kit.call("feed", "select feed_status('sim', 'DISCONNECTED', 'gone')"),
    "a recording that is over": lambda kit: kit.call("feed", "select feed_status('sim', 'ENDED', 'over')"),
}


@pytest.mark.parametrize("go_stale", STALE.values(), ids=STALE)
def test_a_stale_price_fires_nothing_and_prices_nothing(kit, go_stale):
    strategy = kit.add_strategy()
    kit.hold(10, owner="momo")
    kit.quote(60_000, 60_100)
    go_stale(kit)

    assert kit.call("exits", "select fire_exits()") == 0
    for side in ("BUY", "SELL"):
        with pytest.raises(StalePrice):
            kit.intent(side, 1, None, owner="momo")
    kit.call(strategy, "select propose(%s, 'BUY')", OTHER)
    kit.call("router", "select route_picks(1)")
    assert [pick.code for pick in kit.rows("desk", "select * from picks")] == ["TRP01"]


def test_a_quote_that_was_old_when_it_arrived_fires_nothing(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    kit.advance(seconds=60)

    kit.quote(60_000, 60_100, ts=kit.now - dt.timedelta(seconds=6))

    assert kit.call("exits", "select fire_exits()") == 0


def test_the_same_price_fresh_fires(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    kit.quote(60_000, 60_100)
    kit.advance(seconds=4.9)

    assert kit.call("exits", "select fire_exits()") == 1


def test_a_real_broker_believes_only_live_prices(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    kit.db.execute("update trade.brokers set is_real = true")
    kit.quote(60_000, 60_100)

    assert kit.call("exits", "select fire_exits()") == 0
    with pytest.raises(StalePrice):
        kit.buy(1, None)
    kit.call("feed", "select open_feed('sim', 'SIM', 'live')")
    kit.quote(60_000, 60_100)
    assert kit.call("exits", "select fire_exits()") == 1


# -- prices of decisions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("price", [0, -1, "NaN", "Infinity"])
@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_a_limit_that_is_no_price_is_refused(kit, side, price):
    kit.hold(10)

    assert refusal(lambda: kit.intent(side, 1, price)) == "TRI01"


@pytest.mark.parametrize("quantity", [0, -1, None, "0.5", "NaN", "Infinity"])
@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_a_quantity_that_is_none_is_refused(kit, side, quantity):
    kit.hold(10)

    assert refusal(lambda: kit.intent(side, quantity, 70_000)) in ("TRI01", "TRQ01", "TRC01")
    assert kit.position().locked_qty == 0
    assert kit.balance().locked_cash == 0


@pytest.mark.parametrize(
    ("side", "limit", "worst"),
    [("BUY", 70_049, 70_000), ("BUY", 70_000, 70_000), ("SELL", 70_001, 70_100), ("SELL", 70_100, 70_100)],
)
def test_a_limit_is_moved_to_a_tick_never_to_the_worse(kit, side, limit, worst):
    kit.hold(10)

    assert kit.intent_row(kit.intent(side, 1, limit)).worst_price == worst


@pytest.mark.parametrize(("side", "limit"), [("BUY", 75_100), ("BUY", 64_900), ("SELL", 64_900)])
def test_a_limit_outside_the_limits_of_the_day_is_refused(kit, side, limit):
    kit.hold(10)
    kit.db.execute("update market.instruments set limit_low = 65000, limit_high = 75000")

    with pytest.raises(PriceOutOfLimits):
        kit.intent(side, 1, limit)


def test_a_market_price_is_capped_by_the_limits_of_the_day(kit):
    kit.hold(10)
    kit.db.execute("update market.instruments set limit_low = 69900, limit_high = 70200")
    kit.quote(70_000, 70_100)

    assert kit.intent_row(kit.buy(1, None)).worst_price == 70_200
    assert kit.intent_row(kit.sell(1, None)).worst_price == 69_900
