"""Keep the server's log elsewhere, piece by piece, so that a backup can be brought to any later moment.

The server itself copies each finished piece.  A copy gets its name when it is whole and on disk, and is never
written over: a piece that is asked for again after a crash is right if it is the same.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from psycopg import sql

from cli.database.account import Account
from cli.database.catalog import Connection
from cli.database.errors import BackupError

TIMEOUT = "5min"  # the most of the log that is lost with the disk
SETTINGS = ("archive_command", "archive_timeout")


def start(conn: Connection, directory: Path, account: Account) -> bool:
    """Keep the log there from now on; whether the running server does so already."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        account.give(directory)
    except OSError as error:
        raise BackupError(f"cannot make {directory}: {error.strerror}", hint="Name another place.") from error
    if not account.can("-w", str(directory)):
        raise BackupError(
            f"the account {account.name}, which runs the server, cannot write to {directory}",
            hint="Name a directory all of whose parents it may enter.",
        )
    for name, value in zip(SETTINGS, (command(directory), TIMEOUT), strict=True):
        conn.execute(
            sql.SQL("alter system set {} = {}").format(sql.Identifier(name), sql.Literal(value)),
            prepare=False,
        )
    conn.execute("select pg_reload_conf()")
    return _setting(conn, "archive_mode") == "on"


def stop(conn: Connection) -> None:
    """Keep nothing more; what is there stays."""
    forget(conn, *SETTINGS)


def forget(conn: Connection, *names: str) -> None:
    """Take back what was set for good."""
    for name in names:
        conn.execute(sql.SQL("alter system reset {}").format(sql.Identifier(name)))
    conn.execute("select pg_reload_conf()")


def directory_of(conn: Connection) -> str | None:
    """Where the log is kept; None when it is not."""
    found = re.match(r"if test -f (.+?)/%f; then", _setting(conn, "archive_command"))
    return shlex.split(found[1].replace("%%", "%"))[0] if found else None


def command(directory: Path) -> str:
    """What the server runs for each piece."""
    place = _quoted(directory)
    part = f"{place}/.%f.part"
    keep = f"cp %p {part} && sync {part} && mv {part} {place}/%f && sync {place}"
    return f"if test -f {place}/%f; then cmp -s %p {place}/%f; else {keep}; fi"


def restore_command(directory: str | None) -> str:
    """How a recovery gets a piece back; without an archive there is only what came with the backup."""
    return "false" if directory is None else f"cp {_quoted(Path(directory))}/%f %p"


def _quoted(directory: Path) -> str:
    return shlex.quote(str(directory)).replace("%", "%%")


def _setting(conn: Connection, name: str) -> str:
    row = conn.execute("select current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])
