"""Write a feed's events to the database: the only writer of prices.

No event is lost or counted twice.  Events are numbered as they arrive, and they leave the buffer only after
their batch has committed.  When the connection breaks during a commit, it is unknown whether the commit
succeeded.  Then the feed is opened again, and the next number that the database expects answers that.

After a commit, others are notified: on `prices_reached` at once when the new prices have reached an exit or
an order, and for the strategies on `quotes`, at most once every HINT_GAP.  A notification has its own
transaction that writes nothing (a NOTIFY inside a writing commit would queue behind the WAL flush), and it
runs concurrently with the next batch.  So prices never wait for a notification, nor for a session that floods
the notification queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
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

BATCH = 1000  # events passed to SQL at once
BUFFER = 20 * BATCH  # events in memory before the feed has to wait
HINT_GAP = (
    0.02  # seconds between two notifications of strategies: each costs every strategy a look at its prices
)
HINT_BYTES = 1000  # a longer list of symbols is sent as empty, which means all symbols
HEARTBEAT = 1.0  # seconds between two status reports of a feed

OPEN = "select api.open_feed($1, $2, $3)"
POSITION = "select api.feed_position($1)"
STATUS = "select api.feed_status($1, $2, $3)"
HINT = """
select set_config('synchronous_commit', 'off', true), count(pg_notify(h.channel, h.payload))
from unnest($1::text[], $2::text[]) as h (channel, payload)
where pg_notification_queue_usage() < 0.25
"""  # same limit as bus.notify; other notifying commits wait for this one, so it does not wait for the disk
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
    """Writes one feed to SQL: `price_sync FEED SPEED`.

    With a connection `db` it runs in lockstep: it starts no tasks and notifies nobody; the caller offers
    events and drains.
    """

    name = "price_sync"
    poll = timedelta(seconds=HEARTBEAT)
    is_timed = False

    def __init__(
        self, settings: Settings | None = None, *args: str, db: Queries | None = None, worker_id: int = 0
    ) -> None:
        super().__init__(settings, *args, db=db, worker_id=worker_id)
        self.feed = make_feed(*(args or ("sim",)))
        self.counts = Counts()
        self.lockstep = db is not None
        self._link: Any = db
        self._buffer: deque[Event] = deque()
        self._next_seq = 0  # the number of the first event in the buffer; 0 before the feed is opened
        self._is_open = False
        self._has_ended = False
        self._room = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._touched: set[str] = set()  # symbols not yet notified
        self._reached = False  # whether prices reached an exit or an order and nobody was notified yet
        self._hint: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None
        self._hint_due = self._word_due = 0.0

    async def start(self) -> None:
        await self._open_feed()
        self._reader = asyncio.create_task(self._read(), name="feed")
        self._reader.add_done_callback(lambda _: self.bus.wake.set())

    async def stop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._later is not None:
            self._later.cancel()
        if self._link is not None and not self.lockstep:
            try:
                if self._is_open and not self._has_ended:
                    await self._say("DISCONNECTED", "stopped")
            finally:
                await self._link.close()
        if self._hint is not None:
            await asyncio.gather(self._hint, return_exceptions=True)

    def offer(self, events: Sequence[Event]) -> None:
        """Take events into the buffer, in order."""
        self._buffer.extend(events)
        self.bus.wake.set()

    async def drain(self) -> int:
        """Pass one batch to SQL and notify other workers; return how many events it had."""
        if not self._is_open:
            await self._open_feed()
        batch = list(islice(self._buffer, BATCH))
        try:
            if batch:
                counts, reached = await ingest(self._link, self.feed.name, self._next_seq, batch)
                self.counts.add(counts)
                self._reached |= reached
                await checkpoint("price_sync.ingested")
                self._committed(len(batch))
                self._touched.update([event.symbol for event in batch])
            if not self.lockstep:
                await self._tell()
        except Exception:
            self._is_open = False  # opening the feed again shows what has committed
            raise
        return len(batch)

    async def end(self) -> None:
        """Record that the feed has ended."""
        self._has_ended = True
        c = self.counts
        account = f"{c.applied} applied, {c.superseded} superseded, {c.quarantined} quarantined"
        await self._say("ENDED", f"{self.feed.progress()}; {account}")
        self.log.info("the feed has ended: %s; %s", self.feed.progress(), account)

    async def _open_feed(self) -> None:
        """Open the feed, first or again; remove committed events from the buffer."""
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
        """After an outage, record which stops and targets the buffered quotes had reached: they fire late."""
        if self.lockstep or not self.heart.outage.is_worth_telling:
            return
        kept = [event for event in self._buffer if isinstance(event, Quote) and event.bid]
        if kept:
            symbols, times, bids = zip(*((q.symbol, q.ts, Decimal(q.bid)) for q in kept), strict=True)
            await self.db.execute(
                LATE_EXITS, await self.report_outage(), self.feed.name, symbols, times, bids
            )

    async def _grids(self) -> dict[str, Grid]:
        """Ticks and lots of each symbol of the feed's venue."""
        rows = await self._link.fetch(GRIDS, self.feed.venue)
        return {
            symbol: Grid(zip(starts, ticks, strict=True), lot.normalize())
            for symbol, lot, starts, ticks in rows
        }

    async def _connect(self) -> None:
        """Open a separate connection with synchronous_commit off: a server crash may lose recent prices."""
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
        """Read the feed into the buffer; wait while the buffer is full."""
        async for batch in self.feed.batches():
            self.offer(batch)
            while len(self._buffer) >= BUFFER:
                self._room.clear()
                await self._room.wait()

    async def _tell(self) -> None:
        """Notify which prices changed, and report that the feed is alive or how it ended."""
        now = asyncio.get_running_loop().time()
        if self._hint is None or self._hint.done():  # else it wakes us when it has been sent
            self._hint_others(now)
        if self._has_ended:
            return
        if self._reader is not None and self._reader.done() and not self._buffer:
            await self._finish(self._reader.exception())
        elif now >= self._word_due:
            self._word_due = now + HEARTBEAT
            await self._say("CONNECTED", self.feed.progress())

    def _hint_others(self, now: float) -> None:
        """Start to notify those who are due, or come back when the strategies are."""
        hints: dict[str, str] = {}
        if self._reached:
            self._reached = False
            hints["prices_reached"] = ""
        if self._touched and now >= self._hint_due:
            symbols = ",".join(sorted(self._touched))
            self._touched.clear()
            self._hint_due = now + HINT_GAP
            hints["quotes"] = symbols if len(symbols) <= HINT_BYTES else ""
        if hints:
            self._hint = asyncio.create_task(self._send(hints))
        elif self._touched and (self._later is None or self._later.when() <= now):
            loop = asyncio.get_running_loop()
            self._later = loop.call_at(self._hint_due, self.bus.wake.set)

    async def _send(self, hints: Mapping[str, str]) -> None:
        """Notify other workers; when that fails, they find the prices at their next poll."""
        try:
            await self.db.execute(HINT, list(hints), list(hints.values()))
        except Exception as error:
            self.log.log(logging.DEBUG if is_away(error) else logging.WARNING, "no hint was sent: %s", error)
        if self._touched or self._reached:
            self.bus.wake.set()

    async def _finish(self, error: BaseException | None) -> None:
        """Handle the end of the feed: a recording has ended or cannot be read further, or there is a bug."""
        if error is None:
            await self.end()
            return
        self._has_ended = True
        await self._say("DISCONNECTED", str(error))
        if isinstance(error, FeedError):  # a restart would fail at the same place
            self.log.error("the feed broke off: %s", error)
            await self.tell(error)
        else:
            self.end_with(error)

    async def _say(self, status: str, detail: str) -> None:
        await self._link.execute(STATUS, self.feed.name, status, detail)

    def vitals(self) -> dict[str, Any]:
        return super().vitals() | {"feed": self.feed.name, "buffer": len(self._buffer), **asdict(self.counts)}
