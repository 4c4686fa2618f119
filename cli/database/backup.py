"""Take base backups of the embedded server.

    DIR/20260302T010000Z/
        data/         what pg_basebackup copied: a data directory with the WAL needed to make it consistent
        aegis.json    the description: when it was finished, PostgreSQL version, databases, WAL archive

A backup is a plain directory, which cp, rsync and PostgreSQL's own tools understand.  It gets its name and
its description only once it is complete and verified.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.database import archive
from cli.database.binaries import Binaries
from cli.database.catalog import Connection
from cli.database.cluster import clean_environment
from cli.database.embedded import Server
from cli.database.errors import BackupError
from cli.database.manifest import verify

DESCRIPTION = "aegis.json"
NAME = re.compile(r"\d{8}T\d{6}Z")

# Our databases are those whose ACL in pg_database names one of our roles.
OURS = "select datname from pg_database where datacl::text like '%aegis_viewer=%' order by datname"


@dataclass(frozen=True)
class Backup:
    """One finished backup, as its description says; the time is from the server's clock."""

    path: Path
    finished_at: datetime
    postgresql: str
    databases: tuple[str, ...]
    archive: str | None

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def first_log(self) -> str | None:
        """The first WAL segment that the backup needs."""
        label = (self.data / "backup_label").read_text()
        found = re.search(r"START WAL LOCATION: \S+ \(file (\w+)\)", label)
        return found[1] if found else None

    @classmethod
    def read(cls, path: Path) -> Backup:
        path = path.expanduser().absolute()
        try:
            described = json.loads((path / DESCRIPTION).read_text())
            return cls(
                path,
                datetime.fromisoformat(described["finished_at"]),
                described["postgresql"],
                tuple(described["databases"]),
                described["archive"],
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise BackupError(
                f"{path} is not a finished backup",
                hint="Choose one that aegis backup --list shows.",
            ) from error


def backups_in(directory: Path) -> list[Backup]:
    """The finished backups, oldest first."""
    if not directory.is_dir():
        return []
    named = sorted(path for path in directory.iterdir() if NAME.fullmatch(path.name))
    return [Backup.read(path) for path in named if (path / DESCRIPTION).is_file()]


def take(conn: Connection, server: Server, binaries: Binaries, directory: Path) -> Backup:
    """Take and verify a base backup of the running server, including the WAL that makes it consistent."""
    path = next_name(directory)
    unfinished = directory / f".{path.name}.unfinished"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished.mkdir(mode=0o700)
    except OSError as error:
        raise BackupError(
            f"cannot create {unfinished}: {error.strerror}", hint="Choose another place."
        ) from error
    try:
        copy = ["-D", str(unfinished / "data"), "-X", "stream", "-c", "fast", "--no-password"]
        run(binaries, "pg_basebackup", *copy, "--manifest-checksums=SHA256", "-d", server.url("postgres"))
        described = {
            "finished_at": _finished_at(conn).isoformat(),
            "postgresql": binaries.version,
            "databases": [name for (name,) in conn.execute(OURS).fetchall()],
            "archive": archive.directory_of(conn),
        }
        verify(unfinished / "data", binaries)
        (unfinished / DESCRIPTION).write_text(json.dumps(described, indent=2) + "\n")
        unfinished.rename(path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return Backup.read(path)


def prune(directory: Path, keep: int, binaries: Binaries) -> list[Backup]:
    """Remove all but the newest `keep` backups, and the archived WAL that only the removed ones needed."""
    backups = backups_in(directory)
    gone, kept = backups[:-keep], backups[-keep:]
    for backup in gone:
        (backup.path / DESCRIPTION).unlink()  # from here on it no longer counts as a backup
        shutil.rmtree(backup.path)
    if gone and kept[0].archive is not None and kept[0].first_log is not None:
        run(binaries, "pg_archivecleanup", kept[0].archive, kept[0].first_log)
    return gone


def run(binaries: Binaries, program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs; raise BackupError with its last line of output if it fails."""
    done = subprocess.run(
        [binaries.program(program), *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise BackupError(f"{program} failed: {said[-1] if said else done.returncode}")


def next_name(directory: Path, prefix: str = "") -> Path:
    """An unused path named after the current second; wait for the next second if it is taken."""
    while (path := directory / f"{prefix}{datetime.now(UTC):%Y%m%dT%H%M%SZ}").exists():
        time.sleep(0.05)
    return path


def _finished_at(conn: Connection) -> datetime:
    row: Any = conn.execute("select clock_timestamp()").fetchone()
    moment: datetime = row[0]
    return moment
