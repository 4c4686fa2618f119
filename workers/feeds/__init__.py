"""The interface of a market data feed.

Prices and sizes stay the decimal text that the venue sent, up to the cast inside PostgreSQL: no code on the
way needs them as numbers, and a float would change them.  `api.ingest_quotes` decides which quote is stale,
crossed, late or out of limits; a feed only passes quotes on.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from workers.feeds.errors import FeedError

if TYPE_CHECKING:
    from workers.feeds.grid import Grid

__all__ = ["Event", "Feed", "FeedError", "Quote", "Source", "Trade", "make_feed"]


log = logging.getLogger("aegis.feeds")


@dataclass(slots=True)
class Quote:
    """The best bid and ask of one symbol; `ts` is its time in UTC and orders the quotes of a symbol.

    A missing side, such as the ask at the upper price limit, has price 0 and size 0.
    """

    symbol: str
    ts: datetime
    bid: str
    bid_size: str
    ask: str
    ask_size: str


@dataclass(slots=True)
class Trade:
    """One trade published by the venue (any participant's, not our own fill)."""

    symbol: str
    ts: datetime
    price: str
    size: str


FASTEST = 100  # highest speed factor; faster than this is only `max`

Source: TypeAlias = Literal["live", "sim", "replay"]
Event: TypeAlias = Quote | Trade


class Feed(Protocol):
    """A source of events; `batches()` yields what arrived since the last batch, in order, never empty."""

    name: str
    venue: str
    source: Source

    @property
    def symbols(self) -> Sequence[str]:
        """The symbols this feed can deliver, as its venue writes them."""
        ...

    def resume(self, next_seq: int, brought: int, mids: Mapping[str, str]) -> None:
        """Continue from the state of the database: next sequence number, events so far, mid prices.

        Called before the first batch.  `brought` counts the feed's events since the system was started; it is
        not 0 when this process replaces one that died.
        """
        ...

    def obey(self, grids: Mapping[str, Grid]) -> None:
        """Use these ticks and lots, which come from the database; called before the first batch."""
        ...

    def batches(self) -> AsyncIterator[Sequence[Event]]:
        """Yield events when they are due; ends when the source has no more."""
        ...

    def progress(self) -> str:
        """How far the feed has got, as text for people."""
        ...


def make_feed(spec: str, speed: str = "1") -> Feed:
    """Create the feed that `spec` names; the speed is a factor (source seconds per second) or `max`.

    `spec` is `sim`, `sim:SEED`, `sim:SEED,rate=200,liveliness=400` or `replay:FILE.csv.gz`.
    """
    from workers.feeds.recording import RecordingFeed
    from workers.feeds.simulator import SimulatorFeed

    kind, _, argument = spec.partition(":")
    factor = None if speed == "max" else _whole("the speed (or max)", speed)
    if factor is not None and not 1 <= factor <= FASTEST:
        raise FeedError(f"the speed is 1 to {FASTEST} or max, not {speed}")
    if kind == "sim":
        seed, *options = argument.split(",")
        return SimulatorFeed(seed=_whole("the seed", seed or "1"), speed=factor, **_options(options))
    if kind == "replay" and argument:
        return RecordingFeed(Path(argument).expanduser(), speed=factor, tell=log.warning)
    raise FeedError(f"unknown feed {spec!r}: use sim, sim:SEED or replay:FILE.csv.gz")


def _options(options: Sequence[str]) -> dict[str, int]:
    found = {}
    for option in options:
        name, _, value = option.partition("=")
        if name not in ("rate", "liveliness"):
            raise FeedError(f"the simulator has no option {name!r}: it has rate and liveliness")
        found[name] = _whole(name, value)
    return found


def _whole(what: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise FeedError(f"{what} is a whole number, not {text!r}")
    return int(text)
