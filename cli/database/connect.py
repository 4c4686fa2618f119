"""Which database we mean, and how to reach it.

Without AEGIS_DATABASE_URL it is a database of the embedded server, where the administrator needs no password;
with it, an external one, and the URL is the administrator's.  Everybody else comes by a login of their own,
whose URL never holds a password: that goes by PGPASSWORD, where `ps` does not show it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
from psycopg import errors, sql

from cli.database import logins
from cli.database.binaries import find_binaries
from cli.database.catalog import Connection
from cli.database.embedded import Server, ServerError
from cli.database.errors import DatabaseError
from cli.database.history import is_deployed
from cli.database.migrate import LOCK_TIMEOUT, Report, migrate
from cli.database.secrets import password_of
from workers.runtime.settings import Settings, load_settings

KIND_OF_NAME = {"demo": "demo", "aegis": "live"}
PGBOUNCER = "127.0.0.1:6432"  # where the pgbouncer.ini we ship listens
DESK = "aegis_desk"


@dataclass
class Database:
    """One database of one server, embedded or external."""

    settings: Settings
    name: str
    server: Server | None = field(default=None, repr=False)

    @classmethod
    def resolve(cls, settings: Settings | None = None, *, name: str | None = None) -> Database:
        """The database the settings name, or another one of the same server."""
        settings = settings or load_settings()
        named = _name_in(settings.database_url) if settings.database_url else settings.database
        return cls(settings, name or named)

    @property
    def external(self) -> bool:
        return self.settings.database_url is not None

    @property
    def directory(self) -> Path:
        """Where the embedded server lives."""
        return self.settings.data_dir / "server"

    @property
    def default_kind(self) -> str | None:
        """What a new database of this name becomes when nobody says."""
        return "live" if self.external else KIND_OF_NAME.get(self.name)

    def ensure_running(self) -> None:
        """Start the embedded server unless it runs; an external one is somebody else's to start."""
        if not self.external and self.server is None:
            binaries = find_binaries(self.settings)
            self.server = Server.start(self.directory, binaries=binaries)

    def exists(self) -> bool:
        with self._connect(self._admin_url("postgres")) as conn:
            return _exists(conn, self.name)

    def migrate(self, kind: str | None = None, *, force: bool = False) -> Report:
        """Make this database what the code says: server, database, logins, schema/ and sql/."""
        self.ensure_running()
        self._create_if_missing()
        with self.admin() as conn:
            logins.ensure_roles(conn)
            logins.ensure_logins(conn, self.settings.secrets_dir)
            logins.secure_database(conn)
            asked = kind or (None if is_deployed(conn) else self.default_kind)
            return migrate(conn, kind=asked, force=force, lock_timeout=LOCK_TIMEOUT)

    def ensure_strategy_login(self, strategy_name: str) -> str:
        """Create the login of a strategy when it is added; return its name."""
        with self.admin() as conn:
            return logins.ensure_strategy_login(conn, strategy_name, self.settings.secrets_dir)

    def admin(self) -> Connection:
        """A connection that may do everything: for migrations and for making logins, nothing else."""
        return self._connect(self._admin_url(self.name))

    def desk(self) -> Connection:
        """The connection of the people at the desk: what commands use."""
        return self.connect(DESK)

    def connect(self, login: str) -> Connection:
        """A connection of this login, or an error that says what to do first."""
        url = self.url(login)
        conn = self._connect(url, password=password_of(login, self.settings.secrets_dir))
        if not is_deployed(conn):
            conn.close()
            raise DatabaseError(f"the database {self.name} is not migrated", hint=self._migrate_hint)
        return conn

    def drop(self) -> None:
        """Drop the database with all that is in it; the caller has asked."""
        with self._connect(self._admin_url("postgres")) as conn:
            conn.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(self.name)))

    def url(self, login: str = DESK, *, pooled: bool = False) -> str:
        """The address for this login, without its password."""
        if pooled:
            address = self.settings.pooled_url or f"postgresql://{PGBOUNCER}/{self.name}"
            return _with(address, user=login, dbname=self.name)
        if self.settings.database_url is not None:
            return _with(self.settings.database_url, user=login, dbname=self.name)
        return self._running().url(self.name, login)

    def worker_env(self, login: str) -> dict[str, str]:
        """All that a worker process is told: its own login, its own password, and where files go."""
        env = {
            "AEGIS_DATABASE_URL": self.url(login),
            "PGPASSWORD": password_of(login, self.settings.secrets_dir),
            "AEGIS_DATA_DIR": str(self.settings.data_dir),
        }
        if self.settings.pooled_url is not None:
            env["AEGIS_POOLED_URL"] = self.url(login, pooled=True)
        return env

    def program(self, name: str) -> str:
        """The path of `psql` or `pg_dump` of the PostgreSQL we use."""
        return find_binaries(self.settings).program(name)

    @property
    def _migrate_hint(self) -> str:
        return "Run aegis up, which does everything, or aegis db migrate."

    def _running(self) -> Server:
        if self.server is None:
            try:
                self.server = Server.attach(self.directory)
            except ServerError as error:
                raise DatabaseError(
                    "the embedded server is not running",
                    hint="Run aegis up, or aegis db migrate to start the server alone.",
                ) from error
        return self.server

    def _admin_url(self, dbname: str) -> str:
        if self.settings.database_url is not None:
            return _with(self.settings.database_url, dbname=dbname)
        return self._running().url(dbname)

    def _create_if_missing(self) -> None:
        with self._connect(self._admin_url("postgres")) as conn:
            if _exists(conn, self.name):
                return
            try:
                statement = sql.SQL("create database {} template template0 encoding 'UTF8'")
                conn.execute(statement.format(sql.Identifier(self.name)))
            except (errors.DuplicateDatabase, errors.UniqueViolation):
                return  # another starter was faster

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
                hint="Check AEGIS_DATABASE_URL and that the server accepts you."
                if self.external
                else "Run aegis up, which starts the server.",
            ) from error


def _exists(conn: Connection, name: str) -> bool:
    return conn.execute("select from pg_database where datname = %s", [name]).fetchone() is not None


def _last_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _name_in(url: str) -> str:
    parts = urlsplit(url)
    return unquote(parts.path.removeprefix("/")) or unquote(parts.username or "") or "aegis"


def _with(url: str, *, user: str | None = None, dbname: str) -> str:
    """The same server for another database and, when named, another user, then without a password."""
    parts = urlsplit(url)
    who, at, where = parts.netloc.rpartition("@")
    if user is not None:
        who, at = quote(user, safe=""), "@"
    return urlunsplit(parts._replace(netloc=f"{who}{at}{where}", path=f"/{quote(dbname, safe='')}"))
