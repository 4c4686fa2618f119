"""The live status of `aegis up` and `aegis top`: a screen on a terminal, lines elsewhere.

This module decides only the layout; every number comes from a view.  A small terminal shows fewer rows and
shortened names, but never a truncated number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cli.common.formats import Row, clock, money, since
from cli.common.health import health_line
from cli.snapshot import Snapshot

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table
    from rich.text import Text

SHOWN_EVENTS = 6
FEWEST_EVENTS = 3  # on a small terminal
TALL = 36  # a terminal with this many lines also shows the latencies
INDENT = (0, 0, 0, 2)
MODE_STYLE = {"NORMAL": "bold green", "SAFE": "bold yellow", "HALT": "bold white on red"}
EVENT_STYLE = {"fill": "cyan", "mode": "bold yellow", "refusal": "yellow", "error": "red", "incident": "red"}
ABOUT_ALL = ("database", "workers")  # with problems of these the mode alone would mislead
MOST_PROBLEMS = 4
LINE_EVERY = 5.0  # seconds between two status lines without a terminal


def doubt(snapshot: Snapshot) -> str:
    """Why the mode shown may not describe what happens; empty if it does."""
    if snapshot.unreachable:
        return f", but {snapshot.unreachable}"
    about_all = [row for row in snapshot.health if row["subject"] in ABOUT_ALL]
    dated = [row for row in about_all if row["since"] is not None]
    if dated:
        return f", but {dated[0]['problem']}{since(dated[0]['since'], snapshot.at)}"
    return ", but the database takes no writes" if about_all else ""


class Dashboard:
    """Turns successive snapshots into a screen or into lines."""

    def __init__(self, footer: str = "") -> None:
        self.footer = footer
        self.last_event = 0
        self.events: deque[Row] = deque(maxlen=SHOWN_EVENTS)
        self.rate = 0.0
        self._untold: deque[Row] = deque(maxlen=1000)
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
        self._untold.extend(events)

    def lines(self, snapshot: Snapshot) -> Iterator[str]:
        """The events since the last call, and every few seconds the state on one line."""
        while self._untold:
            event = self._untold.popleft()
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

        top: list[RenderableType] = [header(snapshot, self.rate), *notices(snapshot), blank]
        top += [Text.assemble(("  net ", "dim"), *equity(row)) for row in snapshot.accounts]
        middle: list[RenderableType] = [blank, flow(snapshot)]
        if snapshot.latency and height >= TALL:
            middle.append(Padding(latency(snapshot.latency), INDENT))
        middle += [refusal(snapshot.refusal), blank]
        foot: list[RenderableType] = [blank, Text(self.footer, style="dim")] if self.footer else []

        room = height - lines([*top, *middle, *foot])
        events = self.events[-(SHOWN_EVENTS if height >= TALL else FEWEST_EVENTS) :]
        rows = room - len(events) - 2  # a blank line and the column headings
        yield from top
        if snapshot.positions and rows > 0:
            yield blank
            yield Padding(positions(snapshot.positions, rows), INDENT)
        yield from middle
        yield from map(event_line, events)
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
        f"{simulated}{status['mode']}{doubt(snapshot)}  {nets}  positions {status['open_positions']}  "
        f"{rate:.0f} quotes/s  {flows}  workers {status['workers']}"
    )


def header(snapshot: Snapshot, rate: float) -> Text:
    from rich.text import Text

    status = snapshot.status
    text = Text("AEGIS ", style="bold")
    text.append(f"{status['kind']}  ", style="dim")
    if status["is_simulated"]:
        text.append("SIMULATED", style="bold magenta").append("  ")
    text.append(f" {status['mode']} ", style=MODE_STYLE.get(status["mode"], "bold red"))
    text.append(f" since {clock(status['mode_since'])}", style="dim")
    text.append(doubt(snapshot), style="bold red")
    for feed in snapshot.feeds:
        alive = feed["status"] == "CONNECTED"
        text.append(f"  {feed['feed']} ").append(feed["status"], style="green" if alive else "yellow")
    text.append(f"  {rate:.0f} quotes/s  {status['workers']} workers")
    return text.append(f"  {clock(snapshot.at)}", style="dim")


def notices(snapshot: Snapshot) -> Iterator[Text]:
    """Warnings, shown before everything else."""
    from rich.text import Text

    status = snapshot.status
    if status["mode"] != "NORMAL":
        yield Text(f"  {status['mode']}: {status['mode_reason']}", style="bold red")
    if status["is_foreign"]:
        yield Text("  nothing is sent: look around, then aegis adopt REASON", style="bold red")
    if status["approvals"]:
        yield Text(f"  {status['approvals']} intents wait for approval: aegis approvals", style="bold yellow")
    for row in snapshot.incidents[:3]:
        yield Text(f"  incident {row['kind']} {row['subject']}: {row['what']}", style="red", no_wrap=True)
    for row in snapshot.health[:MOST_PROBLEMS]:
        style = "bold red" if row["state"] == "fail" else "yellow"
        yield Text(f"  {health_line(row, snapshot.at)}", style=style, no_wrap=True)
    if len(snapshot.health) > MOST_PROBLEMS:
        yield Text(f"  and {len(snapshot.health) - MOST_PROBLEMS} more: aegis status", style="red")
    for row in snapshot.unwell:
        yield Text(f"  {row['name']} is {row['state']}", style="yellow")


def equity(row: Row) -> list[Any]:
    profit = row["realized"] + row["unrealized"]
    waiting = "" if row["is_open"] else "  waits for its first reconciliation"
    return [
        (money(row["equity"], row["currency"]), "bold"),
        ("  P&L ", "dim"),
        (money(profit, row["currency"], sign=True), colour(profit)),
        (f"  {row['account']}{waiting}", "dim"),
    ]


def positions(rows: Sequence[Row], most: int) -> Table:
    """The oldest positions, in at most `most` lines below the column headings."""
    table = _table("symbol", "owner", ">qty", ">entry", ">bid", ">gain", ">to stop", ">to target", "")
    shown = rows if len(rows) <= most else rows[: most - 1]
    for row in shown:
        _add(
            table,
            row["symbol"],
            row["owner"],
            plain(row["qty"]),
            plain(row["avg_price"]),
            plain(row["bid"]),
            percent(row["gain"], sign=True),
            percent(row["to_stop"]),
            percent(row["to_target"]),
            row["note"] or ("selling" if row["locked_qty"] else ""),
        )
    if len(shown) < len(rows):
        _add(table, "", f"and {len(rows) - len(shown)} more")
    return table


def flow(snapshot: Snapshot) -> Text:
    from rich.text import Text

    text = Text("  ")
    for number, name in enumerate(("quotes", "picks", "intents", "orders", "fills")):
        text.append(" > " if number else "", style="dim")
        text.append(f"{snapshot.totals[name]:,} ", style="bold").append(name)
    doubtful = snapshot.status["orders_in_doubt"]
    return text.append(f"  {doubtful} in doubt", style="bold yellow") if doubtful else text


def latency(rows: Any) -> Table:
    table = _table("latency, ms", ">p50", ">p99", ">samples")
    for row in rows:
        _add(table, row["hop"], f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}", f"{row['samples']}")
    return table


def refusal(row: Row | None) -> Text:
    from rich.text import Text

    if row is None:
        return Text("  nothing was refused yet", style="dim")
    about = f"{row['symbol']} " if row["symbol"] else ""
    return Text.assemble(
        ("  last refusal ", "dim"),
        (f"{clock(row['at'])} {row['code']} ", "yellow"),
        f"{about}{row['message']}",
        (f"  ({row['who']})", "dim"),
        no_wrap=True,
    )


def event_line(row: Row) -> Text:
    from rich.text import Text

    return Text.assemble(
        (f"  {clock(row['at'])} ", "dim"),
        (f"{row['entity']:<8} ", EVENT_STYLE.get(row["entity"], "")),
        row["what"] or "",
        no_wrap=True,
    )


def plain(value: Decimal | None) -> str:
    return "" if value is None else f"{value.normalize():,f}"


def percent(value: Decimal | None, *, sign: bool = False) -> str:
    return "" if value is None else f"{value:{'+' if sign else ''}.2f} %"


def colour(amount: Decimal) -> str:
    return "green" if amount > 0 else "red" if amount < 0 else ""


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in columns:
        header = name.removeprefix(">")
        number = header != name
        table.add_column(
            header, justify="right" if number else "left", no_wrap=number, min_width=len(header) * number
        )
    return table


def _add(table: Table, *cells: str) -> None:
    """Add a row of one line; on a narrow terminal names are shortened, numbers are not."""
    from rich.text import Text

    for column, cell in zip(table.columns, cells, strict=False):
        if column.justify == "right":
            column.min_width = max(column.min_width or 0, len(cell))
    table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells))
