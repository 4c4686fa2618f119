"""The live status of `aegis up` and `aegis top`: a screen on a terminal, lines elsewhere.

This module decides only the layout; every number comes from a view.  A small terminal shows fewer rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cli.common.formats import Row, clock, money
from cli.running import panels
from cli.running.snapshot import Snapshot

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

SHOWN_EVENTS = 6
FEWEST_EVENTS = 3  # on a small terminal
TALL = 36  # a terminal with this many lines also shows the latencies
INDENT = (0, 0, 0, 2)
LINE_EVERY = 5.0  # seconds between two status lines without a terminal


class Dashboard:
    """Turns successive snapshots into a screen or into lines."""

    def __init__(self, footer: str = "") -> None:
        self.footer = footer
        self.last_event = 0
        self.events: deque[Row] = deque(maxlen=SHOWN_EVENTS)
        self.rate = 0.0
        self._unprinted: deque[Row] = deque(maxlen=1000)
        self._before: Snapshot | None = None
        self._line_due: datetime | None = None

    def take(self, snapshot: Snapshot) -> None:
        """Record what is new since the previous snapshot."""
        before, self._before = self._before, snapshot
        self.last_event = max(self.last_event, snapshot.last_event)
        self._note(snapshot.events)
        if before is not None:
            seconds = (snapshot.at - before.at).total_seconds()
            self.rate = (snapshot.quotes() - before.quotes()) / seconds if seconds > 0 else self.rate

    def say(self, at: datetime, lines: Iterable[str]) -> None:
        """Add these lines to the events shown."""
        self._note([{"at": at, "entity": "aegis", "what": line} for line in lines])

    def _note(self, events: Sequence[Row]) -> None:
        self.events.extend(events)
        self._unprinted.extend(events)

    def lines(self, snapshot: Snapshot) -> Iterator[str]:
        """The events since the last call, and every few seconds the state on one line."""
        while self._unprinted:
            event = self._unprinted.popleft()
            yield f"{clock(event['at'])}  {event['entity']:<8} {event['what'] or ''}"
        if self._line_due is None or (snapshot.at - self._line_due).total_seconds() >= LINE_EVERY:
            self._line_due = snapshot.at
            yield f"{clock(snapshot.at)}  {'status':<8} {state_line(snapshot, self.rate)}"

    def screen(self, snapshot: Snapshot) -> RenderableType:
        return Screen(snapshot, self.rate, list(self.events), self.footer)


@dataclass(frozen=True)
class Screen:
    """One snapshot, cut to the height of the terminal: positions get the lines that the rest leaves."""

    snapshot: Snapshot
    rate: float
    events: Sequence[Row]
    footer: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.padding import Padding
        from rich.text import Text

        snapshot, height, blank = self.snapshot, options.height or options.max_height, Text()

        def lines(parts: Iterable[RenderableType]) -> int:
            return sum(len(console.render_lines(part, options, pad=False)) for part in parts)

        top: list[RenderableType] = [panels.header(snapshot, self.rate), *panels.notices(snapshot), blank]
        top += [Text.assemble(("  net ", "dim"), *panels.equity(row)) for row in snapshot.accounts]
        middle: list[RenderableType] = [blank, panels.flow(snapshot)]
        if snapshot.latency and height >= TALL:
            middle.append(Padding(panels.latency(snapshot.latency), INDENT))
        middle += [panels.refusal(snapshot.refusal), blank]
        foot: list[RenderableType] = [blank, Text(self.footer, style="dim")] if self.footer else []

        room = height - lines([*top, *middle, *foot])
        events = self.events[-(SHOWN_EVENTS if height >= TALL else FEWEST_EVENTS) :]
        rows = room - len(events) - 2  # a blank line and the column headings
        yield from top
        if snapshot.positions and rows > 0:
            yield blank
            yield Padding(panels.positions(snapshot.positions, rows), INDENT)
        yield from middle
        yield from map(panels.event_line, events)
        yield from foot


def state_line(snapshot: Snapshot, rate: float) -> str:
    """The state on one line, for a log."""
    status, totals = snapshot.status, snapshot.totals
    simulated = "SIMULATED " if status["is_simulated"] else ""
    nets = (
        ", ".join(f"net {money(row['equity'], row['currency'])}" for row in snapshot.accounts) or "no account"
    )
    flows = "  ".join(f"{name} {totals[name]}" for name in ("picks", "intents", "orders", "fills"))
    return (
        f"{simulated}{status['mode']}{snapshot.doubt}  {nets}  positions {status['open_positions']}  "
        f"{rate:.0f} quotes/s  {flows}  workers {status['workers']}"
    )
