"""`aegis halt`, `aegis safe`, `aegis resume`: the modes, by hand.

Stopping is the easy direction: it never asks.  Going on asks for the override code when the system is halted.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import click
from psycopg import Connection

from cli.context import App, fetch, pass_app, pass_desk
from cli.dashboard import clock
from workers.runtime.errors import WrongCode


@click.command()
@click.argument("reason")
@pass_desk
def halt(conn: Connection[Any], reason: str) -> None:
    """Stop all trading now.

    REASON is shown to everyone who asks why.  Never asks for confirmation.  A halt survives every restart;
    only a person with the override code ends it.

    \b
    Examples:
      aegis halt "fat finger"
    """
    click.echo(f"HALT since {clock(_call(conn, 'select halt(%s)', reason))}: {reason}")


@click.command()
@click.argument("reason")
@pass_desk
def safe(conn: Connection[Any], reason: str) -> None:
    """Stop all buying now; sells go on.

    REASON is shown to everyone who asks why.  Never asks for confirmation.

    \b
    Examples:
      aegis safe "news at 15:00"
    """
    click.echo(f"SAFE since {clock(_call(conn, 'select safe(%s)', reason))}: {reason}")


@click.command()
@click.argument("reason")
@click.option("--code", metavar="CODE", help="The override code; asked for when it is needed and not given.")
@pass_desk
def resume(conn: Connection[Any], reason: str, code: str | None) -> None:
    """Let trading go on.

    Leaving HALT needs the override code: asked for without showing it, unless given by --code.  Five wrong
    codes in a row lock it for 15 minutes.

    \b
    Examples:
      aegis resume "it was a false alarm"
      aegis resume "checked" --code "$(cat override-code)"
    """
    (row,) = fetch(conn, "select mode from system_mode")
    if row["mode"] == "HALT" and code is None:
        code = ask_for_code()
    (answer,) = fetch(conn, "select * from resume(%s, %s)", [reason, code])
    if not answer["resumed"]:
        raise WrongCode(answer["message"], hint="Trading stays halted.")
    click.echo(f"{answer['message']}: {reason}")


@click.command("set-code")
@click.option("--code", metavar="CODE", help="The new code; asked for when not given.")
@click.option("--current", metavar="CODE", help="The code it replaces; asked for when not given.")
@pass_app
def set_code(app: App, code: str | None, current: str | None) -> None:
    """Choose the override code, which leaves HALT.

    The demo makes one up at its first start and keeps it in a file; that file goes when you choose your own.

    \b
    Examples:
      aegis set-code
    """
    from cli.demo import code_file

    if current is None:
        current = click.prompt(
            "Current code (empty if there is none)", "", hide_input=True, show_default=False
        )
    if code is None:
        code = click.prompt("New code", hide_input=True, confirmation_prompt=True)
    (answer,) = fetch(app.desk, "select * from set_override_code(%s, %s)", [code, current])
    if not answer["changed"]:
        raise WrongCode(answer["message"], hint="The code is as it was.")
    code_file(app.database).unlink(missing_ok=True)
    app.out.say(answer["message"].capitalize() + ".")


def ask_for_code() -> str:
    """From the keyboard, unseen; from a pipe, its first line."""
    if sys.stdin.isatty():
        return str(click.prompt("Override code", hide_input=True, err=True))
    return sys.stdin.readline().strip()


def _call(conn: Connection[Any], query: Any, reason: str) -> datetime:
    row = conn.execute(query, [reason]).fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment
