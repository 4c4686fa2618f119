"""`aegis incidents`: what a person should look at, and saying that it was dealt with."""

from __future__ import annotations

import click

from cli.common.context import App, fetch, pass_app
from cli.common.options import json_option

OPEN = """
select incident_id, severity, kind, subject, advice, detail, opened_at
from incidents
where closed_at is null
order by severity, incident_id
"""
ALL = """
select incident_id, severity, kind, subject, advice, detail, opened_at, closed_at
from incidents
order by incident_id
"""


@click.group(invoke_without_command=True)
@click.option("--all", "everything", is_flag=True, help="Include closed incidents.")
@json_option
@click.pass_context
def incidents(context: click.Context, everything: bool) -> None:
    """List what a person should look at, and close what has been dealt with.

    \b
    Examples:
      aegis incidents
      aegis incidents close 7 "reported to the broker"
    """
    if context.invoked_subcommand is None:
        app = context.find_object(App)
        assert app is not None
        app.out.table(fetch(app.desk, ALL if everything else OPEN), empty="No incident is open.")


@incidents.command()
@click.argument("incident_id", metavar="INCIDENT", type=int)
@click.argument("note")
@pass_app
def close(app: App, incident_id: int, note: str) -> None:
    """Close an incident that has been dealt with; NOTE says how.

    It opens again if its cause persists.

    \b
    Examples:
      aegis incidents close 7 "reported to the broker"
    """
    app.desk.execute("select close_incident(%s, %s)", [incident_id, note])
    app.out.say(f"Incident {incident_id} is closed.")
