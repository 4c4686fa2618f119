"""Tick sizes and daily price limits of the Korean exchange, for the simulator.

Our orders must obey the table `market.tick_sizes`.  This module is the exchange's side, so it has its own
copy, and a test checks that the two are equal.
"""

from __future__ import annotations

# (price below, tick) in won, for KOSPI and KOSDAQ since 2023-01-25; from 500,000 on the tick is 1,000.
TICK_SIZES = ((2_000, 1), (5_000, 5), (20_000, 10), (50_000, 50), (200_000, 100), (500_000, 500))
TOP_TICK = 1_000
LIMIT_PERCENT = 30


def tick_size(price: int) -> int:
    """The tick size at and just above `price`."""
    for below, tick in TICK_SIZES:
        if price < below:
            return tick
    return TOP_TICK


def round_down(price: int) -> int:
    return price - price % tick_size(price)


def up(price: int, ticks: int) -> int:
    """The price that many ticks above a valid price; the tick size changes as in the table."""
    for _ in range(ticks):
        price += tick_size(price)
    return price


def down(price: int, ticks: int) -> int:
    """The price that many ticks below a valid price."""
    for _ in range(ticks):
        price -= tick_size(price - 1)
    return price


def daily_limits(prev_close: int) -> tuple[int, int]:
    """The lowest and highest price of the day: on ticks, and within 30 % of the last close."""
    width = prev_close * LIMIT_PERCENT // 100
    lower, upper = round_down(prev_close - width), round_down(prev_close + width)
    if lower < prev_close - width:
        lower = up(lower, 1)
    return lower, upper
