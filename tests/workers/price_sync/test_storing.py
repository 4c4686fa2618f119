"""Everything a feed brings is stored once and counted, whatever happens to the connection."""

import asyncio
import gzip

import asyncpg
import pytest

from tests.workers.price_sync.price_sync_kit import (
    LOGIN,
    Breaking,
    counted,
    quote,
    running,
    trade,
    until,
)
from workers import price_sync
from workers.feeds.recording import HEADER
from workers.price_sync import PriceSync
from workers.runtime.errors import NotFound
from workers.runtime.settings import Settings


async def test_a_batch_of_quotes_and_trades_is_in_the_prices(sync, universe):
    sync.offer([quote(after=0.1), trade(after=0.2), quote(bid="72000", ask="72100", after=0.3)])

    assert await sync.drain() == 3
    assert await sync.drain() == 0
    best = universe.execute("select bid, ask, last, source, bid_is_sound from market.prices_best").fetchone()
    assert best == (72_000, 72_100, 72_000, "sim", True)


async def test_every_event_is_applied_superseded_or_quarantined_and_counted(sync, universe):
    events = [
        quote(after=0.5),
        quote(after=0.1),  # older than the one before
        quote("999999", after=0.1),  # not in the universe
        quote(after=86_400),  # from the future
        quote("000660", bid="-1", after=0.1),
        trade("000660", price="0", after=0.1),
        trade("000660", price="186500", after=0.1),
    ]
    sync.offer(events)
    await sync.drain()

    assert (sync.counts.applied, sync.counts.superseded, sync.counts.quarantined) == (2, 1, 4)
    assert counted(universe)[:3] == (2, 1, 4)
    assert universe.execute("select count(*) from market.quarantine").fetchone() == (4,)


async def test_a_zero_or_crossed_quote_is_shown_and_fires_nothing(sync, universe):
    sync.offer([quote(bid="0", ask="0"), quote("000660", bid="186600", ask="186500")])
    await sync.drain()

    assert universe.execute(
        "select bool_or(bid_is_sound or ask_is_sound) from market.prices_best"
    ).fetchone() == (False,)


async def test_a_long_buffer_goes_in_batches_in_order(sync, universe):
    sync.offer([quote(bid=str(50_000 + n), ask="90000", after=n / 10_000) for n in range(2_500)])

    assert [await sync.drain() for _ in range(4)] == [1000, 1000, 500, 0]
    assert universe.execute("select bid, received_seq from market.prices_best").fetchone() == (52_499, 2_500)
    assert sync.counts.total == 2_500


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_connection_lost_in_a_commit_loses_nothing_and_counts_nothing_twice(sync, universe, when):
    sync.offer([quote(after=0.1), trade(after=0.1)])
    await sync.drain()
    sync._link = Breaking(sync._link, when)
    sync.offer([quote("000660", after=0.2), trade("000660", after=0.2), quote("999999")])

    with pytest.raises(ConnectionResetError):
        await sync.drain()
    sync.offer([quote("035420", after=0.3)])
    while await sync.drain():
        pass

    assert counted(universe)[:3] == (5, 0, 1)
    assert universe.execute("select last_seq from market.feeds").fetchone() == (6,)


async def test_numbers_go_on_after_a_restart(sync, link, universe):
    sync.offer([quote(after=0.1)])
    await sync.drain()
    again = PriceSync(Settings(), "sim:1", db=link)
    again.offer([quote(after=0.2)])
    await again.drain()

    assert universe.execute("select received_seq from market.prices_best").fetchone() == (2,)
    assert again.counts.applied == 1


async def test_the_simulator_goes_on_from_the_last_price(sync, link):
    sync.offer([quote(bid="79900", ask="80100")])
    await sync.drain()
    again = PriceSync(Settings(), "sim:1", db=link)
    await again.drain()

    fair = {book.symbol: book.fair for book in again.feed.market.turns}
    assert fair["005930"] == 80_000 * 1_000_000


async def test_its_own_connection_does_not_wait_for_the_disk(dsn, universe):
    worker = PriceSync(Settings(database_url=dsn(LOGIN)), "sim:1")
    await worker._connect()

    assert await worker._link.fetchval("show synchronous_commit") == "off"
    await worker._link.close()


async def test_nothing_is_lost_or_counted_twice_while_its_sessions_are_killed(dsn, universe, recording):
    async with running(dsn, f"replay:{recording(30_000)}", "max") as worker:
        for stop in (3_000, 9_000, 15_000):
            await until(lambda stop=stop: worker.counts.total >= stop)
            universe.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [LOGIN]
            )
        await until(lambda: counted(universe)[3] == "ENDED")

    assert sum(counted(universe)[:3]) == 30_000
    assert universe.execute("select last_seq from market.feeds").fetchone() == (30_000,)


async def test_a_full_buffer_makes_the_feed_wait(sync, monkeypatch):
    monkeypatch.setattr(price_sync, "BUFFER", 10)

    async def batches():
        for _ in range(100):
            yield [quote()] * 5

    sync.feed.batches = batches
    reading = asyncio.create_task(sync._read())
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(sync._buffer) == 10

    while not reading.done() or sync._buffer:
        await sync.drain()
        await asyncio.sleep(0)
    assert sync.counts.total == 500


async def test_a_feed_whose_venue_is_unknown_is_refused_by_name(link, tmp_path):
    path = tmp_path / "nowhere_day.csv.gz"
    path.write_bytes(gzip.compress(HEADER.encode()))
    sync = PriceSync(Settings(), f"replay:{path}", db=link)

    with pytest.raises((NotFound, asyncpg.ForeignKeyViolationError)):
        await sync.drain()
