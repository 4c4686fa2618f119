"""price_sync on a real server: everything a feed brings is stored once, and the others are notified."""

import asyncio
import gzip
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from workers import price_sync
from workers.feeds import FeedError, Quote, Trade
from workers.feeds.recording import HEADER
from workers.feeds.simulator import INSTRUMENTS
from workers.price_sync import PriceSync
from workers.runtime.errors import NotFound
from workers.runtime.settings import Settings

LOGIN = "aegis_w_price_sync"
COUNTED = """
select quotes_applied + trades_applied as applied, quotes_superseded + trades_superseded as superseded,
       quotes_quarantined + trades_quarantined as quarantined, status, detail
from market.feeds
"""
NOW = datetime.now(UTC)


def quote(symbol="005930", bid="71900", ask="72000", after=0.0, size="10"):
    return Quote(symbol, NOW - timedelta(seconds=1 - after), bid, size, ask, size)


def trade(symbol="005930", price="72000", after=0.0):
    return Trade(symbol, NOW - timedelta(seconds=1 - after), price, "3")


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
    def write(count, tail=""):
        rows = [
            f"2024-08-08T00:00:00.{n:06}Z,BTCUSDT,{60_000 + n % 7},1,{60_010 + n % 7},2,,"
            for n in range(1, count + 1)
        ]
        path = tmp_path / "sim_day.csv.gz"
        path.write_bytes(gzip.compress("\n".join([HEADER, *rows, tail]).encode()))
        return path

    return write


def counted(db):
    return db.execute(COUNTED).fetchone() or (0, 0, 0, "", "")


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 (a row, for which nobody here can set an event)
            await asyncio.sleep(0.01)


async def again(worker):
    """Wait until the worker has drained once more."""
    drains = worker.drains
    worker.bus.wake.set()
    await until(lambda: worker.drains > drains)


@asynccontextmanager
async def running(dsn, *args, login=LOGIN):
    """Run the worker as its process would, in a task of the test."""
    worker = PriceSync(Settings(database_url=dsn(login)), *args)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.request_stop()
        await asyncio.gather(task, return_exceptions=True)


class Breaking:
    """A connection that breaks once, before a statement is sent or after it has committed."""

    def __init__(self, link, when):
        self.link = link
        self.when = when

    def __getattr__(self, name):
        return getattr(self.link, name)

    async def fetchrow(self, query, *args):
        when, self.when = self.when, None
        if when == "before":
            raise ConnectionResetError
        row = await self.link.fetchrow(query, *args)
        if when == "after":
            raise ConnectionResetError
        return row


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


async def test_the_others_hear_of_prices_after_they_are_there(dsn, universe, link):
    heard = asyncio.Queue()
    await link.add_listener("quotes", lambda *note: heard.put_nowait(note[3]))
    async with running(dsn, "sim:1"):
        payload = await asyncio.wait_for(heard.get(), 20)
        known = {symbol for (symbol,) in universe.execute("select symbol from market.instruments")}
        there = universe.execute(
            "select count(*) from market.prices_best as b join market.instruments as i using (instrument_id)"
            " where i.symbol = any(%s)",
            [payload.split(",")],
        ).fetchone()

    assert payload
    assert set(payload.split(",")) <= known
    assert there == (len(payload.split(",")),)


async def test_notifications_are_coalesced(dsn, universe, link, monkeypatch):
    """With 100 ms between notifications, batches that come every few milliseconds share one."""
    loop = asyncio.get_running_loop()
    heard = []
    await link.add_listener("quotes", lambda *_: heard.append(loop.time()))
    monkeypatch.setattr(price_sync, "HINT_GAP", 0.1)
    async with running(dsn, "sim:1,rate=5000") as worker:
        await until(lambda: worker.counts.total > 5_000)

    assert 3 < len(heard) <= (heard[-1] - heard[0]) / 0.1 * 1.2 + 2


async def test_a_long_list_of_symbols_is_an_empty_hint(dsn, universe, link, monkeypatch):
    monkeypatch.setattr(price_sync, "HINT_BYTES", 5)
    heard = asyncio.Queue()
    await link.add_listener("quotes", lambda *note: heard.put_nowait(note[3]))
    async with running(dsn, "sim:1"):
        assert await asyncio.wait_for(heard.get(), 20) == ""


async def test_a_recording_ends_and_says_so_with_its_counts(dsn, universe, recording):
    async with running(dsn, f"replay:{recording(2_500, 'rubbish')}", "max") as worker:
        await until(lambda: counted(universe) and counted(universe)[3] == "ENDED")
        applied, superseded, quarantined, _, detail = counted(universe)
        await again(worker)

    assert applied + superseded + quarantined == 2_500
    assert detail.startswith("100%, 2500 quotes, 0 trades, 1 malformed, 2500 with a price off its tick; ")
    assert counted(universe)[3] == "ENDED"


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


async def test_a_recording_that_breaks_off_is_reported_and_the_worker_lives(dsn, universe, recording):
    path = recording(20_000)
    path.write_bytes(path.read_bytes()[:-100])
    async with running(dsn, f"replay:{path}", "max") as worker:
        await until(lambda: counted(universe) and counted(universe)[3] == "DISCONNECTED")
        await again(worker)

        assert "breaks off after line" in counted(universe)[4]
        assert counted(universe)[3] == "DISCONNECTED"
        told = universe.execute("select data ->> 'message' from bus.events where entity = 'error'").fetchone()
        assert "breaks off after line" in told[0]


async def test_a_bug_in_a_feed_ends_the_process(dsn, universe):
    worker = PriceSync(Settings(database_url=dsn(LOGIN)), "sim:1")

    async def batches():
        yield [quote()]
        raise ZeroDivisionError("a bug")

    worker.feed.batches = batches
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(worker.run(), 20)

    assert counted(universe)[0] == 1
    assert counted(universe)[3:] == ("DISCONNECTED", "a bug")


async def test_a_graceful_stop_says_that_the_feed_is_gone(dsn, universe):
    async with running(dsn, "sim:1") as worker:
        await until(lambda: worker.counts.total)

    assert counted(universe)[3:] == ("DISCONNECTED", "stopped")


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


def test_a_wrong_feed_is_refused_before_anything_is_opened():
    with pytest.raises(FeedError, match="unknown feed"):
        PriceSync(Settings(), "nonsense")


async def test_a_reader_that_replaces_a_dead_one_goes_on_where_that_stopped(dsn, universe, recording):
    path = f"replay:{recording(3000)}"
    async with running(dsn, path, "1") as first:
        await until(lambda: first.counts.total > 0)
        first._reader.cancel()

    async with running(dsn, path, "max") as second:
        await until(lambda: counted(universe)[3] == "ENDED")

    assert second.counts.total > 0
    assert sum(counted(universe)[:3]) == 3000


async def test_a_new_run_of_the_system_plays_a_recording_again(dsn, universe, recording):
    path = f"replay:{recording(500)}"
    async with running(dsn, path, "max"):
        await until(lambda: counted(universe)[3] == "ENDED")
    universe.execute("update bus.instance set run_number = run_number + 1")

    async with running(dsn, path, "max"):
        await until(lambda: sum(counted(universe)[:3]) == 1000)


async def test_a_malformed_line_is_reported_with_its_number(dsn, universe, recording, caplog):
    async with running(dsn, f"replay:{recording(5, tail='nonsense')}", "max"):
        await until(lambda: counted(universe)[3] == "ENDED")

    assert "line 7 has 1 column, not 8" in caplog.text
