"""Recorded market data from a CSV file, read as a stream: a file of any size needs the memory of one block.

The file has one header line and eight columns, and is sorted by time:
`ts,symbol,bid,bid_qty,ask,ask_qty,last,last_qty`, with times in UTC ending in Z.  A quote leaves the last two
columns empty, a trade the four before them, and a one-sided book the two columns of the missing side.  Any
other row is counted and reported with its line and the reason; nothing is skipped silently or guessed.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice, pairwise
from operator import itemgetter
from pathlib import Path
from typing import IO

from workers.feeds import Event, Quote, Source
from workers.feeds.errors import FeedError
from workers.feeds.grid import Grid
from workers.feeds.pacing import flat_out, paced, utc_now
from workers.feeds.rows import COLUMNS, PLAIN_ROW, NoEvent, odd_row, plain_event

HEADER = ",".join(COLUMNS)
BLOCK = 64 * 1024  # bytes of lines in memory at once
EXCERPT = 120
TOLD = 10  # malformed rows that are reported one by one
NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that is no event, and why; the reason completes a sentence that begins with "line N"."""

    line: int
    text: str
    reason: str = "is neither a quote nor a trade"

    def __str__(self) -> str:
        return f"line {self.line} {self.reason}: {self.text!r}"


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
    """A file and how far it was read. Each call of `events()` starts over and resets the counters."""

    def __init__(self, path: Path, tell: Callable[[Malformed], None] | None = None) -> None:
        self.path = path
        self.tell = tell
        self.sort = False
        """Whether to sort the events by time; this holds all of them in memory."""
        self.grids: Mapping[str, Grid] = {}
        """Ticks and lots by symbol; events of other symbols are not checked."""
        self.strict = False
        """Whether to refuse a row with a price off its tick; otherwise it is counted and kept unchanged."""
        self.off_tick = 0
        """Rows with a price off its tick."""
        self.size = self._size()
        self._start_over()

    def _start_over(self) -> None:
        self.quotes = self.trades = self.malformed = self.off_tick = self.line = self.read = 0
        self.late = self.first_late = 0
        self._tail = ""  # the digits after the microseconds in the time of the current row

    def _size(self) -> int:
        try:
            return max(self.path.stat().st_size, 1)
        except OSError as error:
            raise FeedError(f"cannot read the recording {self.path}: {error.strerror}") from error

    @property
    def done(self) -> float:
        """The share of the file that was read, 0 to 1: exact at the end, approximate before."""
        return min(self.read / self.size, 1.0)

    def events(self) -> Iterator[Event]:
        """The events in the order of the file, or sorted by time, with their recorded times."""
        return self._sorted() if self.sort else self._in_order()

    def _sorted(self) -> Iterator[Event]:
        rows = [(event.ts, self._tail, event) for event in self._in_order()]
        falls = sum(later[0] < earlier[0] for earlier, later in pairwise(rows))
        rises = sum(later[0] > earlier[0] for earlier, later in pairwise(rows))
        if falls > rises:  # newest first; events with equal times are then in reverse order too
            rows.reverse()
        rows.sort(key=itemgetter(0, 1))
        for _, _, event in rows:
            yield event

    def _in_order(self) -> Iterator[Event]:
        self._start_over()
        row, grids, newest, tail = PLAIN_ROW.fullmatch, self.grids, NEVER, ""
        for line in self._lines():
            self.line += 1
            match = row(line)
            event = None if match is None else plain_event(match)
            if event is None:
                event = self._odd(line)
                if event is None:
                    continue
            elif self._tail:
                self._tail = ""
            if grids and (grid := grids.get(event.symbol)) and (price := grid.settle(event)):
                self.off_tick += 1
                if self.strict:
                    self._refuse(line, f"has the price {price}, which is off the tick of {event.symbol}")
                    continue
            if event.ts <= newest and (event.ts < newest or self._tail < tail):
                self.late += 1
                self.first_late = self.first_late or self.line
            else:
                newest, tail = event.ts, self._tail
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

    def _odd(self, line: str) -> Event | None:
        """The event of a row in an unusual format, or None when the row is refused."""
        try:
            odd = odd_row(line)
        except NoEvent as reason:
            self._refuse(line, str(reason))
            return None
        self._tail = odd.tail
        return odd.event

    def _refuse(self, line: str, reason: str) -> None:
        self.malformed += 1
        if self.tell is not None:
            self.tell(Malformed(self.line, line.rstrip("\r\n")[:EXCERPT], reason))

    @cached_property
    def totals(self) -> Totals:
        """Read the whole file once, only to count, with a separate reader that leaves this one as it is."""
        other, totals, symbols = Recording(self.path), Totals(), dict[str, None]()
        for event in other.events():
            totals.first = totals.first or event.ts
            totals.last = event.ts
            symbols[event.symbol] = None
        totals.quotes, totals.trades, totals.malformed = other.quotes, other.trades, other.malformed
        totals.symbols = sorted(symbols)
        return totals


