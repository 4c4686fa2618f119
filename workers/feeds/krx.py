"""Price steps and daily limits of the Korean exchange, for the simulator that plays it.

What orders must obey stands in the table `market.tick_sizes`; this is the other side of the wire, an exchange
of our own, and a test holds the two equal.
"""

from __future__ import annotations

# (prices below, step), in won, for KOSPI and KOSDAQ alike since 2023-01-25; above the last: 1,000.
TICK_SIZES = ((2_000, 1), (5_000, 5), (20_000, 10), (50_000, 50), (200_000, 100), (500_000, 500))
TOP_TICK = 1_000
LIMIT_PERCENT = 30


def tick_size(price: int) -> int:
    """The price step at and just above `price`."""
    for below, tick in TICK_SIZES:
        if price < below:
            return tick
    return TOP_TICK


def round_down(price: int) -> int:
    return price - price % tick_size(price)


def up(price: int, ticks: int) -> int:
    """The price that many steps above a price on the grid; the step grows where the table says."""
    for _ in range(ticks):
        price += tick_size(price)
    return price


def down(price: int, ticks: int) -> int:
    """The price that many steps below a price on the grid."""
    for _ in range(ticks):
        price -= tick_size(price - 1)
    return price


def daily_limits(prev_close: int) -> tuple[int, int]:
    """The lowest and the highest price of the day, on the grid and never outside 30 % of the last close."""
    width = prev_close * LIMIT_PERCENT // 100
    lower, upper = round_down(prev_close - width), round_down(prev_close + width)
    if lower < prev_close - width:
        lower = up(lower, 1)
    return lower, upper
