"""Bring a database to what `schema/` and `sql/` say, in one transaction.

The decision: a deployment either happens whole or not at all.  With nothing pending, `sql/` is re-applied by
`create or replace`, which takes no lock longer than a moment.  With a pending migration (or a change that
`create or replace` cannot make, such as another return type) everything `sql/` made is dropped first, so a
migration meets tables and nothing else, and changed signatures, changed views and dropped columns just work.
"""

from dataclasses import dataclass
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from cli.database import catalog
from cli.database.catalog import Connection
from cli.database.errors import MigrationError
from cli.database.files import KINDS, Migration, Source, SqlFile, read_source

LOCK_TIMEOUT = timedelta(seconds=10)
_LOCK_KEY = 0x_AE_61_50  # the advisory lock that makes migrators of one database take turns
_BUSY = (errors.LockNotAvailable, errors.DeadlockDetected)

# SQLSTATEs of changes that `create or replace` cannot make, though drop and create can.
_NEEDS_REBUILD = frozenset({"42P13", "42P16", "42809", "2BP01"})

_SESSION = """
set local role aegis_owner;
set local search_path = pg_catalog, pg_temp;
set local check_function_bodies = on;
set local statement_timeout = 0;
set local timezone = 'UTC';
set local client_min_messages = warning
"""

_BOOKKEEPING = """
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
    """A migration as the database remembers it."""

    version: int
    name: str
    checksum: str


@dataclass(frozen=True)
class State:
    """What a database says about itself."""

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


@dataclass(frozen=True)
class Report:
    """What a deployment did."""

    kind: str
    applied: tuple[str, ...] = ()
    sql_applied: bool = False
    rebuilt: bool = False
    removed: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return self.sql_applied


def migrate(
    conn: Connection,
    *,
    kind: str | None,
    schema_dir: Path | None = None,
    sql_dir: Path | None = None,
    force: bool = False,
    lock_timeout: timedelta = LOCK_TIMEOUT,
) -> Report:
    """Deploy the files into the database of this admin connection, or raise MigrationError and change nothing.

    The group roles of `cli.database.logins` must exist.  `kind` is needed for a new database and may be left
    out for a deployed one.  `force` re-creates everything `sql/` made even when nothing differs.
    """
    if conn.info.transaction_status != TransactionStatus.IDLE:
        raise MigrationError("a migration needs a connection with no open transaction")
    state = read_state(conn)
    kind = _settle_kind(state, kind)
    source = read_source(kind, schema_dir, sql_dir)
    pending = find_pending(state, source)
    if not pending and state.sql_checksum == source.code_checksum and not force:
        return Report(kind)
    if pending or force:
        return _rebuild(conn, kind, source, lock_timeout)
    try:
        return _deploy(conn, kind, source, lock_timeout, rebuild=False)
    except _FileFailed as failure:
        if failure.sqlstate not in _NEEDS_REBUILD:
            raise
    return _rebuild(conn, kind, source, lock_timeout)


def status(conn: Connection, *, schema_dir: Path | None = None, sql_dir: Path | None = None) -> Status:
    """Compare the database with the files; raises MigrationError when they cannot belong together."""
    state = read_state(conn)
    source = read_source(state.kind or "live", schema_dir, sql_dir)
    pending = find_pending(state, source)
    return Status(
        state, tuple(migration.title for migration in pending), state.sql_checksum == source.code_checksum
    )


def read_state(conn: Connection) -> State:
    """Read the migrator's own two tables; a database without them has never been migrated."""
    with conn.transaction():
        (exists,) = _row(conn, "select to_regclass('bus.deployments') is not null")
        if not exists:
            return State()
        rows = conn.execute("select version, name, checksum from bus.migrations order by version").fetchall()
        applied = tuple(Applied(*row) for row in rows)
        kind, checksum, version = _row(conn, "select kind, sql_checksum, code_version from bus.deployments")
        return State(kind, applied, checksum, version)


