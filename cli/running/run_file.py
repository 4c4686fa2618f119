"""Find out whether an `aegis up` runs for a database, and stop it.

A running `aegis up` holds a flock on a file with its pid and feed.  The kernel releases the lock however the
process ends, so a pid left in the file by a kill -9 is never trusted.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workers.runtime.errors import AegisError

if TYPE_CHECKING:
    from cli.database.catalog import Connection

PATIENCE = 45.0  # seconds for all workers to finish
POLL = 0.05


class AlreadyRunning(AegisError):
    """Another `aegis up` serves this database."""


@dataclass
class Owner:
    """What a running `aegis up` writes into its file."""

    pid: int
    feed: str
    started_server: bool = False


def path_of(data_dir: Path, database: str) -> Path:
    return data_dir / "run" / f"{database}.json"


@contextlib.contextmanager
def only_one(file: Path, owner: Owner) -> Iterator[Owner]:
    """Hold the lock or raise AlreadyRunning; we also stop a server that a killed predecessor started."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file.open("a+") as stream:
        if not _lock(stream.fileno(), patience=0.5):
            before = _read(file)
            who = f"pid {before.pid}, feed {before.feed}" if before else "it is just starting"
            raise AlreadyRunning(
                f"aegis up is already running for {file.stem} ({who})",
                hint="Watch it with aegis top; stop it with aegis down.",
            )
        before = _read(file)
        owner.started_server = before is not None and before.started_server
        write(file, owner)
        try:
            yield owner
        finally:
            file.write_text("")


def write(file: Path, owner: Owner) -> None:
    file.write_text(json.dumps(asdict(owner)))


def owner_of(file: Path) -> Owner | None:
    """The `aegis up` that holds the lock of this file, or None."""
    try:
        with file.open("a+") as stream:
            return None if _lock(stream.fileno()) else _read(file) or Owner(0, "unknown")
    except FileNotFoundError:
        return None


def others(file: Path) -> list[str]:
    """The other databases of this data directory for which an `aegis up` runs."""
    return [other.stem for other in file.parent.glob("*.json") if other != file and owner_of(other)]


def stop(file: Path) -> Owner | None:
    """Ask the running `aegis up` to stop, and wait for its end; return it, or None if none ran."""
    owner = owner_of(file)
    if owner is None:
        return None
    if owner.pid:
        os.kill(owner.pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while owner_of(file):
        if time.monotonic() > deadline:
            raise AegisError(
                f"aegis up (pid {owner.pid}) has not stopped in {PATIENCE:.0f} s",
                hint="See aegis logs. A second aegis down cancels what the first still waits for.",
            )
        time.sleep(POLL)
    return owner


def refuse_second_supervisor(conn: Connection) -> None:
    """Raise AlreadyRunning if the database knows a supervisor, which may run on another machine."""
    row = conn.execute(
        "select pid, host, is_hung from workers where name = 'supervisor' and (is_alive or is_hung)"
    ).fetchone()
    if row is None:
        return
    pid, host, is_hung = row
    where = f"pid {pid} on {host}"
    if is_hung:
        raise AlreadyRunning(
            f"the supervisor of this database hangs and may recover ({where})",
            hint=f"Kill it there first: kill -9 {pid}. Its workers end with it.",
        )
    raise AlreadyRunning(
        f"a supervisor is already running for this database ({where})",
        hint="Stop it there first; aegis top shows what it does.",
    )


def _lock(descriptor: int, patience: float = 0.0) -> bool:
    """Take the lock if it is free; retry for `patience` seconds, since another process may be testing it."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL)
        else:
            return True


def _read(file: Path) -> Owner | None:
    try:
        return Owner(**json.loads(file.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
