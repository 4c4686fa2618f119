"""Find the SQL files that ship with Aegis, and read what a deployment needs from them.

In a checkout `schema/` and `sql/` are at the root; in an installed wheel the same two folders are packaged
beside this module.  Only one of the two places exists.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cli.database.errors import MigrationError

KINDS = ("live", "demo", "replay", "test")
VIRTUAL_KINDS = frozenset({"replay", "test"})  # the kinds whose clock obeys the GUC aegis.now

CURRENT = "current.sql"  # shows the tables as they are, for people; never applied

_MIGRATION_NAME = re.compile(r"(?P<version>\d{4})_\w+(?P<virtual>\.virtual)?\.sql")
_COMMENT = re.compile(r"--[^\n]*")
_BELONGS_IN_SQL = re.compile(r"^\s*create\s+(or\s+replace\s+)?(constraint\s+)?(trigger|view)\s", re.I | re.M)
_ENDS_TRANSACTION = re.compile(r"^\s*(commit|rollback|abort)\b[^;]*;", re.I | re.M)
_FUNCTION = re.compile(r"^\s*create\s+(?:or\s+replace\s+)?(?:function|procedure)\s+(\w+\.\w+)", re.I | re.M)


@dataclass(frozen=True)
class SqlFile:
    """One SQL file below its root, `schema/` or `sql/`; it is applied as a whole."""

    path: Path
    text: str
    root: Path

    @property
    def name(self) -> str:
        """The name shown in messages, such as `sql/40_trade/74_fills.sql`."""
        return f"{self.root.name}/{self.path.relative_to(self.root).as_posix()}"

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Migration(SqlFile):
    """One numbered file of `schema/`: run once, never changed after its release."""

    version: int

    @property
    def title(self) -> str:
        return self.path.name.removesuffix(".sql")


@dataclass(frozen=True)
class Source:
    """All the SQL files that one version of the code applies to one kind of database."""

    migrations: tuple[Migration, ...]
    code: tuple[SqlFile, ...]

    @property
    def grants(self) -> tuple[SqlFile, ...]:
        """The grants file and the files after it, applied once everything is defined."""
        names = [file.path.stem for file in self.code]
        first = next((at for at, name in enumerate(names) if name.endswith("grants")), len(names))
        return self.code[first:]

    @property
    def definitions(self) -> tuple[SqlFile, ...]:
        """The files of `sql/` before the grants."""
        return self.code[: len(self.code) - len(self.grants)]

    @property
    def code_checksum(self) -> str:
        """A checksum of names and contents: a renamed file changes the order, so it is a new deployment."""
        lines = "".join(f"{file.checksum} {file.name}\n" for file in self.code)
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def frozen_functions(self) -> tuple[str, ...]:
        """Functions defined in migrations because column defaults use them (`bus.now`, `bus.clock`)."""
        found = (_FUNCTION.findall(_COMMENT.sub("", migration.text)) for migration in self.migrations)
        return tuple(sorted({name.lower() for names in found for name in names}))


def schema_dir() -> Path:
    return _packaged("schema")


def sql_dir() -> Path:
    return _packaged("sql")


def read_source(kind: str, schema: Path | None = None, sql: Path | None = None) -> Source:
    """Read the SQL files for a database of this kind; raise MigrationError if they cannot be deployed."""
    migrations = _migrations(schema or schema_dir(), virtual=kind in VIRTUAL_KINDS)
    root = sql or sql_dir()
    code = tuple(SqlFile(path, _read(path), root) for path in sorted(root.rglob("*.sql")))
    for file in (*migrations, *code):
        if _ENDS_TRANSACTION.search(_COMMENT.sub("", file.text)):
            raise MigrationError(
                f"{file.name} ends the transaction it runs in",
                hint="Remove its commit or rollback: a deployment is one transaction.",
            )
    return Source(migrations, code)


def _migrations(folder: Path, *, virtual: bool) -> tuple[Migration, ...]:
    chosen: dict[int, Path] = {}
    replaced: dict[int, Path] = {}
    for path in sorted(folder.glob("*.sql")):
        if path.name == CURRENT:
            continue
        match = _MIGRATION_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(
                f"{folder.name}/{path.name} is not named like a migration",
                hint="Name it NNNN_what_it_adds.sql, for example 0007_fees.sql.",
            )
        place = replaced if match["virtual"] else chosen
        version = int(match["version"])
        if version in place:
            raise MigrationError(
                f"{folder.name}/{place[version].name} and {path.name} have the same number",
                hint="Give the one that is not released yet the next free number.",
            )
        place[version] = path
    if virtual:
        chosen |= replaced
    return tuple(_migration(version, path) for version, path in sorted(chosen.items()))


def _migration(version: int, path: Path) -> Migration:
    migration = Migration(path, _read(path), path.parent, version)
    if _BELONGS_IN_SQL.search(_COMMENT.sub("", migration.text)):
        raise MigrationError(
            f"{migration.name} creates a view or a trigger",
            hint="They belong in sql/, which is re-applied whole; a migration would freeze them.",
        )
    return migration


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _packaged(folder: str) -> Path:
    here = Path(__file__).resolve().parent
    places = (here / folder, here.parents[1] / folder)
    return _first_existing(places, folder)


def _first_existing(places: Iterable[Path], folder: str) -> Path:
    for place in places:
        if place.is_dir():
            return place
    raise MigrationError(
        f"the folder {folder}/ of this installation is missing",
        hint="Install Aegis again: pip install --force-reinstall .",
    )
