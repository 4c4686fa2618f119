"""Go against the move: buy what fell far below its own average, give it up when it is back.

Far is `entry` standard deviations of the last `window` quotes.  A position that came back to the average
without reaching its target is sold, since the reason to hold it is gone; its stop is the core's work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import sqrt

from workers.strategies import Price, Proposal, Strategy, parameter


class Window:
    """The last mid prices of one symbol, with the wait before the next proposal."""

    __slots__ = ("mids", "quiet")

    def __init__(self, size: int) -> None:
        self.mids: deque[float] = deque(maxlen=size)
        self.quiet = 0

    @property
    def score(self) -> float:
        """How many standard deviations the newest price is above the average; 0 while nothing moves."""
        mean = sum(self.mids) / len(self.mids)
        deviation = sqrt(sum((mid - mean) ** 2 for mid in self.mids) / len(self.mids))
        return (self.mids[-1] - mean) / deviation if deviation > mean * 1e-9 else 0.0


class MeanReversion(Strategy):
    """Buy deep below the average of a window, sell when the price is back above it."""

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