def find_pending(state: State, source: Source) -> tuple[Migration, ...]:
    """The migrations still to run; refuses a history that the files cannot have made."""
    files = {migration.version: migration for migration in source.migrations}
    newest = max((applied.version for applied in state.applied), default=-1)
    newest_file = max(files, default=-1)
    if newest > newest_file:
        raise MigrationError(
            f"the database is newer than this code: it has migration {newest:04}, the code ends at {newest_file:04}",
            hint="Install the newer Aegis that migrated it; going back is not supported.",
        )
    for applied in state.applied:
        if applied.version not in files:
            raise MigrationError(
                f"migration {applied.name} ran here, but schema/ has no file {applied.version:04}",
                hint="Restore the file from version control: a released migration stays for ever.",
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


def _rebuild(conn: Connection, kind: str, source: Source, lock_timeout: timedelta) -> Report:
    """Deploy from scratch over the same tables; workers hear of it first, since it locks what they use."""
    with conn.transaction():
        conn.execute("select pg_notify('command', 'drain')")
    return _deploy(conn, kind, source, lock_timeout, rebuild=True)


def _deploy(conn: Connection, kind: str, source: Source, lock_timeout: timedelta, *, rebuild: bool) -> Report:
    try:
        with conn.transaction():
            conn.execute("select set_config('lock_timeout', %s, true)", [f"{lock_timeout.total_seconds():.3f}s"])
            _wait_for_other_migrators(conn)
            state = read_state(conn)  # again: another migrator may have finished while we waited
            _settle_kind(state, kind)
            pending = find_pending(state, source)
            conn.execute(_SESSION.encode(), prepare=False)
            conn.execute("select set_config('aegis.kind', %s, true)", [kind])
            return _apply(conn, kind, source, pending, rebuild=rebuild or bool(pending))
    except _BUSY as error:
        _refuse_busy(conn, error)


def _apply(
    conn: Connection, kind: str, source: Source, pending: tuple[Migration, ...], *, rebuild: bool
) -> Report:
    frozen = source.frozen_functions
    (exists,) = _row(conn, "select to_regclass('bus.deployments') is not null")
    if not exists:
        conn.execute(_BOOKKEEPING.encode(), prepare=False)
    rebuild = rebuild and bool(exists)
    if rebuild:
        catalog.drop_code(conn, frozen)
    for migration in pending:
        _run(conn, migration)
        conn.execute(
            "insert into bus.migrations (version, name, checksum) values (%s, %s, %s)",
            [migration.version, migration.title, migration.checksum],
        )
    before = catalog.places(conn, frozen)
    for file in source.definitions:
        _run(conn, file)
    try:
        removed = catalog.drop_leftovers(conn, before, frozen)
    except errors.DependentObjectsStillExist as error:
        raise _FileFailed(f"something still uses what sql/ no longer defines: {error}", error) from error
    catalog.revoke_all(conn)
    for file in source.grants:
        _run(conn, file)
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
    return Report(kind, tuple(migration.title for migration in pending), True, rebuild, removed)


def _run(conn: Connection, file: SqlFile) -> None:
    """Run one file inside the deployment's transaction; an error tells the file and the line."""
    try:
        conn.execute(file.text.encode(), prepare=False)
    except _BUSY:
        raise
    except psycopg.Error as error:
        raise _FileFailed.at(file, error) from error
    if conn.info.transaction_status != TransactionStatus.INTRANS:
        raise MigrationError(
            f"{file.name} ends the transaction it runs in",
            hint="Remove its commit or rollback: a deployment is one transaction.",
        )


def _wait_for_other_migrators(conn: Connection) -> None:
    try:
        conn.execute("select pg_advisory_xact_lock(%s)", [_LOCK_KEY])
    except errors.LockNotAvailable as error:
        raise MigrationError(
            "another migration of this database is running",
            hint="Wait until it has ended, then run this again.",
        ) from error


def _refuse_busy(conn: Connection, error: psycopg.Error) -> NoReturn:
    """Say who was in the way: a lock timeout alone leaves a person guessing."""
    sessions = conn.execute(
        """
        select format('%%s (pid %%s%%s)', usename, pid, coalesce(', ' || nullif(application_name, ''), ''))
        from pg_stat_activity
        where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()
          and backend_type = 'client backend'
        order by xact_start
        """,
        [],
    ).fetchall()
    open_now = ", ".join(name for (name,) in sessions) or "none any more"
    raise MigrationError(
        f"a table stayed locked by another session: {error.diag.message_primary}; nothing was changed",
        hint=f"Sessions with an open transaction: {open_now}. End them or wait, then run this again.",
    ) from error


def _settle_kind(state: State, asked: str | None) -> str:
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


def code_version() -> str:
    try:
        return metadata.version("aegis")
    except metadata.PackageNotFoundError:
        return "checkout"


def _row(conn: Connection, query: str) -> tuple[object, ...]:
    row: tuple[object, ...] | None = conn.execute(query.encode()).fetchone()
    if row is None:
        raise MigrationError(f"the database lost its bookkeeping: no row from {query}")
    return row


class _FileFailed(MigrationError):
    """A file could not be applied."""

    def __init__(self, message: str, error: psycopg.Error) -> None:
        diag = error.diag
        told = (diag.message_hint, diag.message_detail, diag.context)
        super().__init__(message, hint=" ".join(text for text in told if text))
        self.sqlstate = error.sqlstate

    @classmethod
    def at(cls, file: SqlFile, error: psycopg.Error) -> "_FileFailed":
        position = int(error.diag.statement_position or 0)
        line = f":{file.text.count(chr(10), 0, position - 1) + 1}" if position else ""
        return cls(f"{file.name}{line}: {error.diag.message_primary or error}", error)
