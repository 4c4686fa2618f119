"""Archive the server's WAL, so that a backup can be recovered to any later moment.

The server copies each finished WAL segment with archive_command.  A copy gets its final name only when it is
complete and flushed to disk, and is never overwritten: when the server archives a segment again after a
crash, the command succeeds only if the two files are identical.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from psycopg import sql

from cli.database.account import Account
from cli.database.catalog import Connection
from cli.database.errors import BackupError

TIMEOUT = "5min"  # at most this much WAL is lost with the disk
SETTINGS = ("archive_command", "archive_timeout")


def start(conn: Connection, directory: Path, account: Account) -> bool:
    """Archive WAL to this directory from now on; return whether the running server has archive_mode on."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        account.give(directory)
    except OSError as error:
        raise BackupError(
            f"cannot create {directory}: {error.strerror}", hint="Choose another place."
        ) from error
    if not account.can("-w", str(directory)):
        raise BackupError(
            f"the account {account.name}, which runs the server, cannot write to {directory}",
            hint="Choose a directory that this account can reach and write to.",
        )
    for name, value in zip(SETTINGS, (command(directory), TIMEOUT), strict=True):
        conn.execute(
            sql.SQL("alter system set {} = {}").format(sql.Identifier(name), sql.Literal(value)),
            prepare=False,
        )
    conn.execute("select pg_reload_conf()")
    return _setting(conn, "archive_mode") == "on"


def stop(conn: Connection) -> None:
    """Stop archiving; files already archived stay."""
    forget(conn, *SETTINGS)


def forget(conn: Connection, *names: str) -> None:
    """Reset settings that ALTER SYSTEM has set."""
    for name in names:
        conn.execute(sql.SQL("alter system reset {}").format(sql.Identifier(name)))
    conn.execute("select pg_reload_conf()")


def directory_of(conn: Connection) -> str | None:
    """The directory WAL is archived to; None when archiving is off."""
    found = re.match(r"if test -f (.+?)/%f; then", _setting(conn, "archive_command"))
    return shlex.split(found[1].replace("%%", "%"))[0] if found else None


def command(directory: Path) -> str:
    """The archive_command: what the server runs for each WAL segment."""
    place = _quoted(directory)
    part = f"{place}/.%f.part"
    keep = f"cp %p {part} && sync {part} && mv {part} {place}/%f && sync {place}"
    return f"if test -f {place}/%f; then cmp -s %p {place}/%f; else {keep}; fi"


def restore_command(directory: str | None) -> str:
    """The restore_command of a recovery; without an archive it finds only the WAL inside the backup."""
    return "false" if directory is None else f"cp {_quoted(Path(directory))}/%f %p"


def _quoted(directory: Path) -> str:
    return shlex.quote(str(directory)).replace("%", "%%")


def _setting(conn: Connection, name: str) -> str:
    row = conn.execute("select current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])
