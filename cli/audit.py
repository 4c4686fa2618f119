"""`aegis audit`: check that the history is unchanged and that every law holds.

The database makes both checks.  The exit status is 1 if something was found, so that a timer can run the
command and report it.
"""

from __future__ import annotations

import sys

import click

from cli.common.context import App, fetch, pass_app
from cli.common.formats import show
from cli.common.options import json_option

MANY = 100_000  # events; checking more than this takes seconds

HISTORY = """
select
    (select count(*) from events) as events,
    (select count(*) from seals) as sealed,
    (select s.chain from seals as s order by s.seal_no desc limit 1) as chain
"""
SEALS = """
select v.event_id, v.problem, e.at, e.actor, e.entity, e.entity_id, e.change
from verify_seals() as v
left join events as e on e.event_id = v.event_id
order by v.event_id, v.problem
"""
LAWS = "select law, violation from law_audit order by law, violation"


@click.group()
def audit() -> None:
    """Check the history and the laws.

    \b
    Examples:
      aegis audit verify
      aegis audit laws
    """


@audit.command()
@json_option
@pass_app
def verify(app: App) -> None:
    """Verify the seals of the history.

    Names every event that was changed, removed or inserted after it was sealed, and every seal that was
    changed or removed; the exit status is 1 if there are any.  Events are sealed about a second after they
    were written.  A superuser can change an event and then seal all events again: keep the printed chain in
    another place, and look for it in the view seals later.

    \b
    Examples:
      aegis audit verify
      aegis audit verify --json
      aegis db psql -c "select * from seals where chain like '5f2c%'"
    """
    (size,) = fetch(app.desk, HISTORY)
    if size["events"] > MANY and sys.stderr.isatty():
        click.echo(f"Checking {size['events']:,} events ...", err=True)
    found = fetch(app.desk, SEALS)
    if found or app.out.json:
        app.out.table(found)
    if found:
        app.out.say(f"{len(found)} findings: the history has been changed.")
        sys.exit(1)
    app.out.say(
        f"The history is unchanged: {size['sealed']:,} of {size['events']:,} events are sealed, "
        f"the rest will be within a second.\nThe chain is {show(size['chain']) or 'not begun'}."
    )


@audit.command()
@json_option
@pass_app
def laws(app: App) -> None:
    """Check all rows for violations of the laws.

    Lists the violations; the exit status is 1 if there are any.

    \b
    Examples:
      aegis audit laws
    """
    found = fetch(app.desk, LAWS)
    app.out.table(found, empty="Every law held.")
    if found:
        sys.exit(1)
