"""`aegis backup` and `aegis restore`: back up the embedded server, and restore a backup.

A backup contains no passwords: they are in the secrets directory, and missing ones are generated again.  It
does not contain the marker of the last run either: the marker shows that a restored database is older.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.common.context import App, pass_app
from cli.common.options import json_option

if TYPE_CHECKING:
    from cli.database.connect import Database
    from cli.database.restore import Moment

PLACE = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("directory", type=PLACE, required=False)
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Then remove all but N backups.")
@click.option("--list", "show_list", is_flag=True, help="List the backups; take none.")
@click.option(
    "--archive", type=PLACE, metavar="DIR", help="Archive the WAL to DIR from now on; restore --to needs it."
)
@click.option("--no-archive", is_flag=True, help="Stop archiving the WAL.")
@json_option
@pass_app
def backup(
    app: App,
    directory: Path | None,
    keep: int | None,
    show_list: bool,
    archive: Path | None,
    no_archive: bool,
) -> None:
    """Back up all databases of the embedded server.

    Trading continues meanwhile.  Each backup is a new directory in DIRECTORY, complete and verified.  The
    default is the directory backups in AEGIS_DATA_DIR; another disk is safer.

    It contains neither passwords nor the marker of the last run, by which a restored database is recognised.
    Back up an external server with its own tools: pg_basebackup or what its provider offers, pg_dump -Fc for
    one database.

    \b
    Examples:
      aegis backup
      aegis backup /mnt/usb/aegis --keep 7
      aegis backup /mnt/usb/aegis --archive /mnt/usb/aegis-log
      aegis backup --list
    """
    from cli.database import archive as wal
    from cli.database import backup as backups
    from cli.database.binaries import find_binaries

    place = (directory or app.settings.data_dir / "backups").expanduser().absolute()
    if show_list:
        app.out.table([vars(found) for found in backups.backups_in(place)], empty=f"No backup in {place}.")
        return
    database = _embedded(app)
    database.ensure_running()
    server, binaries = database.embedded(), find_binaries(app.settings)
    try:
        with database.server_admin() as conn:
            if no_archive:
                wal.stop(conn)
            if archive is not None and not wal.start(conn, archive.expanduser().absolute(), server.account):
                app.out.say("WAL archiving begins when the server starts again: aegis down, aegis up.")
            taken = backups.take(conn, server, binaries, place)
        gone = backups.prune(place, keep, binaries) if keep is not None else []
    finally:
        if server.started_here:
            server.stop()
    if app.out.json:
        app.out.record(vars(taken) | {"removed": [found.path for found in gone]})
        return
    app.out.say(f"{taken.path}: {', '.join(taken.databases) or 'no database yet'}; verified.")
    for found in gone:
        app.out.say(f"Removed {found.path}.")
    app.out.say("It contains no passwords; aegis restore creates those that are missing.")


@click.command()
@click.argument("backup", type=PLACE)
@click.option("--to", metavar="TIME", help="Recover to a later time: '2026-03-02 15:00', or latest.")
@pass_app
def restore(app: App, backup: Path, to: str | None) -> None:
    """Restore BACKUP as the embedded server's data.

    Refused while the server runs.  The current data is moved aside, never deleted.  With --to, the WAL
    archived since the backup (aegis backup --archive) is replayed up to that time, which is local unless it
    names a time zone.

    A restored database does not trade: it is halted until a person takes it into use with aegis adopt.  A
    database that pg_restore created is halted too, from its next aegis up.

    \b
    Examples:
      aegis restore /mnt/usb/aegis/20260302T010000Z
      aegis restore /mnt/usb/aegis/20260302T010000Z --to "2026-03-02 15:00"
      aegis restore /mnt/usb/aegis/20260302T010000Z --to latest
    """
    from cli.database.backup import Backup
    from cli.database.binaries import find_binaries
    from cli.database.connect import Database
    from cli.database.restore import forget_recovery, put_back

    database = _embedded(app)
    found = Backup.read(backup)
    database.server, before = put_back(found, database.directory, find_binaries(app.settings), _moment(to))
    with database.server_admin() as conn:
        forget_recovery(conn)
    app.out.say(f"Restored {', '.join(found.databases) or 'a server without a database'} from {found.path}.")
    if before is not None:
        app.out.say(f"The previous data is in {before}.")
    for name in found.databases:
        _halt(Database(app.settings, name, database.server))
    app.out.say(
        "It is halted, and nothing is sent until it is adopted.  Next:\n"
        "  aegis db psql            look around\n"
        '  aegis adopt "why"        take it into use: the broker is asked about orders and fills\n'
        "  aegis up                 start it\n"
        '  aegis resume "why"       let trading continue'
    )


def _halt(database: Database) -> None:
    """Create its logins, and make it detect the restore and halt, before any worker starts."""
    from workers.runtime.marker import Marker

    database.migrate()
    marker = Marker(database.settings.data_dir, database.name)
    with database.admin() as conn:
        row = conn.execute("select marker from api.begin_run(%s)", [marker.read()]).fetchone()
    assert row is not None
    marker.write(row[0])


def _embedded(app: App) -> Database:
    from cli.database.errors import BackupError

    if app.database.external:
        raise BackupError(
            "this database is on an external server, which has its own tools for backup and restore",
            hint="Use pg_basebackup or its provider's backups; pg_dump -Fc and pg_restore for one database. "
            "A restored database stays halted until aegis adopt.",
        )
    return app.database


def _moment(text: str | None) -> Moment:
    if text is None or text == "latest":
        return "latest" if text else None
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a time such as 2026-03-02 15:00", param_hint="--to"
        ) from None
