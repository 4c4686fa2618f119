"""`aegis explain`: why a trade was made, or was not."""

from __future__ import annotations

import re

import click

from cli.common.context import App, fetch, pass_app
from cli.common.options import json_option

FUNCTIONS = {"intent": "explain", "order": "explain_order", "pick": "explain_pick"}
STORY = """
select e.at, round(extract(epoch from e.at - min(e.at) over ()) * 1000, 2) as ms, e.station, e.what
from {}(%s) as e
"""


def parse(_context: click.Context, _argument: click.Parameter, text: str) -> tuple[str, int]:
    """Parse the target: the number of an intent, or order:7, or pick:9."""
    found = re.fullmatch(r"(?:(intent|order|pick):)?(\d{1,18})", text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not the number of an intent, order:NUMBER or pick:NUMBER")
    return found[1] or "intent", int(found[2])


@click.command()
@click.argument("target", metavar="INTENT|order:ID|pick:ID", callback=parse)
@json_option
@pass_app
def explain(app: App, target: tuple[str, int]) -> None:
    """Show the history of an intent: its pick, the gates' answers, its orders, its fills.

    For an order, shows the history of its intent.  For a pick that became no intent, shows which gate refused
    it and why.  Milliseconds count from the first entry, by the database's clock.

    \b
    Examples:
      aegis explain 42
      aegis explain order:7
      aegis explain pick:9
    """
    kind, number = target
    rows = fetch(app.desk, STORY.format(FUNCTIONS[kind]), [number])
    if app.out.json:
        app.out.table(rows)
        return
    for row in rows:
        app.out.say(
            f"{row['at'].astimezone():%H:%M:%S.%f} {row['ms']:>10} ms  {row['station']:<8} {row['what']}"
        )
