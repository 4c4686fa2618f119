"""A market per test, and the hook by which a law is taken out of its database (see tests/mutations.py)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.mutations import Mutation
from tests.sql.laws.market_kit import OTHER, SYMBOL, Connection, Kit, Login


@pytest.fixture
def mutation(request: pytest.FixtureRequest) -> Mutation | None:
    """What is removed from this test's database: nothing, but when the mutations are run."""
    return getattr(request, "param", None)


@pytest.fixture
def db(db: Connection, mutation: Mutation | None) -> Connection:
    """The administrator's connection of the tests, to a database that may lack one law."""
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
    kit.call("supervisor", "select begin_run()")
    kit.add_account()
    kit.add_symbol(SYMBOL)
    kit.add_symbol(OTHER)
    kit.call("feed", "select open_feed('sim', 'SIM', 'sim')")
    kit.quote(70_000, 70_100)
    kit.quote(70_000, 70_100, symbol=OTHER)
    kit.open_account()
    yield kit
    kit.close()
