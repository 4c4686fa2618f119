"""The parts of the live screen, each made from the rows of a snapshot.

Names may be shortened to fit a line, numbers never are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cli.common.formats import Row, clock, money
from cli.common.health import health_line
from cli.running.snapshot import Snapshot

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

MODE_STYLE = {"NORMAL": "bold green", "SAFE": "bold yellow", "HALT": "bold white on red"}
EVENT_STYLE = {"fill": "cyan", "mode": "bold yellow", "refusal": "yellow", "error": "red", "incident": "red"}
MOST_PROBLEMS = 4


def header(snapshot: Snapshot, rate: float) -> Text:
    from rich.text import Text

    status = snapshot.status
    text = Text("AEGIS ", style="bold")
    text.append(f"{status['kind']}  ", style="dim")
    if status["is_simulated"]:
        text.append("SIMULATED", style="bold magenta").append("  ")
    text.append(f" {status['mode']} ", style=MODE_STYLE.get(status["mode"], "bold red"))
    text.append(f" since {clock(status['mode_since'])}", style="dim")
    text.append(snapshot.doubt, style="bold red")
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
        yield Text("  nothing is sent until you run aegis adopt REASON", style="bold red")
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
    waiting = "" if row["is_open"] else "  waiting for its first reconciliation"
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
        return Text("  nothing has been refused yet", style="dim")
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
