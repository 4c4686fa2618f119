"""The run marker: a small file outside the database by which a restored older state is recognised.

A restored backup also restores what the database knows about itself, so only data outside it can show that it
is older.  One file per database says which epoch and run ran here last and how far the WAL was flushed.  The
database compares and decides; this module only stores the marker.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from urllib.parse import quote

from workers.runtime.errors import AegisError

LONGEST = 1000  # bytes to read; a marker has about forty


class MarkerError(AegisError):
    """The marker file cannot be read or written."""


class Marker:
    """The marker file of one database."""

    def __init__(self, data_dir: Path, database: str) -> None:
        self.file = data_dir / "runs" / quote(database, safe="")

    def read(self) -> str:
        """Return the stored marker; empty when there is none."""
        try:
            with self.file.open("rb") as stream:
                return stream.read(LONGEST).decode("utf-8", "replace").strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise self._told("read", error) from error

    def write(self, marker: str) -> None:
        """Replace the marker atomically: after a machine crash either the old or the new one is complete."""
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
    """Flush the directory, so that the rename survives a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
