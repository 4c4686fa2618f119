"""Parse one row of a recording into an event, or say why it is none.

Nearly every row has the plain format, which one regular expression reads.  Other formats that tools write
(scientific notation, rounding errors of binary floats, nanoseconds, a one-sided book) are parsed by slower
code, with the same plain decimals as the result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from workers.feeds import Event, Quote, Trade

COLUMNS = ("ts", "symbol", "bid", "bid_qty", "ask", "ask_qty", "last", "last_qty")
MOST = Decimal("1e18")

_PLAIN = r"(-?\d{1,18}(?:\.\d{1,18})?)"
_SYMBOL = r"""[^\s,"'\\\x00-\x1f\x7f\ufffd]{1,64}"""
PLAIN_ROW = re.compile(
    rf"(\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{{1,6}})?Z),({_SYMBOL}),"
    rf"(?:{_PLAIN},{_PLAIN},{_PLAIN},{_PLAIN},,|,,,,{_PLAIN},{_PLAIN})\r?\n?",
    re.ASCII,
)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,18}))?Z", re.ASCII)
_SYMBOL_ALONE = re.compile(_SYMBOL, re.ASCII)
_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(slots=True)
class OddRow:
    """The result for a row in an unusual format: its event, and the digits of its time after microseconds."""

    event: Event
    tail: str = ""


class NoEvent(Exception):
    """The row is no event; the message says why, as the end of a sentence that begins with "line N"."""


def plain_event(match: re.Match[str]) -> Event | None:
    """The event of a row in the plain format; None when its time does not exist."""
    ts, symbol, bid, bid_size, ask, ask_size, price, size = match.groups()
    try:
        when = datetime.fromisoformat(ts)
    except ValueError:  # for example 31 February
        return None
    if price is None:
        return Quote(symbol, when, bid, bid_size, ask, ask_size)
    return Trade(symbol, when, price, size)


def odd_row(line: str) -> OddRow:
    """Parse a row in an unusual format; raise NoEvent with what is wrong."""
    columns = line.rstrip("\r\n").split(",")
    if len(columns) != len(COLUMNS):
        raise NoEvent(f"has {len(columns)} column{'s' * (len(columns) > 1)}, not {len(COLUMNS)}")
    when, tail = _time(columns[0])
    symbol = columns[1]
    if _SYMBOL_ALONE.fullmatch(symbol) is None:
        raise NoEvent("has no symbol of 1 to 64 characters without spaces and quotes")
    book, trade = columns[2:6], columns[6:]
    if any(trade):
        if any(book):
            raise NoEvent("is both a quote and a trade")
        price, size = (_number(name, text) for name, text in zip(COLUMNS[6:], trade, strict=True))
        return OddRow(Trade(symbol, when, price, size), tail)
    if not any(book):
        raise NoEvent("is neither a quote nor a trade")
    bid, ask = _side("bid", *book[:2]), _side("ask", *book[2:])
    return OddRow(Quote(symbol, when, *bid, *ask), tail)


def _time(text: str) -> tuple[datetime, str]:
    """A time cut to microseconds, and the digits after them."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise NoEvent("has no time such as 2025-01-02T09:00:00.000000Z")
    fraction = (match[2] or "").ljust(6, "0")
    try:
        return datetime.fromisoformat(f"{match[1]}.{fraction[:6]}+00:00"), fraction[6:].rstrip("0")
    except ValueError:
        raise NoEvent("has a time that does not exist") from None


def _side(name: str, price: str, size: str) -> tuple[str, str]:
    """Price and size of one side; both are 0 when the side is missing."""
    if not price and not size:
        return "0", "0"
    return _number(name, price), _number(f"{name}_qty", size)


def _number(name: str, text: str) -> str:
    """A number in plain decimal notation; its grid and the database decide how many decimals to keep."""
    if _NUMBER.fullmatch(text) is None:
        raise NoEvent(f"has {text!r} as its {name}, which is no number" if text else f"has no {name}")
    value = Decimal(text)
    if abs(value) >= MOST:
        raise NoEvent(f"has {text!r} as its {name}, which is too large")
    return f"{value:f}"
