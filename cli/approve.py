"""`aegis approvals`, `approve`, `reject`: intents that wait for a person's approval."""

from __future__ import annotations

import click

from cli.common.context import App, fetch, pass_app
from cli.common.options import json_option


@click.command()
@json_option
@pass_app
def approvals(app: App) -> None:
    """List intents that are waiting for approval.

    \b
    Examples:
      aegis approvals
    """
    rows = fetch(app.desk, "select * from approvals order by intent_id")
    app.out.table(rows, empty="No intent is waiting for approval.")


@click.command()
@click.argument("intent_id", metavar="INTENT", type=int)
@click.argument("note", default="")
@pass_app
def approve(app: App, intent_id: int, note: str) -> None:
    """Approve an intent; NOTE is stored with it.

    \b
    Examples:
      aegis approve 42 "the stop has to sell"
    """
    app.desk.execute("select approve(%s, %s)", [intent_id, note])
    app.out.say(f"Intent {intent_id} is approved.")


@click.command()
@click.argument("intent_id", metavar="INTENT", type=int)
@click.argument("note", default="")
@pass_app
def reject(app: App, intent_id: int, note: str) -> None:
    """Reject an intent; NOTE is stored with it.

    Rejecting an exit disarms the stop and target of its position until the next fill.

    \b
    Examples:
      aegis reject 42 "not at this price"
    """
    app.desk.execute("select reject(%s, %s)", [intent_id, note])
    app.out.say(f"Intent {intent_id} is rejected.")
