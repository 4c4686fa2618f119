"""Restore a backup as the embedded server's data directory.

The old data directory is moved aside, never deleted, and moved back if the server does not start on the
backup.  A restored server always begins a new timeline; its databases can always tell from this that they
were restored, and halt.
"""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psycopg

from cli.database import archive, postmaster
from cli.database.account import Account, server_account
from cli.database.backup import Backup, next_name
from cli.database.binaries import Binaries
from cli.database.catalog import Connection
from cli.database.cluster import make_directory
from cli.database.embedded import LOG, Server, ServerError
from cli.database.errors import BackupError
from cli.database.manifest import verify

Moment = datetime | Literal["latest"] | None
LOOK = 0.05  # seconds between two polls
PATIENCE = 10.0  # seconds to wait until a failed server has ended
RECOVERY = ("restore_command", "recovery_target", "recovery_target_time", "recovery_target_action")


def put_back(backup: Backup, directory: Path, binaries: Binaries, to: Moment) -> tuple[Server, Path | None]:
    """Start the server on a backup; return it and the path the old data directory was moved to.

    Without `to`, recover to the end of the backup; with `latest`, to the end of the archived WAL.
    """
    _refuse_what_cannot_be(backup, binaries, to)
    make_directory(directory)
    account = server_account(directory / "data")
    data = directory / "data"
    before: Path | None = None
    with postmaster.one_at_a_time(directory, account):
        _refuse_running(directory, account)
        restored = _copy(backup, directory / "data.restoring", account)
        _aim(restored, backup.archive, to)
        if data.exists():
            before = data.rename(next_name(directory, "data.before-restore-"))
        restored.rename(data)
    try:
        server = Server.start(directory, binaries=binaries)
        _wait_for_the_end(server)
        return server, before
    except ServerError as error:
        raise _taken_back(directory, account, before, error) from error


def forget_recovery(conn: Connection) -> None:
    """Reset the recovery settings, so that they do not affect the next recovery."""
    archive.forget(conn, *RECOVERY)


def _refuse_what_cannot_be(backup: Backup, binaries: Binaries, to: Moment) -> None:
    made_by = (backup.data / "PG_VERSION").read_text().strip()
    if made_by != str(binaries.major):
        raise BackupError(
            f"the backup was made by PostgreSQL {made_by}, but this is {binaries.version}",
            hint=f"Set AEGIS_PG_BIN to the programs of PostgreSQL {made_by}.",
        )
    if to is not None and backup.archive is None:
        raise BackupError(
            "no WAL was archived when this backup was taken, so it can be restored only as it is",
            hint="Restore without --to. For later backups archive the WAL: aegis backup --archive DIR.",
        )
    if isinstance(to, datetime) and to < backup.finished_at:
        finished = f"{backup.finished_at.astimezone():%Y-%m-%d %H:%M:%S}"
        raise BackupError(
            f"the backup was finished at {finished}, later than the requested time",
            hint="Choose an older backup: aegis backup --list.",
        )
    verify(backup.data, binaries)


def _refuse_running(directory: Path, account: Account) -> None:
    alive = postmaster.take_alive_lock(directory, account)
    if alive is None:
        raise BackupError(f"a server is running in {directory}", hint="Stop it first: aegis down.")
    os.close(alive)


def _copy(backup: Backup, target: Path, account: Account) -> Path:
    """Copy the backup next to the final place, owned by the account that runs the server."""
    shutil.rmtree(target, ignore_errors=True)
    try:
        shutil.copytree(backup.data, target, symlinks=True)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise BackupError(f"the backup cannot be copied: {error}") from error
    if not account.is_me:
        for path in [target, *target.rglob("*")]:
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
    target.chmod(0o700)
    return target


def _aim(data: Path, archived: str | None, to: Moment) -> None:
    """Write the recovery settings to postgresql.auto.conf, which is read last, and create recovery.signal."""
    settings = {"restore_command": archive.restore_command(archived), "recovery_target_action": "promote"}
    if isinstance(to, datetime):
        settings["recovery_target_time"] = to.astimezone(UTC).isoformat(sep=" ")
    elif to is None:
        settings["recovery_target"] = "immediate"
    with (data / "postgresql.auto.conf").open("a") as config:
        for name, value in settings.items():
            quoted = value.replace("'", "''")
            config.write(f"{name} = '{quoted}'\n")
    signal = data / "recovery.signal"
    signal.touch(mode=0o600)
    os.chown(signal, data.stat().st_uid, data.stat().st_gid)


def _wait_for_the_end(server: Server) -> None:
    """Wait until recovery is over, however long it takes; raise ServerError if the server ends first."""
    try:
        with psycopg.connect(server.url("postgres"), autocommit=True) as conn:
            while conn.execute("select pg_is_in_recovery()").fetchone() == (True,):
                time.sleep(LOOK)
    except psycopg.OperationalError as error:
        lines = (server.directory / LOG).read_text(errors="replace").strip().splitlines()
        fatal = [line for line in lines if "FATAL" in line][-1:]
        raise ServerError("the recovery failed", hint="\n".join(fatal)) from error


def _taken_back(directory: Path, account: Account, before: Path | None, error: ServerError) -> ServerError:
    """Move the old data back, unless the server is still recovering; return the error to raise."""
    with postmaster.one_at_a_time(directory, account):
        deadline = time.monotonic() + PATIENCE
        while (alive := postmaster.take_alive_lock(directory, account)) is None:
            if time.monotonic() > deadline:
                return error
            time.sleep(LOOK)
        os.close(alive)
        failed = (directory / "data").rename(next_name(directory, "data.failed-restore-"))
        if before is not None:
            before.rename(directory / "data")
    return ServerError(
        f"the server did not start on the backup; the previous state is back: {error.message}",
        hint=f"The restored data is in {failed}.\n{error.hint or ''}",
    )
