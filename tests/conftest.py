"""A database per test: a template is migrated once a session, and each test gets a copy of its files.

The server is our own launcher's, with fsync off and in memory where there is room, or the one of
AEGIS_TEST_DATABASE_URL: an administrator's URL of a server (PostgreSQL 15 or newer) that may lose everything,
for it gets the roles and passwords of the tests.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

import psycopg
import pytest
from psycopg import conninfo, sql
from pytest_postgresql import factories
from pytest_postgresql.executors import NoopExecutor

from cli.database import logins
from cli.database.embedded import Server
from cli.database.migrate import migrate
from cli.database.secrets import password_of

Connection: TypeAlias = psycopg.Connection[Any]
Login: TypeAlias = Callable[[str], Connection]
Dsn: TypeAlias = Callable[[str], str]


@dataclass(frozen=True)
class PgServer:
    """The server of this session, as its administrator reaches it; the names are pytest-postgresql's."""

    host: str
    port: int
    user: str
    password: str | None
    embedded: Server | None = None
    options: str = ""
    maintenance_dbname: str = "postgres"
    template_dbname: str | None = None

    def connect(self, dbname: str = "postgres") -> Connection:
        return psycopg.connect(self.url(dbname), autocommit=True)

    def url(self, dbname: str, user: str | None = None, password: str | None = None) -> str:
        """An address with the password in it, which both drivers understand; without a user, the admin's."""
        if user is None:
            user, password = self.user, self.password
        who = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        return f"postgresql://{who}@/{dbname}?{urlencode({'host': self.host, 'port': self.port})}"


@pytest.fixture(scope="session")
def pg_server() -> Iterator[PgServer]:
    if external := os.environ.get("AEGIS_TEST_DATABASE_URL"):
        info = conninfo.conninfo_to_dict(external)
        where = str(info.get("host") or "/var/run/postgresql"), int(info.get("port") or 5432)
        yield PgServer(*where, str(info.get("user") or "postgres"), str(info.get("password") or "") or None)
        return
    directory = _scratch_directory()
    try:
        with Server.start(directory / "server", fsync=False, port=0, die_with_owner=True) as server:
            yield PgServer(str(server.socket_dir), server.port, server.superuser, None, server)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _scratch_directory() -> Path:
    """A directory for a server: in memory if a gigabyte is free there; what a killed run left is removed."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    base = memory if roomy else Path(tempfile.gettempdir())
    for old in base.glob("aegis-test-*"):
        if not _alive(int(old.name.rpartition("-")[2])):
            shutil.rmtree(old, ignore_errors=True)
    directory = base / f"aegis-test-{os.getpid()}"
    directory.mkdir()
    directory.chmod(0o711)  # as root the server runs under another account, which must pass through
    return directory


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The passwords of all logins; the processes of xdist share one server's logins, so they share these."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "secrets"


def deploy(*, host: str, port: int, user: str, password: str | None, dbname: str, **_: object) -> None:
    """Make the template: what `aegis db migrate --kind test` does, but for the logins."""
    with PgServer(host, port, user, password).connect(dbname) as conn:
        logins.ensure_roles(conn)
        logins.secure_database(conn)
        migrate(conn, kind="test")


pg_template = factories.postgresql_noproc(dbname="aegis_test", depends_on="pg_server", load=[deploy])


@pytest.fixture(scope="session")
def maintenance(pg_server: PgServer) -> Iterator[Connection]:
    with pg_server.connect() as conn:
        yield conn


@pytest.fixture(scope="session")
def template(pg_server: PgServer, pg_template: NoopExecutor, secrets: Path) -> str:
    with pg_server.connect(pg_template.template_dbname) as conn:
        logins.ensure_logins(conn, secrets)
    return pg_template.template_dbname


@pytest.fixture(scope="session")
def copy_template(maintenance: Connection, template: str) -> Iterator[Callable[[], str]]:
    """Make a copy of the template and drop an older one.

    Not at the end of the same test: DROP DATABASE waits in steps of 100 ms for sessions that are just ending.
    """
    made: list[str] = []
    numbers = itertools.count(1)

    def drop(name: str) -> None:
        maintenance.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)), prepare=False
        )

    def copy() -> str:
        name = template.removesuffix("_tmpl") + f"_{next(numbers)}"
        if len(made) > 1:
            drop(made.pop(0))
        drop(name)  # a killed run on an external server may have left it
        create = sql.SQL("create database {} template {} strategy file_copy")
        maintenance.execute(create.format(sql.Identifier(name), sql.Identifier(template)), prepare=False)
        logins.secure_copy(maintenance, name)
        made.append(name)
        return name

    yield copy
    while made:
        drop(made.pop())


@pytest.fixture
def database(copy_template: Callable[[], str]) -> str:
    """The name of this test's own database."""
    return copy_template()


@pytest.fixture
def db(pg_server: PgServer, database: str) -> Iterator[Connection]:
    """An administrator's connection (autocommit) to this test's database."""
    with pg_server.connect(database) as conn:
        yield conn


@pytest.fixture
def dsn(pg_server: PgServer, database: str, secrets: Path, db: Connection) -> Dsn:
    """The address of any login, with its password: `dsn("aegis_desk")`; a strategy's login is made first."""

    def address(role: str) -> str:
        if role.startswith("aegis_s_"):
            logins.ensure_strategy_login(db, role.removeprefix("aegis_s_"), secrets)
        return pg_server.url(database, role, password_of(role, secrets))

    return address


@pytest.fixture
def login(dsn: Dsn) -> Iterator[Login]:
    """Connect as any login: `login("aegis_w_router").execute(...)`, in autocommit, as it will be for real."""
    opened: list[Connection] = []

    def connect(role: str) -> Connection:
        opened.append(psycopg.connect(dsn(role), autocommit=True))
        return opened[-1]

    yield connect
    for conn in opened:
        conn.close()
