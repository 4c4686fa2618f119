"""What a source of market data looks like to Aegis.

Prices and sizes stay the decimal text the venue sent, from the wire to the cast inside PostgreSQL: nothing
on the way needs them as numbers, and a float would change them.  Which quote is fresh, crossed, late or out
of its limits is for `api.ingest_quotes` to say; a feed only carries.
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
    """The best bid and ask of one symbol; `ts` says when, in UTC, and orders the quotes of a symbol.

    A side that is not there, as the ask at an upper price limit, is 0 in price and size.
    """

    symbol: str
    ts: datetime
    bid: str
    bid_size: str
    ask: str
    ask_size: str


@dataclass(slots=True)
class Trade:
    """One trade printed by the venue (anybody's, not ours)."""

    symbol: str
    ts: datetime
    price: str
    size: str


FASTEST = 100  # seconds of the source in a second; beyond it, max

Source: TypeAlias = Literal["live", "sim", "replay"]
Event: TypeAlias = Quote | Trade


class Feed(Protocol):
    """A source of events; `batches()` yields what arrived since the last batch, in order, never nothing."""

    name: str
    venue: str
    source: Source

    @property
    def symbols(self) -> Sequence[str]:
        """The symbols this feed can bring, as its venue writes them."""
        ...

    def resume(self, next_seq: int, brought: int, mids: Mapping[str, str]) -> None:
        """Hear, before the first batch, where the database stands, to go on from there.

        `brought` counts the events of this run of the system: not 0 when this process replaces a dead one.
        """
        ...

    def obey(self, grids: Mapping[str, Grid]) -> None:
        """Hear, before the first batch, the ticks and lots of the symbols as the database knows them."""
        ...

    def batches(self) -> AsyncIterator[Sequence[Event]]:
        """Bring events at their pace; ends when the source has no more."""
        ...

    def progress(self) -> str:
        """How far it is, in words for people."""
        ...


def make_feed(spec: str, speed: str = "1") -> Feed:
    """The feed a setting names; the speed is a factor (seconds of the source in a second) or `max`.

    `sim`, `sim:SEED`, `sim:SEED,rate=200,liveliness=400` or `replay:FILE.csv.gz`.
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
