"""Others are notified of prices after they are stored, in few and short notifications."""

import asyncio

from tests.workers.price_sync.price_sync_kit import running, until
from workers import price_sync


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
