"""Carry a feed into the database: the only writer of prices.

Nothing is lost and nothing is counted twice.  Events are numbered as they arrive and leave the buffer only
when their batch has committed.  When the connection breaks during a commit nobody knows whether it held, so
the feed is opened again: the database answers with the next number it wants, and that settles it.

After a commit the others hear `quotes`, in a transaction that writes nothing (a NOTIFY inside a writing
commit would queue behind the WAL flush), at most once every few milliseconds, and beside the next batch:
prices never wait for a hint, nor for whoever floods the queue of notifications.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from workers.feeds import Event, FeedError, Quote, make_feed
from workers.feeds.grid import Grid
from workers.feeds.ingest import Counts, ingest
from workers.runtime.checkpoints import checkpoint
from workers.runtime.database import Queries, connect_direct, is_away
from workers.runtime.settings import Settings
from workers.runtime.worker import Worker

BATCH = 1000  # events handed to SQL at once
BUFFER = 20 * BATCH  # events in memory before the feed has to wait
HINT_GAP = 0.003  # seconds between two notifications
HINT_BYTES = 1000  # a longer list of symbols goes out empty, which means: look at all
HEARTBEAT = 1.0  # seconds between two words of a feed about itself

OPEN = "select api.open_feed($1, $2, $3)"
POSITION = "select api.feed_position($1)"
STATUS = "select api.feed_status($1, $2, $3)"
HINT = """
select set_config('synchronous_commit', 'off', true), pg_notify('quotes', $1)
where pg_notification_queue_usage() < 0.25
"""  # the bound of bus.notify; its commit holds up others that notify, so it does not wait for the disk
LATE_EXITS = "select api.record_late_exits($1, $2, $3, $4, $5)"
GRIDS = """
select i.symbol, i.lot_size, array_agg(t.price_from order by t.price_from) as starts,
    array_agg(t.tick_size order by t.price_from) as ticks
