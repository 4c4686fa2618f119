"""Read a recording before it is played: what it contains, and whether it can be played."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

from workers.feeds import Quote
from workers.feeds.errors import FeedError
from workers.feeds.grid import Grid, decimals, has_tail
from workers.feeds.recording import TOLD, Malformed, Recording

HEAD = 10_000  # events to read when reading the whole file would take too long


@dataclass
class Survey:
    """Counts of a whole recording, or of its first events."""

    file: Path
    quotes: int = 0
    trades: int = 0
    malformed: int = 0
    off_tick: int = 0
    late: int = 0
    first_late: int = 0
    first: datetime | None = None
    """The earliest time, wherever it is in the file."""
    tails: int = 0
    """Numbers that end in the rounding error of a binary float."""
    is_whole: bool = True
    """Whether the whole file was read."""
    decimals: dict[str, tuple[int, int]] = field(default_factory=dict)
    """How many decimals each symbol's prices and sizes need."""
    refused: list[Malformed] = field(default_factory=list)
    """The first rows that were refused."""

    @property
    def events(self) -> int:
        return self.quotes + self.trades

    @classmethod
    def of(cls, file: Path, grids: Mapping[str, Grid] | None = None, most: int | None = None) -> Survey:
        """Read the file, or at most `most` events of it; with grids, also check prices against ticks."""
        found = cls(file)
        recording = Recording(file, found._refuse)
        recording.grids, recording.strict = grids or {}, True
        events = recording.events()
        for event in islice(events, most):
            if found.first is None or event.ts < found.first:
                found.first = event.ts
            prices, sizes = found.decimals.get(event.symbol, (0, 0))
            numbers = (event.bid, event.ask) if type(event) is Quote else (event.price,)  # type: ignore[union-attr]
            prices = max(prices, *map(decimals, numbers), 0)
            if type(event) is Quote:
                sizes = max(sizes, decimals(event.bid_size), decimals(event.ask_size))
                found.tails += sum(map(has_tail, (*numbers, event.bid_size, event.ask_size)))
            else:
                found.tails += sum(map(has_tail, (*numbers, event.size)))  # type: ignore[union-attr]
            found.decimals[event.symbol] = prices, sizes
        found.is_whole = most is None or next(events, None) is None
        found.quotes, found.trades = recording.quotes, recording.trades
        found.malformed, found.off_tick = recording.malformed, recording.off_tick
        found.late, found.first_late = recording.late, recording.first_late
        return found

    def _refuse(self, row: Malformed) -> None:
        if len(self.refused) < TOLD:
            self.refused.append(row)

    def check(self, *, sort: bool = False) -> None:
        """Raise FeedError, with a hint on what to do, when the recording cannot be played as it is."""
        if self.off_tick:
            count = f"{self.off_tick} rows of {self.file} have a price off its tick"
            raise FeedError(
                f"{count}:{self._rows()}",
                hint="Another tick: aegis replay --tick; for aegis up, aegis universe add with --tick.",
            )
        if not self.events and self.is_whole:
            malformed = f"; {self.malformed} rows are malformed:{self._rows()}" if self.malformed else ""
            raise FeedError(
                f"{self.file} holds no event{malformed}", hint="aegis replay --help names the columns."
            )
        if not self.quotes and self.is_whole:
            raise FeedError(
                f"{self.file} holds only trades: {self.trades} trades and no quote",
                hint="Nothing is bought or sold without a bid or an ask: record the best quotes as well.",
            )
        if self.late and not sort:
            raise FeedError(
                f"{self.late} of {self.events} events of {self.file} are older than one before them, "
                f"the first on line {self.first_late}",
                hint="aegis replay --sort brings them into order; or sort the file by its first column.",
            )

    def _rows(self) -> str:
        return "".join(f"\n  {row}" for row in self.refused)


class Everywhere(Mapping[str, Grid]):
    """A mapping that gives every symbol the same grid."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def __getitem__(self, symbol: str) -> Grid:
        return self._grid

    def __iter__(self) -> Iterator[str]:
        return iter(("",))

    def __len__(self) -> int:
        return 1
