"""Release the events of a simulated or recorded feed when they are due; only this feed module reads a clock.

An event is due at its own `ts`.  All due events are released together, at most every few milliseconds,
because one SQL call with five quotes costs about as much as a call with one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from workers.feeds import Event

PAUSE = timedelta(milliseconds=4)  # the shortest sleep before a batch that is not yet due
LARGEST = 1000  # events in a batch
LATE = timedelta(seconds=1)  # a longer delay means that the process was suspended, not busy


def utc_now() -> datetime:
    return datetime.now(UTC)


async def paced(
    events: Iterator[Event], late: Callable[[timedelta], None] | None = None
) -> AsyncIterator[list[Event]]:
    """Yield events when they are due; call `late` with the delay when the oldest is over a second late."""
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
    """Sleep until `due`, at least for PAUSE when it is in the future; return the time after the sleep."""
    now = utc_now()
    if due <= now:
        await asyncio.sleep(0)
        return utc_now()
    while due > now:
        await asyncio.sleep(max(due - now, PAUSE).total_seconds())
        now = utc_now()
    return now


async def flat_out(events: Iterator[Event]) -> AsyncIterator[list[Event]]:
    """Yield events as fast as they are consumed; set each event's `ts` to the time it is yielded."""
    while batch := list(islice(events, LARGEST)):
        now = utc_now()
        for event in batch:
            event.ts = now
        yield batch
        await asyncio.sleep(0)
