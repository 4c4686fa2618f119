"""Mean reversion: buy when a price falls far below its own average, sell when it is back above it.

Far means `entry` standard deviations of the last `window` quotes.  A position whose price has risen `leave`
deviations above the average without reaching its target is sold, since the reason to hold it is gone.  The
core handles the stop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import sqrt

from workers.strategies import Price, Proposal, Strategy, parameter


class Window:
    """The last mid prices of one symbol, and how many quotes to wait until the next proposal."""

    __slots__ = ("mids", "quiet")

    def __init__(self, size: int) -> None:
        self.mids: deque[float] = deque(maxlen=size)
        self.quiet = 0

    @property
    def score(self) -> float:
        """How many standard deviations the newest price is above the average; 0 while prices do not move."""
        mean = sum(self.mids) / len(self.mids)
        deviation = sqrt(sum((mid - mean) ** 2 for mid in self.mids) / len(self.mids))
        return (self.mids[-1] - mean) / deviation if deviation > mean * 1e-9 else 0.0


class MeanReversion(Strategy):
    """Buys far below the average of a window, sells when the price is back above it."""

    window = parameter(40, least=5, most=10_000)
    entry = parameter(2.0, least=0.1, most=20.0)
    leave = parameter(1.0, least=-20.0, most=20.0)
    cooldown = parameter(50, least=0, most=1_000_000)

    def start(self) -> None:
        self.windows: dict[str, Window] = {}

    def populate_indicators(self, price: Price) -> None:
        window = self.windows.get(price.symbol)
        if window is None:
            window = self.windows[price.symbol] = Window(self.window)
        window.mids.append(price.mid)
        window.quiet = max(window.quiet - 1, 0)

    def on_data(self, price: Price) -> Iterable[Proposal]:
        window = self.windows[price.symbol]
        if len(window.mids) < self.window or window.quiet:
            return
        holds = bool(self.positions.get(price.symbol))
        score = window.score
        if not holds and score <= -self.entry:
            window.quiet = self.cooldown
            yield self.buy(price, f"{-score:.1f} deviations below its average")
        elif holds and score >= self.leave:
            window.quiet = self.cooldown
            yield self.sell(price, f"back, {score:.1f} deviations above its average")
