"""Recorded market data from a CSV file, read as a stream: a day of any size takes the memory of one block.

The layout is one header and eight columns, sorted by time: `ts,symbol,bid,bid_qty,ask,ask_qty,last,last_qty`,
times in UTC with a Z.  A quote leaves the last two columns empty, a trade the four before.  A row that is
anything else is counted and told with its line number; nothing is skipped in silence and nothing is guessed.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import IO

from workers.feeds import Event, Quote, Source, Trade
from workers.feeds.errors import FeedError
from workers.feeds.pacing import flat_out, paced, utc_now

HEADER = "ts,symbol,bid,bid_qty,ask,ask_qty,last,last_qty"
BLOCK = 64 * 1024  # bytes of lines in memory at once
EXCERPT = 120

_NUMBER = r"(-?\d{1,20}(?:\.\d{1,18})?)"
_ROW = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z),([!#-+\--~]{1,64}),"
    rf"(?:{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER},,|,,,,{_NUMBER},{_NUMBER})\r?\n?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that is neither a quote nor a trade."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line} is neither a quote nor a trade: {self.text!r}"


@dataclass(slots=True)
class Totals:
    """What a recording holds."""

    quotes: int = 0
    trades: int = 0
    malformed: int = 0
    first: datetime | None = None
    last: datetime | None = None
    symbols: list[str] = field(default_factory=list)

    @property
    def events(self) -> int:
        return self.quotes + self.trades


class Recording:
    """A file and how far it was read. Each call of `events()` starts over, the counters too."""

    def __init__(self, path: Path, tell: Callable[[Malformed], None] | None = None) -> None:
        self.path = path
        self.tell = tell
        self.quotes = self.trades = self.malformed = self.line = 0
        self.size = self._size()
        self.read = 0

    def _size(self) -> int:
        try:
            return max(self.path.stat().st_size, 1)
        except OSError as error:
            raise FeedError(f"cannot read the recording {self.path}: {error.strerror}") from error

    @property
    def done(self) -> float:
        """The part of the file that was read, 0 to 1: exact at the end, near enough before."""
        return min(self.read / self.size, 1.0)

    def events(self) -> Iterator[Event]:
        """The events in the order of the file, with the times of the file."""
        self.quotes = self.trades = self.malformed = self.line = self.read = 0
        row = _ROW.fullmatch
        for line in self._lines():
            self.line += 1
            match = row(line)
            event = None if match is None else _event(match)
            if event is None:
                self._malformed(line)
                continue
            if type(event) is Quote:
                self.quotes += 1
            else:
                self.trades += 1
            yield event

    def _lines(self) -> Iterator[str]:
        """The lines after the header, a block at a time."""
        try:
            with self.path.open("rb") as raw:
                text = _text(raw)
                header = text.readline(EXCERPT * 2).rstrip("\r\n").removeprefix("\ufeff")
                self.line = 1
                if header != HEADER:
                    raise FeedError(f"{self.path} is not a recording: its first line is not {HEADER!r}")
                while block := text.readlines(BLOCK):
                    self.read = raw.tell()
                    yield from block
                self.read = self.size
        except (OSError, EOFError, zlib.error) as error:
            where = f"{self.path} breaks off after line {self.line}"
            raise FeedError(f"the recording {where}: {error}") from error

    def _malformed(self, line: str) -> None:
        self.malformed += 1
        if self.tell is not None:
            self.tell(Malformed(self.line, line.rstrip("\r\n")[:EXCERPT]))

    @cached_property
    def totals(self) -> Totals:
        """Read the whole file once, only to count; another reader, so a pass that is under way goes on."""
        other, totals, symbols = Recording(self.path), Totals(), dict[str, None]()
        for event in other.events():
            totals.first = totals.first or event.ts
            totals.last = event.ts
            symbols[event.symbol] = None
        totals.quotes, totals.trades, totals.malformed = other.quotes, other.trades, other.malformed
        totals.symbols = sorted(symbols)
        return totals


def _text(raw: IO[bytes]) -> io.TextIOWrapper:
    """Lines of a plain or gzipped file; a byte that is not UTF-8 spoils its own row only."""
    gzipped = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    source = gzip.GzipFile(fileobj=raw) if gzipped else raw
    return io.TextIOWrapper(source, encoding="utf-8", errors="replace", newline="\n")


def _event(match: re.Match[str]) -> Event | None:
    ts, symbol, bid, bid_size, ask, ask_size, price, size = match.groups()
    try:
        when = datetime.fromisoformat(ts)
    except ValueError:  # the 31st of February
        return None
    if price is None:
        return Quote(symbol, when, bid, bid_size, ask, ask_size)
    return Trade(symbol, when, price, size)


class RecordingFeed:
    """A recording played as if it happened now: at a speed, or as fast as the events are taken.

    Its venue is the first word of the file's name: binance_usdm_20240808.csv.gz is from BINANCE.
    """

    name = "replay"
    source: Source = "replay"

    def __init__(self, path: Path, *, speed: int | None = 1, tell: Callable[[Malformed], None] | None = None):
        self.recording = Recording(path, tell)
        self.venue = path.name.partition(".")[0].partition("_")[0].upper()
        self.speed = speed
        self._brought = 0

    @property
    def symbols(self) -> Sequence[str]:
        return self.recording.totals.symbols

    def resume(self, next_seq: int, brought: int, mids: Mapping[str, str]) -> None:
        """Go on behind what this run has brought; a new run starts at the beginning."""
        self._brought = brought

    async def batches(self) -> AsyncIterator[Sequence[Event]]:
        events = islice(self.recording.events(), self._brought, None)
        paces = flat_out(events) if self.speed is None else paced(_shifted(events, utc_now(), self.speed))
        async for batch in paces:
            yield batch

    def progress(self) -> str:
        r = self.recording
        told = f", {r.malformed} malformed" if r.malformed else ""
        return f"{r.done:.0%}, {r.quotes} quotes, {r.trades} trades{told}"


def _shifted(events: Iterator[Event], start: datetime, speed: int) -> Iterator[Event]:
    """The same events, the first at `start` and the others `speed` times faster than recorded."""
    first = None
    for event in events:
        first = first or event.ts
        event.ts = start + (event.ts - first) / speed
        yield event
