"""A universe of symbols, a connection, a price_sync without a feed, and a recording."""

import gzip
from decimal import Decimal

import asyncpg
import pytest

from tests.workers.price_sync.price_sync_kit import LOGIN
from workers.feeds.recording import HEADER
from workers.feeds.simulator import INSTRUMENTS
from workers.price_sync import PriceSync
from workers.runtime.settings import Settings


@pytest.fixture
def universe(db):
    """The simulator's symbols, and those of a recording from SIM."""
    symbols = [i.symbol for i in INSTRUMENTS] + ["BTCUSDT"]
    db.execute(
        "insert into market.instruments (symbol, venue, name, currency, tick_table)"
        " select s, 'SIM', s, 'KRW', 'KRX' from unnest(%s::text[]) as s",
        [symbols],
    )
    return db


@pytest.fixture
async def link(dsn, universe):
    connection = await asyncpg.connect(dsn(LOGIN))
    yield connection
    await connection.close()


@pytest.fixture
def sync(link):
    """A worker that the test drives: offer events, drain, look at the rows."""
    return PriceSync(Settings(), "sim:1", db=link)


@pytest.fixture
def recording(tmp_path):
    def write(count, tail="", every="0.000001"):
        rows = [
            f"2024-08-08T00:00:{n * Decimal(every):09.6f}Z,BTCUSDT,{60_000 + n % 7},1,{60_010 + n % 7},2,,"
            for n in range(1, count + 1)
        ]
        path = tmp_path / "sim_day.csv.gz"
        path.write_bytes(gzip.compress("\n".join([HEADER, *rows, tail]).encode()))
        return path

    return write
