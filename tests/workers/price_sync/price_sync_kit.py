"""Quotes and trades, and how to run price_sync and to wait for it."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from workers.feeds import Quote, Trade
from workers.price_sync import PriceSync
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
