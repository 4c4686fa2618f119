"""How commands print: tables for people, JSON for programs, the same rows for both.

Decimals are never rounded and never converted to float.  Colours are for a terminal only, and NO_COLOR turns
them off.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

Row = Mapping[str, Any]
Command = TypeVar("Command", bound=Callable[..., Any])

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


def show(value: Any) -> str:
    """Format a value for a person."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return _plain(value)
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case timedelta():
            return _duration(value)
        case dict():
            return to_json(value, indent=None)
        case list() | tuple():
            return ", ".join(map(show, value))
    return str(value)


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """JSON with decimals as strings, so that no program reads them as floats by accident."""
    return json.dumps(value, indent=indent, ensure_ascii=False, default=_jsonable)


def json_option(command: Command) -> Command:
    """Add --json to a command that prints data, so that it may also follow the command's name."""

    def switch(context: click.Context, _: click.Parameter, on: bool) -> None:
        if on:
            from cli.context import App

            context.ensure_object(App).out.json = True

    return click.option(
        "--json", is_flag=True, expose_value=False, callback=switch, help="Print JSON for programs."
    )(command)


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


def _plain(value: Decimal) -> str:
    """A decimal without trailing zeros: 71000 for 71000.00000000."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if abs(seconds) >= 1 or not seconds else f"{seconds * 1000:.1f} ms"


def _jsonable(value: Any) -> Any:
    match value:
        case Decimal():
            return f"{value:f}"
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
    return str(value)
