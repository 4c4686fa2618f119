"""`aegis halt`, `aegis safe`, `aegis resume`, `aegis set-code`: change the mode by hand.

Stopping never asks for confirmation.  Resuming asks for the override code if the system is halted.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from cli.common.codes import code_file_option, read_code
from cli.common.context import App, fetch, pass_app, pass_desk
from cli.common.formats import clock
from workers.runtime.errors import WrongCode

if TYPE_CHECKING:
    from cli.database.catalog import Connection


@click.command()
@click.argument("reason")
@pass_desk
def halt(conn: Connection, reason: str) -> None:
    """Stop all trading now.

    REASON is shown wherever the mode is.  Never asks for confirmation.  A halt survives every restart;
    only a person with the override code ends it.

    \b
    Examples:
      aegis halt "fat finger"
    """
    click.echo(f"HALT since {clock(_call(conn, 'select halt(%s)', reason))}: {reason}")


@click.command()
@click.argument("reason")
@pass_desk
def safe(conn: Connection, reason: str) -> None:
    """Stop all buying now; selling continues.

    REASON is shown wherever the mode is.  Never asks for confirmation.

    \b
    Examples:
      aegis safe "news at 15:00"
    """
    click.echo(f"SAFE since {clock(_call(conn, 'select safe(%s)', reason))}: {reason}")


@click.command()
@click.argument("reason")
@code_file_option()
@pass_desk
def resume(conn: Connection, reason: str, code_file: Any) -> None:
    """Resume trading.

    Leaving HALT needs the override code: typed without echo, or read from a file or a pipe.  It is never an
    argument, because others could see it.  Five wrong codes in a row lock it for 15 minutes.

    \b
    Examples:
      aegis resume "it was a false alarm"
      aegis resume "checked" --code-file ~/override-code
      pass show aegis/override | aegis resume "checked"
    """
    (row,) = fetch(conn, "select mode from system_mode")
    code = read_code(code_file) if row["mode"] == "HALT" else None
    (answer,) = fetch(conn, "select * from resume(%s, %s)", [reason, code])
    if not answer["resumed"]:
        raise WrongCode(answer["message"], hint=f"The mode is still {row['mode']}.")
    click.echo(f"{answer['message']}: {reason}")


@click.command("set-code")
@code_file_option(what="The new code")
@code_file_option("--current-file", what="The current code")
@pass_app
def set_code(app: App, code_file: Any, current_file: Any) -> None:
    """Set the override code, which is needed to leave HALT.

    A code has at least 8 characters, or 14 if they are all digits, and at least 5 different ones.  From a
    pipe the current code is the first line (empty if there is none) and the new one the second.  The demo
    generates a code at its first start and keeps it in a file; that file is deleted when you set your own.

    \b
    Examples:
      aegis set-code
      aegis set-code --current-file old --code-file new
    """
    from cli.running.demo import code_file as kept_in

    current = read_code(current_file, "Current code (empty if there is none)", empty=True)
    code = read_code(code_file, "New code", confirm=True)
    (answer,) = fetch(app.desk, "select * from set_override_code(%s, %s)", [code, current])
    if not answer["changed"]:
        raise WrongCode(answer["message"], hint="The code was not changed.")
    kept_in(app.database).unlink(missing_ok=True)
    app.out.say(answer["message"].capitalize() + ".")


def _call(conn: Connection, query: Any, reason: str) -> datetime:
    row = conn.execute(query, [reason]).fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment
