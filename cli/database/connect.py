"""Choose the database and connect to it.

Without AEGIS_DATABASE_URL it is a database of the embedded server, where the administrator needs no password.
With AEGIS_DATABASE_URL it is on an external server, and the URL is the administrator's.  Workers, strategies
and the desk each have their own login, and their URLs never contain a password: it is passed in PGPASSWORD,
where `ps` does not show it.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
from psycopg import errors, sql

from cli.database import limits, logins, pooler
from cli.database.binaries import find_binaries
from cli.database.catalog import Connection
from cli.database.embedded import Server, ServerError
from cli.database.errors import DatabaseError
from cli.database.history import is_deployed, read_state
from cli.database.migrate import LOCK_TIMEOUT, Report, migrate
from cli.database.secrets import password_of
from workers.runtime import session
from workers.runtime.errors import teach_psycopg
from workers.runtime.settings import Settings, load_settings, to_environment

teach_psycopg()  # so that refusals reach commands as the classes of workers.runtime.errors

KIND_OF_NAME = {"demo": "demo", "aegis": "live"}
DESK = logins.DESK


@dataclass
class Database:
    """One database on one server, embedded or external."""

    settings: Settings
    name: str
    server: Server | None = field(default=None, repr=False)

    @classmethod
    def resolve(cls, settings: Settings | None = None, *, name: str | None = None) -> Database:
        """The database named in the settings, or another one on the same server."""
        settings = settings or load_settings()
        named = _name_in(settings.database_url) if settings.database_url else settings.database
        return cls(settings, name or named)

    @property
    def external(self) -> bool:
        return self.settings.database_url is not None

    @property
    def directory(self) -> Path:
        """The directory of the embedded server."""
        return self.settings.data_dir / "server"

    @property
    def default_kind(self) -> str | None:
        """The kind of a new database of this name when none is given."""
        return "live" if self.external else KIND_OF_NAME.get(self.name)

    def ensure_running(self) -> None:
        """Start the embedded server unless it runs; do nothing for an external one."""
        if not self.external and self.server is None:
            binaries = find_binaries(self.settings)
            self.server = Server.start(self.directory, binaries=binaries)

    def exists(self) -> bool:
        with self.server_admin() as conn:
            found = conn.execute("select from pg_database where datname = %s", [self.name]).fetchone()
            return found is not None

    def migrate(self, kind: str | None = None, *, force: bool = False) -> Report:
        """Create the server, database and logins if they are missing, and apply schema/ and sql/."""
        self.ensure_running()
        if not self.exists():
            if (kind := kind or self.default_kind) is None:
                raise DatabaseError("a new database needs a kind", hint="Add --kind demo, for example.")
            self._create()
        with self.admin() as conn:
            logins.ensure_roles(conn)
            logins.ensure_logins(conn, self.settings.secrets_dir)
            logins.secure_database(conn)
            if not self.external:  # the whole server is ours, so no database stays open to everyone
                limits.close_databases(conn, [name for (name,) in limits.open_databases(conn)])
            asked = kind or (None if is_deployed(conn) else self.default_kind)
            return migrate(conn, kind=asked, force=force, lock_timeout=LOCK_TIMEOUT)

    def ensure_strategy_login(self, strategy_name: str) -> str:
        """Create the login of a newly added strategy; return its name."""
        with self.admin() as conn:
            return logins.ensure_strategy_login(conn, strategy_name, self.settings.secrets_dir)

    def admin(self) -> Connection:
        """The administrator's connection to this database; ordinary commands use `desk` instead."""
        return self._connect_admin(self.name)

    def server_admin(self) -> Connection:
        """The administrator's connection to the `postgres` database, so our own database need not exist."""
        return self._connect_admin("postgres")

    def desk(self) -> Connection:
        """A connection as the desk login, which the commands use."""
        return self.connect(DESK)

    def connect(self, login: str) -> Connection:
        """A connection as this login; raise DatabaseError if the database is not migrated."""
        url = self.url(login)
        conn = self._connect(url, password=password_of(login, self.settings.secrets_dir))
        if not _has_door(conn):
            conn.close()
            raise DatabaseError(f"the database {self.name} is not migrated", hint=self._migrate_hint)
        return conn

    def drop(self) -> None:
        """Drop the database with everything in it, without asking."""
        with self.server_admin() as conn:
            conn.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(self.name)))

    def url(self, login: str = DESK, *, pooled: bool = False, password: str | None = None) -> str:
        """The URL for this login; it contains a password only if one is given."""
        if pooled and self.settings.pooled_url is None and self.external:
            raise DatabaseError(
                "the address of the pooler is not set", hint="Set AEGIS_POOLED_URL to that of PgBouncer."
            )
        address = self.settings.pooled_url if pooled else self.settings.database_url
        if address is None:
            server = self.embedded()
            address = pooler.pooled_url(server, self.name, login) if pooled else server.url(self.name, login)
        return _with(address, user=login, password=password, dbname=self.name)

    def worker_env(self, login: str) -> dict[str, str]:
        """The environment of a worker process: its own login and password, and our checked settings."""
        pooled = None if self.settings.pooled_url is None else self.url(login, pooled=True)
        own = replace(self.settings, database_url=self.url(login), pooled_url=pooled)
        return {"PGPASSWORD": password_of(login, self.settings.secrets_dir)} | to_environment(own)

    def program(self, name: str) -> str:
        """The path of a program, such as `psql` or `pg_dump`, of the PostgreSQL we use."""
        return find_binaries(self.settings).program(name)

    def dump(self) -> str:
        """The definitions of everything in the database as SQL; the same database gives the same text."""
        parts = urlsplit(self._admin_url(self.name))
        address = _with(urlunsplit(parts), user=unquote(parts.username or ""), dbname=self.name)
        environment = os.environ | ({"PGPASSWORD": unquote(parts.password)} if parts.password else {})
        command = [self.program("pg_dump"), "--schema-only", f"--dbname={address}"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DatabaseError(f"pg_dump failed: {done.stderr.strip()}")
        # Newer pg_dump versions add \restrict lines with a random key, which would make every dump differ.
        lines = done.stdout.splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith(("\\restrict ", "\\unrestrict ")))

    def refuse_reset(self) -> str | None:
        """Raise DatabaseError if this database may not be dropped; return its kind, None if it has none."""
        if not self.exists():
            return None
        with self.admin() as conn:
            kind = read_state(conn).kind
            busy = conn.execute(
                """
                select distinct usename from pg_stat_activity
                where datname = current_database() and usename ~ '^aegis_[ws]_'
                """
            ).fetchall()
        if kind == "live":
            raise DatabaseError(
                f"{self.name} is a live database, which is never reset",
                hint="To delete it for good, drop it yourself with psql.",
            )
        if busy:
            raise DatabaseError(
                f"{self.name} is in use by {', '.join(sorted(name for (name,) in busy))}",
                hint="Stop them first: aegis down.",
            )
        return kind

    def embedded(self) -> Server:
        """The running embedded server; raise DatabaseError with a hint how to start it if it does not run."""
        if self.external:
            raise DatabaseError("this database is on an external server", hint="Unset AEGIS_DATABASE_URL.")
        if self.server is None:
            try:
                self.server = Server.attach(self.directory)
            except ServerError as error:
                raise DatabaseError(
                    "the embedded server is not running",
                    hint="Run aegis up, or aegis db migrate to start the server alone.",
                ) from error
        return self.server

    @property
    def _migrate_hint(self) -> str:
        return "Run aegis up, which does everything, or aegis db migrate."

    def _admin_url(self, dbname: str) -> str:
        if self.settings.database_url is not None:
            return _with(self.settings.database_url, dbname=dbname)
        return self.embedded().url(dbname)

    def _create(self) -> None:
        statement = sql.SQL("create database {} template template0 encoding 'UTF8'")
        with (
            self.server_admin() as conn,
            suppress(errors.DuplicateDatabase, errors.UniqueViolation),  # another process created it first
        ):
            conn.execute(statement.format(sql.Identifier(self.name)))

    def _connect_admin(self, dbname: str) -> Connection:
        """Connect as the administrator and set our session settings, whatever the server's defaults are."""
        conn = self._connect(self._admin_url(dbname))
        conn.execute("set statement_timeout = 0")
        conn.execute(
            session.pin("%s", "%s").encode(), [list(session.SETTINGS), list(session.SETTINGS.values())]
        )
        return conn

    def _connect(self, url: str, **how: Any) -> Connection:
        try:
            return psycopg.connect(url, autocommit=True, application_name="aegis", **how)
        except psycopg.OperationalError as error:
            if isinstance(error, errors.InvalidCatalogName) or "does not exist" in str(error):
                raise DatabaseError(
                    f"the database {self.name} is not ready: {_last_line(error)}", hint=self._migrate_hint
                ) from error
            raise DatabaseError(
                f"cannot reach the database {self.name}: {_last_line(error)}",
                hint="Check AEGIS_DATABASE_URL, and that the server lets you log in."
                if self.external
                else "Run aegis up, which starts the server.",
            ) from error


def _has_door(conn: Connection) -> bool:
    row = conn.execute("select to_regnamespace('api') is not null").fetchone()
    return row is not None and bool(row[0])


def _last_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _name_in(url: str) -> str:
    parts = urlsplit(url)
    return unquote(parts.path.removeprefix("/")) or unquote(parts.username or "") or "aegis"


def _with(url: str, *, dbname: str, user: str | None = None, password: str | None = None) -> str:
    """The URL with another database and, if a user is given, that user with this password or none."""
    parts = urlsplit(url)
    who, at, where = parts.netloc.rpartition("@")
    if user is not None:
        secret = f":{quote(password, safe='')}" if password else ""
        who, at = quote(user, safe="") + secret, "@" if user else ""
    return urlunsplit(parts._replace(netloc=f"{who}{at}{where}", path=f"/{quote(dbname, safe='')}"))
