"""Read which migrations a database has run, and check that the files match that history.

If the files do not match the history (a released file was changed or removed, or the database is newer than
the code), raise MigrationError before anything is changed: a person has to decide.
"""

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from cli.database.catalog import Connection
from cli.database.errors import MigrationError
from cli.database.files import KINDS, Migration, Source, read_source

_TABLES = """
create schema if not exists bus;

create table bus.migrations (
    version    integer     not null,
    name       text        not null,
    checksum   text        not null,
    applied_at timestamptz not null default pg_catalog.clock_timestamp(),

    constraint migrations_pkey primary key (version)
);
comment on table bus.migrations is 'The files of schema/ that have run here; written by the migrator alone.';
comment on column bus.migrations.version is 'The number the file name begins with.';
comment on column bus.migrations.name is 'The file name without .sql.';
comment on column bus.migrations.checksum is 'SHA-256 of the file as it ran; a released file may not change.';
comment on column bus.migrations.applied_at is 'When it ran, by the real clock.';

create table bus.deployments (
    singleton    boolean     not null default true,
    kind         text        not null,
    sql_checksum text        not null,
    code_version text        not null,
    applied_at   timestamptz not null default pg_catalog.clock_timestamp(),

    constraint deployments_pkey primary key (singleton),
    constraint deployments_one_row check (singleton),
    constraint deployments_kind_known check (kind in ('live', 'demo', 'replay', 'test'))
);
comment on table bus.deployments is 'Which sql/ is in force here: one row, written by the migrator alone.';
comment on column bus.deployments.singleton is 'Makes a second row impossible.';
comment on column bus.deployments.kind is 'What this database was created for; it never changes.';
comment on column bus.deployments.sql_checksum is 'One SHA-256 over the names and contents of sql/.';
comment on column bus.deployments.code_version is 'Version of the package that deployed it.';
comment on column bus.deployments.applied_at is 'When sql/ was last applied, by the real clock.';
"""


@dataclass(frozen=True)
class Applied:
    """A migration that has run, as recorded in the database."""

    version: int
    name: str
    checksum: str


@dataclass(frozen=True)
class State:
    """The deployment state that a database records about itself."""

    kind: str | None = None  # None: never migrated
    applied: tuple[Applied, ...] = ()
    sql_checksum: str | None = None
    code_version: str | None = None


@dataclass(frozen=True)
class Status:
    """A database compared with the files."""

    state: State
    pending: tuple[str, ...]
    sql_current: bool

    @property
    def current(self) -> bool:
        return self.sql_current and not self.pending


def status(conn: Connection, *, schema_dir: Path | None = None, sql_dir: Path | None = None) -> Status:
    """Compare the database with the files; raise MigrationError if its history does not match them."""
    state = read_state(conn)
    source = read_source(state.kind or "live", schema_dir, sql_dir)
    pending = find_pending(state, source)
    return Status(
        state, tuple(migration.title for migration in pending), state.sql_checksum == source.code_checksum
    )


def read_state(conn: Connection) -> State:
    """Read the migrator's two tables; a database without them has never been migrated."""
    with conn.transaction():
        if not is_deployed(conn):
            return State()
        rows = conn.execute("select version, name, checksum from bus.migrations order by version").fetchall()
        applied = tuple(Applied(*row) for row in rows)
        kind, checksum, version = _row(conn, "select kind, sql_checksum, code_version from bus.deployments")
        return State(kind, applied, checksum, version)


def find_pending(state: State, source: Source) -> tuple[Migration, ...]:
    """The migrations still to run; raise MigrationError if the history does not match the files."""
    files = {migration.version: migration for migration in source.migrations}
    newest = max((applied.version for applied in state.applied), default=-1)
    newest_file = max(files, default=-1)
    if newest > newest_file:
        raise MigrationError(
            f"the database is newer than this code: it is at {newest:04}, the code at {newest_file:04}",
            hint="Install the newer Aegis that migrated it; going back is not supported.",
        )
    for applied in state.applied:
        if applied.version not in files:
            raise MigrationError(
                f"migration {applied.name} ran here, but schema/ has no file {applied.version:04}",
                hint="Restore the file from version control: a released migration is never removed.",
            )
        if applied.checksum != files[applied.version].checksum:
            raise MigrationError(
                f"{files[applied.version].name} has changed since it ran here",
                hint="Restore the released file and put the change into a new migration.",
            )
    known = {applied.version for applied in state.applied}
    pending = tuple(migration for version, migration in files.items() if version not in known)
    if late := [migration.name for migration in pending if migration.version < newest]:
        raise MigrationError(
            f"{late[0]} is new, but migration {newest:04} has already run here",
            hint="Give it the next free number.",
        )
    return pending


def decide_kind(state: State, asked: str | None) -> str:
    kind = asked or state.kind
    if kind not in KINDS:
        raise MigrationError(
            f"{kind!r} is not a kind of database" if kind else "a new database needs a kind",
            hint=f"Choose one of {', '.join(KINDS)}.",
        )
    if state.kind not in (None, kind):
        raise MigrationError(
            f"this database was created as {state.kind} and cannot become {kind}",
            hint="A database keeps its kind for life; use another database name.",
        )
    return kind


def is_deployed(conn: Connection) -> bool:
    """Whether a deployment has ever finished in this database."""
    (exists,) = _row(conn, "select to_regclass('bus.deployments') is not null")
    return bool(exists)


def begin(conn: Connection) -> None:
    """Create the migrator's two tables in a new database."""
    conn.execute(_TABLES.encode(), prepare=False)


def remember_migration(conn: Connection, migration: Migration) -> None:
    conn.execute(
        "insert into bus.migrations (version, name, checksum) values (%s, %s, %s)",
        [migration.version, migration.title, migration.checksum],
    )


def remember_deployment(conn: Connection, kind: str, source: Source) -> None:
    conn.execute(
        """
        insert into bus.deployments (kind, sql_checksum, code_version) values (%s, %s, %s)
        on conflict (singleton) do update
        set sql_checksum = excluded.sql_checksum,
            code_version = excluded.code_version,
            applied_at = excluded.applied_at
        """,
        [kind, source.code_checksum, code_version()],
    )


def code_version() -> str:
    try:
        return metadata.version("aegis")
    except metadata.PackageNotFoundError:
        return "checkout"


def _row(conn: Connection, query: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = conn.execute(query.encode()).fetchone()
    if row is None:
        raise MigrationError(f"the migration tables are incomplete: no row from {query}")
    return row
