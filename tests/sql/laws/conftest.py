"""A market per test, and the hook that removes a law from its database (see tests/mutations)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cli.database import logins
from cli.database.secrets import password_of
from tests.conftest import Databases, PgServer
from tests.mutations import Mutation
from tests.sql.laws.market_kit import Connection, Kit, Login


@pytest.fixture(scope="session")
def market(
    pg_server: PgServer, databases: Databases, maintenance: Connection, template: str, secrets: Path
) -> Iterator[str]:
    """A database with an open market, made once: opening one takes longer than most tests do."""
    name = databases.create(template)
    logins.secure_copy(maintenance, name)

    def login(role: str) -> Connection:
        return psycopg.connect(pg_server.url(name, role, password_of(role, secrets)), autocommit=True)

    with ThreadPoolExecutor(max_workers=1) as pool, pg_server.connect(name) as conn:
        kit = Kit(conn, login, pool)
        kit.open_market()
        kit.close()
    yield name
    databases.drop(name)


@pytest.fixture
def database(
    request: pytest.FixtureRequest, databases: Databases, maintenance: Connection, template: str
) -> Iterator[str]:
    """The name of this test's own database: a copy of the market if the test uses the kit."""
    has_kit = "kit" in request.fixturenames
    name = databases.create(request.getfixturevalue("market") if has_kit else template)
    logins.secure_copy(maintenance, name)
    yield name
    databases.retire(name)


@pytest.fixture
def mutation(request: pytest.FixtureRequest) -> Mutation | None:
    """The law to remove from this test's database; None except when the mutations run."""
    return getattr(request, "param", None)


@pytest.fixture
def db(db: Connection, mutation: Mutation | None) -> Connection:
    """The tests' administrator connection, to a database that may lack one law."""
    if mutation is not None:
        db.execute(mutation.sql.encode())
    return db


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads for sessions that have to wait for each other."""
    with ThreadPoolExecutor(max_workers=24) as pool:
        yield pool
        pool.shutdown(wait=False, cancel_futures=True)


@pytest.fixture
def kit(db: Connection, login: Login, threads: ThreadPoolExecutor) -> Iterator[Kit]:
    """One account with 100,000,000 KRW in cash and two symbols, quoted 70,000 to 70,100, ready to trade."""
    kit = Kit(db, login, threads)
    kit.go_on_here()
    yield kit
    kit.close()


@pytest.fixture
def laws_hold(kit: Kit) -> Iterator[None]:
    """Check at the end of the test that the law audit finds nothing."""
    yield
    assert kit.audit() == []


@pytest.fixture
def resting(kit: Kit) -> Any:
    """A take-profit of ten resting at the broker; ten are held at 70,000, with the stop at 67,900."""
    kit.add_strategy()
    kit.hold(10, owner="momo")
    return kit.live_order("SELL", 10, 74_000, owner="momo", intent_type="EXIT")


@pytest.fixture
def fallen(kit: Kit, resting: Any) -> Any:
    """The price has fallen through the stop, and the stop has fired."""
    kit.quote(60_000, 60_100)
    assert kit.call("exits", "select fire_exits()") == 1
    return resting


@pytest.fixture
def child(kit: Kit, fallen: Any) -> Any:
    """The child order that will replace the resting take-profit."""
    (child,) = kit.rows("execution", "select * from claim_amends(%s, 10)", kit.worker())
    return child
