"""`aegis status` shows the state once, `aegis top` keeps showing it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cli.common.context import App, fetch, pass_app
from cli.common.options import duration, json_option

if TYPE_CHECKING:
    from cli.database.catalog import Connection
    from cli.running.dashboard import Dashboard
    from cli.running.snapshot import Snapshot


@click.command()
@json_option
@pass_app
def status(app: App) -> None:
    """Show the state of the system; the exit status is 1 when something is wrong with its processes.

    \b
    Examples:
      aegis status
      aegis status > /dev/null || page-somebody
      aegis status --json | jq -r .mode
    """
    from cli.common.health import HEALTH, health_line

    (row,) = fetch(app.desk, "select * from status")
    problems = fetch(app.desk, HEALTH)
    lines = [health_line(problem, row["at"]) for problem in problems]
    app.out.record({"database": app.database.name, **row} | ({"problems": lines} if app.out.json else {}))
    for problem, line in zip(problems, lines, strict=True):
        app.out.say(f"{problem['state']}  {line}")
    if row["is_foreign"]:
        app.out.say('\nThis database was restored or copied; nothing is sent until aegis adopt "why".')
    if any(problem["state"] == "fail" for problem in problems):
        sys.exit(1)


@click.command()
@click.option("--for", "seconds", callback=duration, metavar="60s", help="Stop after this time.")
@click.option("--plain", is_flag=True, help="Print lines instead of a live screen.")
@pass_app
def top(app: App, seconds: float | None, plain: bool) -> None:
    """Watch what happens; Ctrl-C stops watching, not trading.

    \b
    Examples:
      aegis top
      aegis top --plain --for 30s
    """
    from cli.running.dashboard import Dashboard

    dashboard = Dashboard("Ctrl-C stops watching, not trading.")
    try:
        if plain or not sys.stdout.isatty():
            _watch(app.desk, dashboard, seconds)
        else:
            _watch_live(app.desk, dashboard, seconds)
    except KeyboardInterrupt:
        return


def _watch(conn: Connection, dashboard: Dashboard, seconds: float | None) -> None:
    for snapshot in _looks(conn, dashboard, seconds):
        for line in dashboard.lines(snapshot):
            click.echo(line)


def _watch_live(conn: Connection, dashboard: Dashboard, seconds: float | None) -> None:
    from rich.live import Live

    from cli.common.output import console

    with Live(console=console(sys.stdout), auto_refresh=False, screen=True) as live:
        for snapshot in _looks(conn, dashboard, seconds):
            live.update(dashboard.screen(snapshot), refresh=True)


def _looks(conn: Connection, dashboard: Dashboard, seconds: float | None) -> Iterator[Snapshot]:
    """Yield one snapshot after the other; the first includes a few earlier events."""
    from cli.running.dashboard import SHOWN_EVENTS
    from cli.running.snapshot import MOST_EVENTS, look, pause_after

    end = None if seconds is None else time.monotonic() + seconds
    most = SHOWN_EVENTS
    while end is None or time.monotonic() < end:
        began = time.monotonic()
        snapshot = look(conn, after_event=dashboard.last_event, events=most)
        dashboard.take(snapshot)
        yield snapshot
        most = MOST_EVENTS
        time.sleep(pause_after(time.monotonic() - began))