def _text(raw: IO[bytes]) -> io.TextIOWrapper:
    """Open a plain or gzipped file as text; a byte that is not UTF-8 makes only its own row malformed."""
    gzipped = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    source = gzip.GzipFile(fileobj=raw) if gzipped else raw
    return io.TextIOWrapper(source, encoding="utf-8", errors="replace", newline="\n")


def venue_of(path: Path) -> str:
    """The venue from the first word of the file name: binance_usdm_20240808.csv.gz gives BINANCE."""
    return path.name.partition(".")[0].partition("_")[0].upper()


class RecordingFeed:
    """A recording played as if it happened now: at a given speed, or as fast as events are consumed."""

    name = "replay"
    source: Source = "replay"

    def __init__(self, path: Path, *, speed: int | None = 1, tell: Callable[[Malformed], None] | None = None):
        self.recording = Recording(path, None if tell is None else _first(TOLD, tell))
        self.venue = venue_of(path)
        self.speed = speed
        self._brought = 0

    @property
    def symbols(self) -> Sequence[str]:
        return self.recording.totals.symbols

    def obey(self, grids: Mapping[str, Grid]) -> None:
        """Use these ticks and lots; called before the first batch."""
        self.recording.grids = grids

    def resume(self, next_seq: int, brought: int, mids: Mapping[str, str]) -> None:
        """Skip the events this run has already delivered; a new run starts at the beginning."""
        self._brought = brought

    async def batches(self) -> AsyncIterator[Sequence[Event]]:
        events = islice(self.recording.events(), self._brought, None)
        paces = flat_out(events) if self.speed is None else paced(_shifted(events, utc_now(), self.speed))
        async for batch in paces:
            yield batch

    def progress(self) -> str:
        r = self.recording
        odd = {
            "malformed": r.malformed,
            "late": 0 if r.sort else r.late,
            "with a price off its tick": r.off_tick,
            "prices put on their tick": sum(grid.snapped for grid in r.grids.values()),
            "sizes cut to their lot": sum(grid.cut for grid in r.grids.values()),
        }
        oddities = "".join(f", {count} {what}" for what, count in odd.items() if count)
        return f"{r.done:.0%}, {r.quotes} quotes, {r.trades} trades{oddities}"


def _first(most: int, tell: Callable[[Malformed], None]) -> Callable[[Malformed], None]:
    """Pass on only the first `most` rows."""
    left = iter(range(most))

    def limited(row: Malformed) -> None:
        if next(left, None) is not None:
            tell(row)

    return limited


def _shifted(events: Iterator[Event], start: datetime, speed: int) -> Iterator[Event]:
    """The same events, the first at `start` and the rest `speed` times faster than recorded."""
    first = None
    for event in events:
        first = first or event.ts
        event.ts = start + (event.ts - first) / speed
        yield event
