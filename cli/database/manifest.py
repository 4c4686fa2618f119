"""Check a base backup against its manifest: every file is unchanged, and the WAL it needs can be read.

PostgreSQL's own pg_verifybackup does the same, but not every installation has one that works.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from cli.database.binaries import Binaries
from cli.database.cluster import clean_environment
from cli.database.errors import BackupError

MANIFEST = "backup_manifest"
NOT_LISTED = {MANIFEST, "postgresql.auto.conf"}


def verify(data: Path, binaries: Binaries) -> None:
    """Raise BackupError that names the first damaged, missing or unexpected file."""
    manifest = _read(data)
    listed: dict[str, dict[str, Any]] = {}
    for file in manifest["Files"]:
        name = file.get("Path") or bytes.fromhex(file["Encoded-Path"]).decode("utf-8", "surrogateescape")
        listed[name] = file
    for name, file in listed.items():
        if name not in NOT_LISTED and (wrong := _wrong(data / name, file)):
            raise _damaged(data, f"{name} {wrong}")
    for path in data.rglob("*"):
        name = str(path.relative_to(data))
        if path.is_file() and name not in listed and name not in NOT_LISTED and path.parent.name != "pg_wal":
            raise _damaged(data, f"{name} does not belong to it")
    for part in manifest["WAL-Ranges"]:
        _read_log(data, part, binaries)


def _read(data: Path) -> dict[str, Any]:
    """Read the manifest and check the checksum of itself that it ends with."""
    try:
        text = (data / MANIFEST).read_bytes()
        manifest: dict[str, Any] = json.loads(text)
        body, _, _ = text.rpartition(b'"Manifest-Checksum"')
        whole = hashlib.sha256(body).hexdigest() == manifest["Manifest-Checksum"]
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(data, f"{MANIFEST} cannot be read") from error
    if not whole:
        raise _damaged(data, f"{MANIFEST} was changed")
    return manifest


def _wrong(path: Path, file: dict[str, Any]) -> str | None:
    try:
        if path.stat().st_size != file["Size"]:
            return f"has {path.stat().st_size} bytes, not {file['Size']}"
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if digest == file["Checksum"] else "was changed"


def _read_log(data: Path, part: dict[str, Any], binaries: Binaries) -> None:
    """Read every WAL record between the start and the end of the backup."""
    span = [f"--timeline={part['Timeline']}", f"--start={part['Start-LSN']}", f"--end={part['End-LSN']}"]
    done = subprocess.run(
        [binaries.program("pg_waldump"), "--quiet", f"--path={data / 'pg_wal'}", *span],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise _damaged(data, f"its WAL cannot be read: {done.stderr.strip()}")


def _damaged(data: Path, what: str) -> BackupError:
    return BackupError(
        f"the backup {data.parent} is damaged: {what}", hint="Choose another backup: aegis backup --list."
    )