from api.instruments as i
join api.tick_sizes as t on t.tick_table = i.tick_table
where i.venue = $1
group by i.symbol, i.lot_size
"""
MIDS = "select symbol, ((bid + ask) / 2)::text from api.prices where venue = $1 and bid > 0 and ask > 0"


class PriceSync(Worker):
    """One feed into SQL: `price_sync FEED SPEED`.

    Given a connection it is in lockstep: nothing runs by itself, nobody is told; the caller offers events and
    drains.
    """

    name = "price_sync"
    poll = timedelta(seconds=HEARTBEAT)

    def __init__(
        self, settings: Settings | None = None, *args: str, db: Queries | None = None, worker_id: int = 0
    ) -> None:
        super().__init__(settings, *args, db=db, worker_id=worker_id)
        self.feed = make_feed(*(args or ("sim",)))
        self.counts = Counts()
        self.lockstep = db is not None
        self._link: Any = db
        self._buffer: deque[Event] = deque()
        self._next_seq = 0  # the number of the first event in the buffer; 0 until the feed was opened
        self._is_open = False
        self._has_ended = False
        self._room = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._touched: set[str] = set()  # symbols the others have not been told of
        self._hint: asyncio.Task[None] | None = None
        self._hint_due = self._word_due = 0.0

    async def start(self) -> None:
        await self._open_feed()
        self._reader = asyncio.create_task(self._read(), name="feed")
        self._reader.add_done_callback(lambda _: self.bus.wake.set())

    async def stop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._hint is not None:
            await asyncio.gather(self._hint, return_exceptions=True)
        if self._link is not None and not self.lockstep:
            try:
                if self._is_open and not self._has_ended:
                    await self._say("DISCONNECTED", "stopped")
            finally:
                await self._link.close()

    def offer(self, events: Sequence[Event]) -> None:
        """Take events into the buffer, in order."""
        self._buffer.extend(events)
        self.bus.wake.set()

    async def drain(self) -> int:
        """Hand one batch to SQL and tell the others; return how many events it had."""
        if not self._is_open:
            await self._open_feed()
        batch = list(islice(self._buffer, BATCH))
        try:
            if batch:
                self.counts.add(await ingest(self._link, self.feed.name, self._next_seq, batch))
                await checkpoint("price_sync.ingested")
                self._committed(len(batch))
                self._touched.update([event.symbol for event in batch])
            if not self.lockstep:
                await self._tell()
        except Exception:
            self._is_open = False  # what has committed is found out when it is opened again
            raise
        return len(batch)

    async def end(self) -> None:
        """Say that the feed has brought all it had."""
        self._has_ended = True
        c = self.counts
        account = f"{c.applied} applied, {c.superseded} superseded, {c.quarantined} quarantined"
        await self._say("ENDED", f"{self.feed.progress()}; {account}")
        self.log.info("the feed has ended: %s; %s", self.feed.progress(), account)

    async def _open_feed(self) -> None:
        """Open the feed, first or again; what has committed leaves the buffer."""
        if not self.lockstep:
            await self._connect()
        wanted: int = await self._link.fetchval(OPEN, self.feed.name, self.feed.venue, self.feed.source)
        if self._next_seq:
            self._committed(wanted - self._next_seq)
            await self._tell_late_exits()
        else:
            brought: int = await self._link.fetchval(POSITION, self.feed.name)
            self.feed.resume(wanted, brought, dict(await self._link.fetch(MIDS, self.feed.venue)))
            if not self.lockstep:
                self.feed.obey(await self._grids())
            self._next_seq = wanted
        self._is_open = True

    async def _tell_late_exits(self) -> None:
        """After an outage, which stops the quotes that were kept reached: the exits fire late by as much."""
        if self.lockstep or not self.heart.outage.is_worth_telling:
            return
        kept = [event for event in self._buffer if isinstance(event, Quote) and event.bid]
        if kept:
            symbols, times, bids = zip(*((q.symbol, q.ts, Decimal(q.bid)) for q in kept), strict=True)
            await self.db.execute(
                LATE_EXITS, await self.report_outage(), self.feed.name, symbols, times, bids
            )

    async def _grids(self) -> dict[str, Grid]:
        """The ticks and lots of each symbol of the feed's venue."""
        rows = await self._link.fetch(GRIDS, self.feed.venue)
        return {
            symbol: Grid(zip(starts, ticks, strict=True), lot.normalize())
            for symbol, lot, starts, ticks in rows
        }

    async def _connect(self) -> None:
        """A connection of its own: the server may lose prices in a crash, so their commits do not wait."""
        if self._link is not None:
            self._link.terminate()
        self._link = await connect_direct(self.settings, self.name)
        await self._link.execute("set synchronous_commit = off")

    def _committed(self, count: int) -> None:
        for _ in range(count):
            self._buffer.popleft()
        self._next_seq += count
        if len(self._buffer) < BUFFER:
            self._room.set()

    async def _read(self) -> None:
        """Fill the buffer; while it is full the feed waits."""
        async for batch in self.feed.batches():
            self.offer(batch)
            while len(self._buffer) >= BUFFER:
                self._room.clear()
                await self._room.wait()

    async def _tell(self) -> None:
        """What the others hear: which prices changed, that the feed lives, and how it ended."""
        now = asyncio.get_running_loop().time()
        if self._hint is not None and not self._hint.done():
            pass  # it wakes us when it is out
        elif self._touched and now >= self._hint_due:
            symbols = ",".join(sorted(self._touched))
            self._touched.clear()
            self._hint_due = now + HINT_GAP
            self._hint = asyncio.create_task(self._send_hint(symbols if len(symbols) <= HINT_BYTES else ""))
        elif self._touched:
            asyncio.get_running_loop().call_later(self._hint_due - now, self.bus.wake.set)
        if self._has_ended:
            return
        if self._reader is not None and self._reader.done() and not self._buffer:
            await self._finish(self._reader.exception())
        elif now >= self._word_due:
            self._word_due = now + HEARTBEAT
            await self._say("CONNECTED", self.feed.progress())

    async def _send_hint(self, symbols: str) -> None:
        """Wake the others; when that fails they find the prices at their next poll."""
        try:
            await self.db.execute(HINT, symbols)
        except Exception as error:
            self.log.log(logging.DEBUG if is_away(error) else logging.WARNING, "no hint was sent: %s", error)
        if self._touched:
            self.bus.wake.set()

    async def _finish(self, error: BaseException | None) -> None:
        """The feed brings no more: a recording is over or cannot be read on, or there is a bug."""
        if error is None:
            await self.end()
            return
        self._has_ended = True
        await self._say("DISCONNECTED", str(error))
        if isinstance(error, FeedError):  # reading it again would fail again
            self.log.error("the feed broke off: %s", error)
            await self.tell(error)
        else:
            self.end_with(error)

    async def _say(self, status: str, detail: str) -> None:
        await self._link.execute(STATUS, self.feed.name, status, detail)

    def vitals(self) -> dict[str, Any]:
        return super().vitals() | {"feed": self.feed.name, "buffer": len(self._buffer), **asdict(self.counts)}
