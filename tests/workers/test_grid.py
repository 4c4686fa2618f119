"""Ticks and lots of recordings: a price almost on a tick is put on it, others are refused; sizes are cut."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.feeds import Quote, Trade
from workers.feeds.grid import Grid, decimals, has_tail

KRX = [(Decimal(0), Decimal(1)), (Decimal(2000), Decimal(5)), (Decimal(5000), Decimal(10))]
STEPS = ["1", "0.01", "0.00000001", "0.3", "7", "0.000000000000000001"]


@pytest.mark.parametrize(
    ("number", "places", "tail"),
    [
        ("61800.20", 1, False),
        ("7", 0, False),
        ("27.643747620000003", 8, True),
        ("0.0038217599999999996", 8, True),
        ("0.00031099999999999997", 6, True),
        ("0.1234567890123456", 15, True),
        ("123456789.123456", 6, False),
        ("0.000000000000000000", 0, False),
        ("0.000000000000000001", 18, False),
    ],
)
def test_the_tail_of_a_float_is_not_taken_for_decimals(number, places, tail):
    assert (decimals(number), has_tail(number)) == (places, tail)


@given(steps=st.integers(1, 10**9), step=st.sampled_from(STEPS), off=st.integers(-(10**15), 10**15))
def test_a_price_is_its_tick_or_refused(steps, step, off):
    tick = Decimal(step)
    price = Fraction(tick) * steps * (1 + Fraction(off, 10**23))  # off by up to ten billionths of itself
    text = f"{float(price):.30f}" if off % 2 else f"{Decimal(steps) * tick:f}"
    if Fraction(text) <= 0:
        return
    grid = Grid([(Decimal(0), tick)])

    found = grid.price(text)

    nearest = round(Fraction(text) / Fraction(tick)) * Fraction(tick)
    distance = abs(Fraction(text) - nearest)
    if distance == 0:
        assert (found, grid.snapped) == (text, 0)
    elif distance < Fraction(text) / 10**9:
        assert (Fraction(found or 0), grid.snapped) == (nearest, 1)
    else:
        assert found is None


@given(size=st.decimals("0.000000000000000001", "99999999", places=18), step=st.sampled_from(STEPS))
def test_a_size_is_cut_to_its_lot(size, step):
    lot, text = Fraction(step), f"{size:f}"
    grid = Grid(lot=Decimal(step))

    found = Fraction(grid.size(text))

    below = Fraction(text) // lot * lot
    assert found in (below, below + lot)
    assert found == below or found - Fraction(text) < Fraction(text) / 10**9
    assert grid.cut == (found != Fraction(text))


def test_the_tick_is_that_of_the_band():
    grid = Grid(KRX)

    assert [grid.price(price) for price in ("1999", "2000", "2001", "4995", "5000", "5005")] == [
        "1999", "2000", None, "4995", "5000", None,
    ]  # fmt: skip
    assert grid.price("1999.9999999") == "2000"


def test_an_event_is_settled_in_place_and_a_price_off_its_tick_is_named():
    grid = Grid([(Decimal(0), Decimal("0.01"))], Decimal("0.001"))
    quote = Quote("X", None, "1.0100000000000002", "5.0009", "0", "0")
    trade = Trade("X", None, "1.02", "0.0005")

    assert grid.settle(quote) is None
    assert grid.settle(trade) is None
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == ("1.01", "5", "0", "0")
    assert (trade.price, trade.size) == ("1.02", "0")
    assert grid.settle(Trade("X", None, "1.015", "1")) == "1.015"
    assert grid.settle(Quote("X", None, "1.01", "1", "1.011", "1")) == "1.011"
    assert (grid.snapped, grid.cut) == (1, 2)


def test_what_is_zero_or_below_is_the_databases_to_judge():
    grid = Grid([(Decimal(0), Decimal(2))], Decimal(2))

    assert [grid.price("-1"), grid.size("-1"), grid.price("0"), grid.size("0")] == ["-1", "-1", "0", "0"]


def test_its_memory_is_bounded(monkeypatch):
    monkeypatch.setattr("workers.feeds.grid.CACHED", 10)
    grid = Grid([(Decimal(0), Decimal(1))], Decimal(1))
    for n in range(1, 100):
        assert grid.price(str(n)) == grid.size(str(n)) == str(n)

    assert len(grid._prices) <= 10
    assert len(grid._sizes) <= 10
