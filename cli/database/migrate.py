"""Deploy `schema/` and `sql/` into a database, in one transaction.

A deployment happens completely or not at all.  With no pending migration, `sql/` is applied again with
`create or replace`, which holds its locks only briefly.  With a pending migration (or a change that
`create or replace` cannot make, such as another return type) everything `sql/` created is dropped first.
The migration then finds only tables, so changed signatures, changed views and dropped columns just work.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import LiteralString, NoReturn

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from cli.database import catalog, history
from cli.database.catalog import Connection
from cli.database.errors import MigrationError
from cli.database.files import Migration, Source, SqlFile, read_source
from cli.database.history import State, decide_kind, find_pending, read_state, status

__all__ = ["LOCK_TIMEOUT", "Report", "migrate", "status"]

LOCK_TIMEOUT = timedelta(seconds=10)
_LOCK_KEY = 0x_AE_61_50  # serializes migrators of a database; api.migration_is_running looks for it
_BUSY = (errors.LockNotAvailable, errors.DeadlockDetected)

# SQLSTATEs of changes that `create or replace` cannot make but drop and create can.
_NEEDS_REBUILD = frozenset({"42P13", "42P16", "42809", "2BP01"})

_SESSION = """
set local role aegis_owner;
set local search_path = pg_catalog, pg_temp;
set local check_function_bodies = on;
set local statement_timeout = 0;
set local timezone = 'UTC';
set local client_min_messages = warning
"""


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


@dataclass(frozen=True)
class _Deployment:
    """The state that a deployment is to reach."""

    kind: str
    source: Source
    force: bool
    lock_timeout: timedelta

    def is_done(self, state: State) -> bool:
        """Whether there is nothing to do; raise MigrationError if the history does not match the files."""
        pending = find_pending(state, self.source)
        return not pending and not self.force and state.sql_checksum == self.source.code_checksum


def migrate(
    conn: Connection,
    *,
    kind: str | None,
    schema_dir: Path | None = None,
    sql_dir: Path | None = None,
    force: bool = False,
    lock_timeout: timedelta = LOCK_TIMEOUT,
) -> Report:
    """Deploy the files into the database of this connection, or raise MigrationError and change nothing.

    The connection must be an administrator's, and the roles of `cli.database.logins` must exist.  `kind` is
    needed for a new database and optional for a deployed one.  `force` re-creates all of `sql/` even if
    nothing differs.
    """
    if conn.info.transaction_status != TransactionStatus.IDLE:
        raise MigrationError("a migration needs a connection with no open transaction")
    state = read_state(conn)
    kind = decide_kind(state, kind)
    source = read_source(kind, schema_dir, sql_dir)
    deployment = _Deployment(kind, source, force, lock_timeout)
    if deployment.is_done(state):
        return Report(kind)
    if not force and not find_pending(state, source):
        try:
            return _deploy(conn, deployment, rebuild=False)
        except _FileFailed as failure:
            if failure.sqlstate not in _NEEDS_REBUILD:
                raise
    with _workers_waiting(conn, lock_timeout):
        return _deploy(conn, deployment, rebuild=True)


@contextmanager
def _workers_waiting(conn: Connection, lock_timeout: timedelta) -> Iterator[None]:
    """Make workers finish their current work and wait, because a rebuild locks what they use.

    Take the advisory lock first, then notify: workers wait only if they find the lock, because anybody could
    send the notification.
    """
    with conn.transaction():
        _limit_waits(conn, lock_timeout)
        _wait_for_other_migrators(conn, "pg_advisory_lock")
    try:
        conn.execute("notify command")
        yield
    finally:
        conn.execute("select pg_advisory_unlock(%s)", [_LOCK_KEY])


def _deploy(conn: Connection, wanted: _Deployment, *, rebuild: bool) -> Report:
    try:
        with conn.transaction():
            _limit_waits(conn, wanted.lock_timeout)
            _wait_for_other_migrators(conn)
            state = read_state(conn)  # again: another migrator may have finished while we waited
            decide_kind(state, wanted.kind)
            if wanted.is_done(state):
                return Report(wanted.kind)
            conn.execute(_SESSION.encode(), prepare=False)
            conn.execute("select set_config('aegis.kind', %s, true)", [wanted.kind])
            return _apply(conn, wanted, find_pending(state, wanted.source), rebuild=rebuild)
    except _BUSY as error:
        _refuse_busy(conn, error)


def _apply(conn: Connection, wanted: _Deployment, pending: tuple[Migration, ...], *, rebuild: bool) -> Report:
    """Apply the files, inside the deployment's transaction and as aegis_owner."""
    source = wanted.source
    frozen = source.frozen_functions
    if not history.is_deployed(conn):
        history.begin(conn)
        rebuild = False
    elif rebuild:
        catalog.drop_code(conn, frozen)
    for migration in pending:
        _run(conn, migration)
        history.remember_migration(conn, migration)
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
    history.remember_deployment(conn, wanted.kind, source)
    return Report(wanted.kind, tuple(migration.title for migration in pending), True, rebuild, removed)


def _run(conn: Connection, file: SqlFile) -> None:
    """Run one file inside the deployment's transaction; an error names the file and the line."""
    try:
        conn.execute(file.text.encode(), prepare=False)
    except _BUSY:
        raise
    except psycopg.Error as error:
        raise _FileFailed.at(file, error) from error


def _limit_waits(conn: Connection, lock_timeout: timedelta) -> None:
    conn.execute("select set_config('lock_timeout', %s, true)", [f"{lock_timeout.total_seconds():.3f}s"])


def _wait_for_other_migrators(conn: Connection, take: LiteralString = "pg_advisory_xact_lock") -> None:
    try:
        conn.execute(f"select {take}(%s)", [_LOCK_KEY])
    except errors.LockNotAvailable as error:
        raise MigrationError(
            "another migration of this database is running",
            hint="Wait until it has ended, then run this again.",
        ) from error


def _refuse_busy(conn: Connection, error: psycopg.Error) -> NoReturn:
    """Raise MigrationError that lists sessions with open transactions; a lock timeout names none."""
    sessions = conn.execute(
        """
        select format('%s (pid %s%s)', usename, pid, coalesce(', ' || nullif(application_name, ''), ''))
        from pg_stat_activity
        where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()
          and backend_type = 'client backend'
        order by xact_start
        """
    ).fetchall()
    open_now = ", ".join(name for (name,) in sessions) or "none any more"
    raise MigrationError(
        f"a table stayed locked by another session: {error.diag.message_primary}; nothing was changed",
        hint=f"Sessions with an open transaction: {open_now}. End them or wait, then run this again.",
    ) from error


class _FileFailed(MigrationError):
    """A file could not be applied."""

    def __init__(self, message: str, error: psycopg.Error) -> None:
        diag = error.diag
        more = (diag.message_hint, diag.message_detail, diag.context)
        super().__init__(message, hint=" ".join(text for text in more if text))
        self.sqlstate = error.sqlstate

    @classmethod
    def at(cls, file: SqlFile, error: psycopg.Error) -> "_FileFailed":
        position = int(error.diag.statement_position or 0)
        line = f":{file.text.count(chr(10), 0, position - 1) + 1}" if position else ""
        return cls(f"{file.name}{line}: {error.diag.message_primary or error}", error)
