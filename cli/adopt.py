"""`aegis adopt`: take a restored backup or a copy into use.

Such a database does not know what was sent after the backup or copy was made, so it starts halted and sends
nothing.  A person checks it first.  Once adopted, it is the one that trades, and the original must not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.common.codes import code_file_option, read_code
from cli.common.context import fetch, pass_desk
from workers.runtime.errors import AegisError, WrongCode

if TYPE_CHECKING:
    from cli.database.catalog import Connection


@click.command()
@click.argument("reason")
@code_file_option()
@pass_desk
def adopt(conn: Connection, reason: str, code_file: Any) -> None:
    """Take a restored or copied database into use.

    Waiting intents expire, because they may have been executed in the history that was lost.  The broker is
    asked about every open order, and fills since then are read.  The system stays halted until aegis resume.

    Adopt only one of a database and its copies: two that trade one broker account undo each other's work.
    A copy of the whole machine, or of all of AEGIS_DATA_DIR, cannot be recognised: halt it yourself.

    \b
    Examples:
      aegis adopt "restored the backup of last night"
      aegis adopt "restored" --code-file ~/override-code
    """
    (status,) = fetch(conn, "select is_foreign from status")
    if not status["is_foreign"]:
        raise AegisError(
            "this database needs no adoption",
            hint="A restored database is recognised at its next start: aegis up.",
        )
    (answer,) = fetch(conn, "select * from adopt(%s, %s)", [reason, read_code(code_file)])
    if not answer["adopted"]:
        raise WrongCode(answer["message"], hint="Nothing is sent until it is adopted.")
    click.echo(f"{answer['message']}.")
