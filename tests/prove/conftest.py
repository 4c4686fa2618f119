"""Walks and storms share one database per module, emptied in between; races use the fixtures of the laws."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cli.database import logins
from cli.database.secrets import password_of
from tests.conftest import Databases, PgServer
from tests.prove.place import STRATEGY, Connect, Connection, Place
from tests.prove.race import LEVELS, Race
from tests.sql.laws.conftest import database, db, kit, market, mutation, threads
from tests.sql.laws.market_kit import Kit

__all__ = ["database", "db", "kit", "market", "mutation", "threads"]


@pytest.fixture(scope="module")
def connect(
    pg_server: PgServer, databases: Databases, maintenance: Connection, template: str, secrets: Path
) -> Iterator[Connect]:
    """Connect to this module's database as any login; None is the administrator."""
    name = databases.create(template)
    logins.secure_copy(maintenance, name)
    with pg_server.connect(name) as conn:
        logins.ensure_strategy_login(conn, STRATEGY, secrets)

    def session(login: str | None) -> Connection:
        password = password_of(login, secrets) if login else None
        return psycopg.connect(pg_server.url(name, login, password), autocommit=True)

    yield session
    databases.retire(name)


@pytest.fixture(scope="module")
def place(connect: Connect) -> Iterator[Place]:
    place = Place(connect)
    yield place
    place.close()


@pytest.fixture(params=LEVELS)
def race(request: pytest.FixtureRequest, kit: Kit) -> Race:
    return Race(kit, request.param)


@pytest.fixture(params=[False, True], ids=["waiting", "with an old snapshot"])
def old(request: pytest.FixtureRequest, race: Race) -> bool:
    if request.param and race.level == "read committed":
        pytest.skip("read committed has no old snapshots")
    return bool(request.param)
