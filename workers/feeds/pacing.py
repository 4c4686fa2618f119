"""When events leave a feed that makes or reads them itself: the only place of the feeds that reads a clock.

An event is due at its own `ts`.  What is due leaves together, at most every few milliseconds, because one
call into SQL with five quotes costs about as much as with one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from workers.feeds import Event

PAUSE = timedelta(milliseconds=4)  # the least time between two batches
LARGEST = 1000  # events in a batch
LATE = timedelta(seconds=1)  # more than this and the process was asleep, not busy


def utc_now() -> datetime:
    return datetime.now(UTC)


async def paced(
    events: Iterator[Event], late: Callable[[timedelta], None] | None = None
) -> AsyncIterator[list[Event]]:
    """Yield events when they are due; `late` is told how late the oldest one is when it is over a second."""
    batch: list[Event] = []
    now = utc_now()
    for event in events:
        if event.ts > now or len(batch) == LARGEST:
            if batch:
                yield batch
                batch = []
            now = await _until(event.ts)
            if late is not None and now - event.ts > LATE:
                late(now - event.ts)
        batch.append(event)
    if batch:
        yield batch


async def _until(due: datetime) -> datetime:
    """Sleep until `due`, never less than the pause when it lies ahead; return what time it is then."""
    now = utc_now()
    if due <= now:
        await asyncio.sleep(0)
        return utc_now()
    while due > now:
        await asyncio.sleep(max(due - now, PAUSE).total_seconds())
        now = utc_now()
    return now


async def flat_out(events: Iterator[Event]) -> AsyncIterator[list[Event]]:
    """Yield events as fast as they are taken; each is stamped with the moment it leaves."""
    while batch := list(islice(events, LARGEST)):
        now = utc_now()
        for event in batch:
            event.ts = now
        yield batch
        await asyncio.sleep(0)
