"""Quotes per second into the database, in batches, as price_sync passes them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from bench.report import Section
from bench.scratch import Connection, Scratch, furnish, processor_seconds
from workers.feeds import Event, Quote
from workers.feeds.ingest import _literal, ingest

SYMBOLS = 200
BATCHES = (50, 200, 1000)
SECONDS = 3.0
AIM = {200: 100_000.0}

BARE = """
insert into bench.prices as b (symbol, ts, seq, bid, bid_size, ask, ask_size)
select distinct on (n.symbol) n.*
from unnest(
    $1::text[], $2::text::timestamptz[], $3::text::bigint[],
    $4::text::numeric[], $5::text::numeric[], $6::text::numeric[], $7::text::numeric[]
) as n (symbol, ts, seq, bid, bid_size, ask, ask_size)
order by n.symbol, n.seq desc
on conflict (symbol) do update
set ts = excluded.ts, seq = excluded.seq, bid = excluded.bid, bid_size = excluded.bid_size,
    ask = excluded.ask, ask_size = excluded.ask_size
"""


async def run(scratch: Scratch) -> list[Section]:
    await furnish(scratch, symbols=SYMBOLS)
    section = Section(f"Quotes of {SYMBOLS} symbols into prices, synchronous_commit off, one connection")
    async with scratch.connect("aegis_w_price_sync") as feed, scratch.connect() as admin:
        await feed.execute("set synchronous_commit = off")
        seq = await feed.fetchval("select api.open_feed('bench', 'SIM', 'sim')")
        for size in BATCHES:
            batch = _quotes(size)

            async def bare(first: int, batch: Sequence[Quote] = batch) -> None:
                await feed.execute(BARE, *_arguments(batch, first))

            async def real(first: int, batch: Sequence[Event] = batch) -> None:
                await ingest(feed, "bench", first, batch)

            floor, _ = await _rate(bare, size, 1)
            rate, seq = await _rate(real, size, seq)
            section.add(
                f"ingest_quotes, batches of {size}",
                rate,
                "quotes/s",
                floor=floor,
                aim=AIM.get(size),
                less=False,
            )
        counts = await admin.fetchrow(
            "select quotes_applied, quotes_superseded, quotes_quarantined from api.feeds"
        )
        assert counts is not None
        section.notes.append("{:,} applied, {:,} superseded, {:,} quarantined".format(*counts))
        section.notes.append(await _busy(feed, seq))
    return [section]


async def _rate(send: Callable[[int], Awaitable[None]], size: int, seq: int) -> tuple[float, int]:
    """Quotes per second, and the next sequence number."""
    for _ in range(5):
        await send(seq)
        seq += size
    began, sent = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < SECONDS:
        await send(seq)
        seq += size
        sent += size
    return sent / took, seq


def _quotes(size: int) -> list[Quote]:
    now = datetime.now(UTC)
    return [
        Quote(f"S{n * 7 % SYMBOLS}", now + timedelta(microseconds=n), "100.25", "17", "100.27", "23")
        for n in range(size)
    ]


def _arguments(batch: Sequence[Quote], first: int) -> tuple[object, ...]:
    return (
        [quote.symbol for quote in batch],
        _literal([quote.ts.isoformat() for quote in batch]),
        _literal(map(str, range(first, first + len(batch)))),
        _literal([quote.bid for quote in batch]),
        _literal([quote.bid_size for quote in batch]),
        _literal([quote.ask for quote in batch]),
        _literal([quote.ask_size for quote in batch]),
    )


async def _busy(feed: Connection, seq: int) -> str:
    """The processor time a batch costs, which other load on the machine hardly changes."""
    batch, times = _quotes(200), 300
    server, client = processor_seconds(feed), time.process_time()
    for n in range(times):
        await ingest(feed, "bench", seq + n * len(batch), batch)
    client = (time.process_time() - client) / times
    after = processor_seconds(feed)
    if server is None or after is None:
        return f"limit: a batch of 200 takes {client * 1e6:.0f} us of Python"
    server = (after - server) / times
    return (
        f"limit: a batch of 200 takes {server * 1e6:.0f} us of the server, mostly the upsert of a row a "
        f"symbol,\n  and then {client * 1e6:.0f} us of Python, which writes the arrays as text: "
        f"{200 / (server + client):,.0f} quotes/s on an idle machine"
    )
