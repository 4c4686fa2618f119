"""What is remembered of a run outside the database, so that an older state of it is recognised.

A restored backup believes everything it says about itself; only what it could not take back can contradict
it.  One small file for each database says which epoch and run ran here last and how far the server's log was
on disk.  The database compares and decides; here it is only kept.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from urllib.parse import quote

from workers.runtime.errors import AegisError

LONGEST = 1000  # bytes; a marker is some forty


class MarkerError(AegisError):
    """The file outside the database cannot be read or written."""


class Marker:
    """The file of one database."""

    def __init__(self, data_dir: Path, database: str) -> None:
        self.file = data_dir / "runs" / quote(database, safe="")

    def read(self) -> str:
        """What was kept; empty when nothing is there."""
        try:
            with self.file.open("rb") as stream:
                return stream.read(LONGEST).decode("utf-8", "replace").strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise self._told("read", error) from error

    def write(self, marker: str) -> None:
        """Put a new one in the place of the old: after a crash of the machine one of them is there, whole."""
        folder = self.file.parent
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".")
            try:
                with os.fdopen(descriptor, "w") as stream:
                    stream.write(f"{marker}\n")
                    stream.flush()
                    os.fsync(stream.fileno())
                Path(temporary).replace(self.file)
            except OSError:
                Path(temporary).unlink(missing_ok=True)
                raise
            _sync(folder)
        except OSError as error:
            raise self._told("write", error) from error

    def _told(self, what: str, error: OSError) -> MarkerError:
        return MarkerError(
            f"cannot {what} {self.file}: {error.strerror}",
            hint="It remembers which database ran here, and must survive a restart: look at AEGIS_DATA_DIR.",
        )


def _sync(folder: Path) -> None:
    """Make the new name last, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
