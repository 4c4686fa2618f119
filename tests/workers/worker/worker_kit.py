"""How to wait for what a worker does."""

import asyncio
from pathlib import Path

ROOT = Path(__file__).parents[3]
TIMEOUT = 20
DONE = "select count(*) from api.todo where done_by is not null"


async def until(db, query, wanted=True):
    """Wait until a query returns this value."""
    await until_true(lambda: db.execute(query).fetchone()[0] == wanted)


async def until_true(condition):
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110 (rows and counters set no event)
            await asyncio.sleep(0)


async def idle(worker):
    """Wait until the worker listens and has drained once."""
    await until_true(lambda: worker.drains and not worker.bus.degraded)
