"""A database per test: a template is migrated once a session, and each test gets a copy of its files.

Our own launcher starts the server, with fsync off and in memory if there is room.  AEGIS_TEST_DATABASE_URL
names another one instead: an administrator's URL of a server (PostgreSQL 15 or newer) that may lose
everything, because it gets the roles and passwords of the tests.
"""

import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString, TypeAlias
from urllib.parse import quote, urlencode

import psycopg
import pytest
from psycopg import conninfo, sql
from pytest_postgresql import factories
from pytest_postgresql.executors import NoopExecutor
from xdist.scheduler import LoadFileScheduling

from cli.database import logins
from cli.database.embedded import Server
from cli.database.migrate import migrate
from cli.database.secrets import password_of

Connection: TypeAlias = psycopg.Connection[Any]
Login: TypeAlias = Callable[[str], Connection]
Dsn: TypeAlias = Callable[[str], str]


WHOLE_SYSTEMS = ("tests/attack/", "tests/chaos/", "tests/e2e/", "tests/cli/test_up.py")
"""Where tests run whole trading systems.  One system takes more than a core: two at a time starve."""


class OneSystemAtATime(LoadFileScheduling):
    """Gives each file to one process, and all tests of whole systems to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        return "systems" if nodeid.startswith(WHOLE_SYSTEMS) else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Distribute the tests as above with `--dist loadfile`, which dev.py asks for."""
    return OneSystemAtATime(config, log) if config.getvalue("dist") == "loadfile" else None


@dataclass(frozen=True)
class PgServer:
    """The administrator's address of this session's server; pytest-postgresql needs these field names."""

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
        """A URL with the password, which both drivers understand; without a user, the administrator's."""
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
            pg_server = PgServer(str(server.socket_dir), server.port, server.superuser, None, server)
            _log_in_fast(pg_server)
            yield pg_server
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _log_in_fast(server: PgServer) -> None:
    """Hash passwords in one round, not 4,096, because the tests log in ten thousand times."""
    with server.connect() as conn:
        if conn.info.server_version >= 160000:  # the first version that can
            conn.execute("alter system set scram_iterations = 1")
            conn.execute("select pg_reload_conf()")


def _scratch_directory() -> Path:
    """Create a server's directory, in memory if a gigabyte is free there; remove what killed runs left."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    base = memory if roomy else Path(tempfile.gettempdir())
    for old in base.glob("aegis-pytest-*"):
        pid = old.name.rpartition("-")[2]
        if pid == str(os.getpid()) or (pid.isdigit() and not _alive(int(pid))):
            shutil.rmtree(old, ignore_errors=True)
    directory = base / f"aegis-pytest-{os.getpid()}"
    directory.mkdir()
    directory.chmod(0o711)  # for root the server runs under another account, which must be able to enter
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
    """The passwords of all logins; the processes of xdist share the server's logins, so they share these."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "secrets"


def deploy(*, host: str, port: int, user: str, password: str | None, dbname: str, **_: object) -> None:
    """Create the template as `aegis db migrate --kind test` does, but without the logins."""
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


class Databases:
    """Creates databases for tests, and drops each one a little after its test has ended.

    DROP DATABASE waits in steps of 100 ms for sessions that are just ending.
    """

    def __init__(self, maintenance: Connection, prefix: str) -> None:
        self._maintenance = maintenance
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._retired: list[str] = []

    def create(self, template: str) -> str:
        name = f"{self._prefix}_{next(self._numbers)}"
        self.drop(name)  # a killed run on an external server may have left it
        self._execute("create database {} template {} strategy file_copy", name, template)
        return name

    def retire(self, name: str, keep: int = 2) -> None:
        """Drop a database later: all retired ones are dropped except the last `keep`."""
        self._retired.append(name)
        while len(self._retired) > keep:
            self.drop(self._retired.pop(0))

    def clear(self) -> None:
        for name in self._retired:
            self.drop(name)

    def drop(self, name: str) -> None:
        self._execute("drop database if exists {} with (force)", name)

    def _execute(self, statement: LiteralString, *names: str) -> None:
        self._maintenance.execute(sql.SQL(statement).format(*map(sql.Identifier, names)), prepare=False)


@pytest.fixture(scope="session")
def databases(maintenance: Connection, pg_template: NoopExecutor) -> Iterator[Databases]:
    databases = Databases(maintenance, pg_template.dbname)
    yield databases
    databases.clear()


@pytest.fixture
def database(databases: Databases, maintenance: Connection, template: str) -> Iterator[str]:
    """The name of this test's own database."""
    name = databases.create(template)
    logins.secure_copy(maintenance, name)
    yield name
    databases.retire(name)


@pytest.fixture
def new_database(pg_server: PgServer, databases: Databases) -> Iterator[Callable[[], Connection]]:
    """Return a function that creates an empty database with our roles and connects as administrator."""
    made: dict[str, Connection] = {}

    def create() -> Connection:
        name = databases.create("template0")
        conn = made[name] = pg_server.connect(name)
        logins.ensure_roles(conn)
        logins.secure_database(conn)
        return conn

    yield create
    for name, conn in made.items():
        conn.close()
        databases.retire(name)


@pytest.fixture
def wait_for(maintenance: Connection) -> Callable[..., Any]:
    """Wait until a query about the server's sessions finds a row; return its first column."""

    def wait(query: LiteralString, *parameters: object) -> Any:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if row := maintenance.execute(query, parameters).fetchone():
                return row[0]
            time.sleep(0.002)
        raise AssertionError(f"never seen: {query}")

    return wait


@pytest.fixture
def db(pg_server: PgServer, database: str) -> Iterator[Connection]:
    """An administrator's connection (autocommit) to this test's database."""
    with pg_server.connect(database) as conn:
        yield conn


@pytest.fixture
def dsn(pg_server: PgServer, database: str, secrets: Path, db: Connection) -> Dsn:
    """The address of any login, with its password: `dsn("aegis_desk")`; creates a strategy's login."""

    def address(role: str) -> str:
        if role.startswith("aegis_s_"):
            logins.ensure_strategy_login(db, role.removeprefix("aegis_s_"), secrets)
        return pg_server.url(database, role, password_of(role, secrets))

    return address


@pytest.fixture
def login(dsn: Dsn) -> Iterator[Login]:
    """Connect as any login: `login("aegis_w_router").execute(...)`, in autocommit, as in production."""
    opened: list[Connection] = []

    def connect(role: str) -> Connection:
        opened.append(psycopg.connect(dsn(role), autocommit=True))
        return opened[-1]

    yield connect
    for conn in opened:
        conn.close()
