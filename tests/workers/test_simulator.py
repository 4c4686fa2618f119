"""The simulated market: the same seed gives the same market, and no event breaks a rule of the exchange."""

import hashlib
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.feeds import FeedError, Quote, Trade, krx, make_feed, pacing
from workers.feeds.simulator import INSTRUMENTS, Book, Instrument, Market, SimulatorFeed

ORIGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LIMITS = {i.symbol: krx.daily_limits(i.prev_close) for i in INSTRUMENTS}


def take(count, seed=7, **settings):
    return list(islice(Market(seed, **settings).events(ORIGIN), count))


def digest(events):
    return hashlib.sha256(repr(events).encode()).hexdigest()


def range_percent(events):
    """The range of each symbol's bids in percent of the lowest one; the median over the symbols."""
    bids = defaultdict(list)
    for event in events:
        if isinstance(event, Quote):
            bids[event.symbol].append(int(event.bid))
    ranges = sorted((max(b) / min(b) - 1) * 100 for b in bids.values())
    return ranges[len(ranges) // 2]


def test_one_seed_is_one_market_on_every_machine():
    events = take(20_000)

    assert digest(events) == digest(take(20_000))
    assert digest(events) == "7826374aa4bb69652165417b9296c8c68587232e5cbd0d052b69095700b1afe5"


def test_another_seed_is_another_market():
    assert digest(take(1_000, seed=7)) != digest(take(1_000, seed=8))


@pytest.mark.parametrize("liveliness", [1, 400, 10_000])
def test_no_quote_breaks_a_rule_of_the_exchange(liveliness):
    for event in take(30_000, liveliness=liveliness):
        lower, upper = LIMITS[event.symbol]
        if isinstance(event, Trade):
            assert lower <= int(event.price) <= upper
            assert int(event.size) > 0
            continue
        bid, ask = int(event.bid), int(event.ask)
        assert lower <= bid < ask <= upper
        assert bid % krx.tick_size(bid) == 0
        assert ask % krx.tick_size(ask) == 0
        assert ask in (krx.up(bid, ticks) for ticks in (1, 2, 3))
        assert int(event.bid_size) > 0
        assert int(event.ask_size) > 0


def test_a_trade_happens_at_the_quote_before_it_and_takes_no_more_than_was_shown():
    events = take(20_000)

    for before, trade in pairwise(events):
        if isinstance(trade, Trade):
            assert isinstance(before, Quote)
            shown = {before.bid: before.bid_size, before.ask: before.ask_size}
            assert trade.symbol == before.symbol
            assert int(trade.size) <= int(shown[trade.price])


def test_time_only_goes_forward_and_the_rate_is_kept():
    events = take(30_000, rate=200)

    times = [event.ts for event in events]
    quotes = sum(isinstance(event, Quote) for event in events)
    assert all(a < b for a, b in pairwise(times))
    assert quotes / (times[-1] - ORIGIN).total_seconds() == pytest.approx(200, rel=0.01)


def test_every_symbol_is_quoted_and_both_kinds_of_event_come():
    events = take(5_000)

    assert {event.symbol for event in events} == set(LIMITS)
    assert {type(event) for event in events} == {Quote, Trade}


def test_liveliness_sets_how_far_prices_go():
    calm, lively = range_percent(take(20_000, liveliness=1)), range_percent(take(20_000, liveliness=400))

    assert calm < 1
    assert lively > 3


def test_half_a_percent_is_passed_within_ten_seconds_in_most_symbols():
    """The demo depends on it: a stop or target of half a percent is reached while somebody watches."""
    events = take(12 * 250)

    moved = set()
    first = {}
    for event in events:
        if isinstance(event, Quote):
            start = first.setdefault(event.symbol, int(event.bid))
            if abs(int(event.bid) / start - 1) > 0.005:
                moved.add(event.symbol)
    assert (events[-1].ts - ORIGIN) < timedelta(seconds=13)
    assert len(moved) >= 9


def test_open_and_close_are_louder_than_noon():
    market = Market(1, liveliness=1)
    hours = [market.loudness(int(hour * 3_600_000_000)) for hour in (0, 3.25, 6.49)]

    assert hours[0] > 2 * hours[1] < hours[2]


def test_a_price_at_its_limit_stays_uncrossed_and_inside():
    lower, upper = krx.daily_limits(2_000)
    book = Book(Instrument("X", "X", 2_000, 20_000, 1), 1, None)

    for fair in (lower, lower + 1, upper - 1, upper):
        book.fair = fair * 1_000_000
        for spread in (1, 2, 3):
            bid, ask = book.best(spread)
            assert lower <= bid < ask <= upper


@given(st.integers(min_value=4, max_value=3_000_000), st.integers(min_value=1, max_value=5))
def test_a_step_up_and_down_again_is_where_it_began(price, ticks):
    price = krx.round_down(price)

    assert krx.down(krx.up(price, ticks), ticks) == price


@given(st.integers(min_value=100, max_value=3_000_000))
def test_daily_limits_are_on_the_grid_and_within_thirty_percent(prev_close):
    lower, upper = krx.daily_limits(prev_close)

    assert lower * 10 >= prev_close * 7 - 10
    assert upper * 10 <= prev_close * 13
    assert lower % krx.tick_size(lower) == upper % krx.tick_size(upper) == 0


@pytest.mark.parametrize(
    ("below", "tick"),
    [(2_000, 1), (5_000, 5), (20_000, 10), (50_000, 50), (200_000, 100), (500_000, 500)],
)
def test_tick_sizes_are_those_of_2023(below, tick):
    assert krx.tick_size(below - 1) == tick < krx.tick_size(below) <= 1_000


def test_a_second_start_goes_on_from_the_last_prices_with_new_draws():
    feed = SimulatorFeed(seed=3)
    feed.resume(10_001, 0, {"005930": "80000"})

    books = {book.symbol: book for book in feed.market.turns}
    assert books["005930"].fair == 80_000 * 1_000_000
    assert books["000660"].fair == books["000660"].anchor
    assert feed.market.draws.next() == Market(3, first_step=10_000).draws.next()
    assert feed.market.draws.state != SimulatorFeed(seed=3).market.draws.state


def test_a_late_start_draws_what_the_market_would_have_drawn_by_then():
    market = Market(5)
    for _ in range(100):
        market.next()

    assert market.draws.next() == Market(5, first_step=100).draws.next()


async def test_batches_bring_every_event_in_order_when_it_is_due():
    feed = SimulatorFeed(seed=7, rate=20_000)
    taken = []
    async for batch in feed.batches():
        assert batch
        assert all(event.ts <= pacing.utc_now() for event in batch)
        taken += batch
        if len(taken) > 3_000:
            break

    expected = take(len(taken), seed=7, rate=20_000)
    assert [(e.symbol, type(e)) for e in taken] == [(e.symbol, type(e)) for e in expected]


async def test_a_market_that_was_not_watched_stood_still(monkeypatch):
    """After the machine slept for an hour, no flood of stale quotes comes; the next ones are current."""
    ahead = timedelta(0)
    real = pacing.utc_now
    monkeypatch.setattr(pacing, "utc_now", lambda: real() + ahead)
    batches = SimulatorFeed(seed=7, rate=1_000).batches()
    await anext(batches)

    ahead = timedelta(hours=1)
    late = [await anext(batches) for _ in range(4)]

    assert len(late[0]) <= 2
    assert all(pacing.utc_now() - event.ts < timedelta(seconds=1) for batch in late[2:] for event in batch)


async def test_at_max_speed_events_carry_the_moment_they_leave():
    before = pacing.utc_now()
    async for batch in make_feed("sim:7", "max").batches():
        assert {before <= event.ts <= pacing.utc_now() for event in batch} == {True}
        break


def test_a_feed_is_made_from_its_setting():
    feed = make_feed("sim:42,rate=500,liveliness=10", "2")

    assert isinstance(feed, SimulatorFeed)
    assert (feed.seed, feed.rate, feed.liveliness) == (42, 1_000, 20)
    assert (feed.name, feed.venue, feed.source) == ("sim", "SIM", "sim")


@pytest.mark.parametrize(
    ("spec", "speed", "message"),
    [
        ("simulator", "1", "unknown feed 'simulator'"),
        ("replay:", "1", "unknown feed 'replay:'"),
        ("sim:x", "1", "the seed is a whole number, not 'x'"),
        ("sim:1,vol=3", "1", "no option 'vol': it has rate and liveliness"),
        ("sim:1,rate=0", "1", "the rate is 1 to 100000"),
        ("sim:1,liveliness=99999", "1", "the liveliness is 1"),
        ("sim", "fast", "the speed (or max) is a whole number, not 'fast'"),
        ("sim", "0", "the speed is 1 to 100 or max, not 0"),
        ("sim", "-1", "the speed (or max)"),
    ],
)
def test_a_wrong_feed_setting_says_what_would_be_right(spec, speed, message):
    with pytest.raises(FeedError) as error:
        make_feed(spec, speed)

    assert message in str(error.value)
