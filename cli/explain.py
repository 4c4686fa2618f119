"""`aegis explain`: why it traded, or did not."""

from __future__ import annotations

import click

from cli.context import App, fetch, pass_app
from cli.output import json_option

STORY = """
select e.at, round(extract(epoch from e.at - min(e.at) over ()) * 1000, 2) as ms, e.station, e.what
from explain(%s) as e
"""


@click.command()
@click.argument("intent_id", metavar="INTENT", type=int)
@json_option
@pass_app
def explain(app: App, intent_id: int) -> None:
    """Tell the story of an intent: its pick, the gates' answers, its orders, its fills.

    The milliseconds count from the beginning, by the database's clock.

    \b
    Examples:
      aegis explain 42
    """
    rows = fetch(app.desk, STORY, [intent_id])
    if app.out.json:
        app.out.table(rows)
        return
    for row in rows:
        app.out.say(
            f"{row['at'].astimezone():%H:%M:%S.%f} {row['ms']:>10} ms  {row['station']:<8} {row['what']}"
        )
