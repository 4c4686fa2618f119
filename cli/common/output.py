"""How commands print: tables for people, JSON for programs, the same rows for both.

Colours are for a terminal only, and NO_COLOR turns them off.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO

import click

from cli.common.formats import Row, show, to_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDE = 1000  # columns without a terminal: a table in a file is never cut or wrapped

PROSE = 24  # the least width of a text column

STYLES = {
    "HALT": "bold red",
    "SAFE": "yellow",
    "NORMAL": "green",
    "SIMULATED": "bold magenta",
    "REJECTED": "red",
    "IN_DOUBT": "bold yellow",
    "FILLED": "green",
    "BUY": "cyan",
    "SELL": "magenta",
    "degraded": "yellow",
    "pending": "yellow",
}
"""The styles of words that have the same meaning in every table."""


@dataclass
class Output:
    """Prints a command's result; `json` is set by --json."""

    json: bool = False

    def say(self, text: str) -> None:
        """Print a line for a person; with --json print nothing."""
        if not self.json:
            click.echo(text)

    def table(self, rows: Sequence[Row], *, empty: str = "Nothing.", title: str | None = None) -> None:
        """Print the rows of a query: an array of objects, or a table with the same columns.

        On a terminal that is too narrow for the table each row is a paragraph: a number is never cut.
        """
        if self.json:
            click.echo(to_json([dict(row) for row in rows]))
            return
        if not rows:
            click.echo(empty)
            return
        out, table = console(sys.stdout), _table(rows, title)
        if out.measure(table, options=out.options.update(max_width=WIDE)).minimum <= out.width:
            _print(table)
            return
        if title:
            _print(f"[italic]{title}[/]")
        for row in rows:
            _print(_paragraph(row, out.width))

    def record(self, row: Row) -> None:
        """Print one row: an object, or a line for each column."""
        if self.json:
            click.echo(to_json(dict(row)))
            return
        width = max(map(len, row))
        for name, value in row.items():
            label = name.replace("_", " ").ljust(width)
            _print(f"[bold]{label}[/]  {_styled(value)}")


def console(stream: TextIO) -> Console:
    """A rich console on this stream, made at each call because tests swap streams."""
    from rich.console import Console

    wide = None if stream.isatty() else WIDE
    return Console(file=stream, highlight=False, soft_wrap=wide is not None, width=wide)


def _print(what: Any) -> None:
    """Print on stdout without the trailing blanks that rich adds to lines."""
    out = console(sys.stdout)
    with out.capture() as captured:
        out.print(what)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _table(rows: Sequence[Row], title: str | None) -> Table:
    """Make a table in which only prose columns are wrapped, and none narrower than PROSE."""
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in rows[0]:
        values = [row[name] for row in rows]
        prose = any(isinstance(value, str) and " " in value for value in values)
        width = max(cell_len(text) for text in (name, *map(show, values)))
        table.add_column(
            name,
            justify="right"
            if any(isinstance(value, int | Decimal | timedelta) for value in values)
            else "left",
            no_wrap=not prose,
            min_width=min(width, PROSE) if prose else width,
        )
    for row in rows:
        table.add_row(*(_styled(value) for value in row.values()))
    return table


def _paragraph(row: Row, width: int) -> Text:
    """Format a row as name and value pairs, as many on a line as fit."""
    from rich.text import Text

    text, used = Text(), 0
    for name, value in row.items():
        if show(value):
            pair = Text.assemble((f"{name} ", "dim"), Text.from_markup(_styled(value)))
            fits = used + 2 + pair.cell_len <= width
            gap = "" if not used else "  " if fits else "\n  "
            used = pair.cell_len + (used + 2 if fits and used else 2 * bool(used))
            text.append(gap).append(pair)
    return text


def _styled(value: Any) -> str:
    from rich.markup import escape

    text = show(value)
    style = STYLES.get(text) if isinstance(value, str) else None
    return f"[{style}]{escape(text)}[/]" if style else escape(text)
