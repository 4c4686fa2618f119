"""Tick sizes and lot sizes, applied to the text of recorded events.

Data exports contain 7106.330000000001 where the exchange had 7106.33, and sizes that are no multiple of the
lot.  A price that is off its tick by less than a billionth of its value is moved to the tick.  A price that
is off by more belongs to another market or tick size, which is reported before the recording is played.  A
size is cut to whole lots, since the rest cannot be traded.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from decimal import Context, Decimal

from workers.feeds import Event, Quote

NEAR = Decimal("1e-9")  # a number closer to a step than this share of its value is taken to be on the step
TAIL = Decimal("1e-14")  # the same tolerance for counting decimals, where no step is known
TAIL_DIGITS = 16  # from this many digits on, a number may end in the rounding error of a binary float
CACHED = 100_000
_WIDE = Context(prec=120)
_ZERO = Decimal(0)


def decimals(text: str) -> int:
    """How many decimals a number needs: 1 for 61800.20 and also for 61800.200000000004."""
    places = len(text.partition(".")[2].rstrip("0"))
    if len(text) <= TAIL_DIGITS or places == 0:
        return places
    value = abs(Decimal(text))
    if len(value.as_tuple().digits) < TAIL_DIGITS:
        return places
    return next(n for n in range(places + 1) if abs(round(value, n) - value) <= value * TAIL)


def has_tail(text: str) -> bool:
    """Whether a number ends in the rounding error of a binary float."""
    return len(text) > TAIL_DIGITS and decimals(text) < len(text.partition(".")[2].rstrip("0"))


class Grid:
    """Tick sizes and lot size of a symbol. Without bands prices stay unchanged; without a lot, sizes do."""

    def __init__(self, bands: Iterable[tuple[Decimal, Decimal]] = (), lot: Decimal | None = None) -> None:
        """`bands` are pairs (price from, tick) as in `api.tick_sizes`."""
        ordered = sorted(bands)
        self._starts = [start for start, _ in ordered]
        self._ticks = [tick for _, tick in ordered]
        self._lot = lot
        self._prices: dict[str, str | None] = {}
        self._sizes: dict[str, str] = {}
        self.snapped = 0
        """Prices that were moved to their tick."""
        self.cut = 0
        """Sizes that were cut to whole lots."""

    def settle(self, event: Event) -> str | None:
        """Adjust an event in place to ticks and lots; if a price is off its tick, only return that price."""
        if type(event) is Quote:
            bid, ask = self.price(event.bid), self.price(event.ask)
            if bid is None or ask is None:
                return event.bid if bid is None else event.ask
            event.bid, event.bid_size = bid, self.size(event.bid_size)
            event.ask, event.ask_size = ask, self.size(event.ask_size)
        else:
            price = self.price(event.price)  # type: ignore[union-attr]  # the only other kind
            if price is None:
                return event.price  # type: ignore[union-attr]
            event.price, event.size = price, self.size(event.size)  # type: ignore[union-attr]
        return None

    def price(self, text: str) -> str | None:
        """The price moved to its tick; None when it is too far off."""
        if text not in self._prices:
            if len(self._prices) >= CACHED:
                self._prices.clear()
            self._prices[text] = self._on_tick(text)
        found = self._prices[text]
        if found != text and found is not None:
            self.snapped += 1
        return found

    def size(self, text: str) -> str:
        """The size cut to whole lots."""
        if text not in self._sizes:
            if len(self._sizes) >= CACHED:
                self._sizes.clear()
            self._sizes[text] = self._in_lots(text)
        found = self._sizes[text]
        if found != text:
            self.cut += 1
        return found

    def tick(self, price: Decimal) -> Decimal:
        """The tick size at a price."""
        return self._ticks[max(bisect_right(self._starts, price) - 1, 0)]

    def _on_tick(self, text: str) -> str | None:
        price = Decimal(text)
        if not self._ticks or price <= 0:  # the database judges a price of zero or less
            return text
        nearest, _, off = _steps(price, self.tick(price))
        if not off:
            return text
        return _text(nearest) if off < price * NEAR else None

    def _in_lots(self, text: str) -> str:
        size = Decimal(text)
        if self._lot is None or size <= 0:
            return text
        nearest, below, off = _steps(size, self._lot)
        if not off:
            return text
        return _text(nearest if off < size * NEAR else below)


def _text(value: Decimal) -> str:
    return f"{value.normalize(_WIDE):f}"


def _steps(value: Decimal, step: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """The multiple of a step nearest to a value, the multiple below it, and the distance to the nearest."""
    rest = _WIDE.remainder(value, step)
    if rest == 0:
        return value, value, _ZERO
    below = _WIDE.subtract(value, rest)
    above = _WIDE.add(below, step)
    nearest = below if rest * 2 <= step else above
    return nearest, below, abs(_WIDE.subtract(nearest, value))
