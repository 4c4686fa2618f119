"""Momentum: buy when the fast average of the mid price rises above the slow one.

The gap between the averages must reach `threshold` basis points, so that a move of a single tick is no
signal, and must close again before the next signal.  The core handles stop and target.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workers.strategies import Price, Proposal, Strategy, StrategyError, parameter


@dataclass(slots=True)
class Trend:
    """The averages of one symbol."""

    fast: float
    slow: float
    seen: int = 0
    quiet: int = 0  # quotes to wait until the next proposal
    armed: bool = True  # whether the gap has closed since the last proposal

    @property
    def gap(self) -> float:
        """How far the fast average is above the slow one, in basis points."""
        return (self.fast / self.slow - 1) * 10_000


class Momentum(Strategy):
    """Buys on an upward cross of two exponential averages."""

    fast = parameter(8, least=2, most=10_000)
    slow = parameter(32, least=3, most=100_000)
    threshold = parameter(5.0, least=0.0, most=1_000.0)
    cooldown = parameter(50, least=0, most=1_000_000)

    def start(self) -> None:
        if self.fast >= self.slow:
            raise StrategyError(f"fast ({self.fast}) must be less than slow ({self.slow})")
        self.trends: dict[str, Trend] = {}

    def populate_indicators(self, price: Price) -> None:
        trend = self.trends.get(price.symbol)
        if trend is None:
            trend = self.trends[price.symbol] = Trend(price.mid, price.mid)
        trend.fast += (price.mid - trend.fast) * 2 / (self.fast + 1)
        trend.slow += (price.mid - trend.slow) * 2 / (self.slow + 1)
        trend.seen += 1
        trend.quiet = max(trend.quiet - 1, 0)
        trend.armed = trend.armed or trend.gap <= 0

    def on_data(self, price: Price) -> Iterable[Proposal]:
        trend = self.trends[price.symbol]
        if trend.seen < self.slow or trend.quiet or not trend.armed or trend.gap < self.threshold:
            return
        trend.quiet, trend.armed = self.cooldown, False
        if not self.positions.get(price.symbol):
            yield self.buy(price, f"fast average {trend.gap:.1f} bp above slow")
