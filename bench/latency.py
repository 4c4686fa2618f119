"""Latency from a committed intent to its claim, and from a quote at the stop to the exit order placed."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.report import Section, percentile
from bench.scratch import OPEN, Connection, Scratch, furnish, timed, until
from cli.database.connect import DESK

WAKE_UPS = 1000
EXITS = 200
ROUND_TRIPS = 2000

INTENT = "select api.create_intent('bench1', 'S0', 'BUY', 1, 100, 'bench', p_ttl => '1 hour')"
QUOTE = """
select api.ingest_quotes('bench', array['S0'], array[clock_timestamp()], array[$1::bigint],
    array[$2::numeric], array[1000000.0], array[$2 + 0.01], array[1000000.0])
"""
ENTER = "select api.create_intent('bench1', 'S0', 'BUY', 10, null, 'bench', 'bench', 'ENTRY')"
ARMED = "select is_armed from trade.position_exits"
FLAT = """
select i.status = 'FILLED' and not exists (select from trade.position_exits as e where e.is_armed)
from trade.order_intents as i
order by i.intent_id desc
limit 1
"""
HOPS = """
select
    extract(epoch from pg_xact_commit_timestamp(p.xmin) - $1)::float8 as whole,
    extract(epoch from i.created_at - $1)::float8 as to_intent,
    extract(epoch from o.created_at - i.created_at)::float8 as to_claim,
    extract(epoch from pg_xact_commit_timestamp(p.xmin) - o.created_at)::float8 as to_broker
from trade.order_intents as i
join trade.orders as o on o.intent_id = i.intent_id
join paper.orders as p on p.client_order_id = o.client_order_id
order by i.intent_id desc
limit 1
"""
COMMITTED = "select pg_xact_commit_timestamp(b.xmin) from market.prices_best as b"


async def run(scratch: Scratch) -> list[Section]:
    await furnish(scratch)
    return [await _claimed(scratch), await _exit_order(scratch)]


async def _claimed(scratch: Scratch) -> Section:
    section = Section("A committed intent until another process has claimed it")
    async with scratch.connect(DESK) as desk, scratch.connect() as admin:
        await admin.execute(OPEN)
        empty = await timed(lambda: desk.fetchval("select bench.nothing()"), ROUND_TRIPS)
        insert = await timed(
            lambda: desk.execute("insert into bench.rows (symbol, quantity) values ('S0', 1)"), ROUND_TRIPS
        )
        async with _other_process(scratch, "hear") as other:
            floor = [await _wake(other, desk, "notify bench") for _ in range(WAKE_UPS)]
        async with _other_process(scratch, "claim") as other:
            claimed = [await _wake(other, desk, INTENT) for _ in range(WAKE_UPS)]
        call = await timed(lambda: desk.execute(INTENT), 200)
        await _sweep(scratch)
    section.add_latency("raw NOTIFY to callback", floor)
    section.add_latency("one empty SQL call", empty)
    section.add_latency("bare insert and commit", insert)
    section.add_latency("create_intent, call to commit", call, floor=insert)
    section.add_latency("commit to claimed", claimed, floor=floor, aims=(1.0, 5.0))
    rest = (percentile(claimed, 0.5) - percentile(floor, 0.5)) * 1000
    section.notes.append(
        f"limit: the wake-up by NOTIFY, then {rest:.2f} ms for claim_intents and its WAL flush"
    )
    return section


@asynccontextmanager
async def _other_process(scratch: Scratch, job: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.claimer", job),
        env=scratch.environment("aegis_w_execution"),
        stdout=PIPE,
    )
    assert process.stdout is not None
    try:
        await process.stdout.readline()
        yield process
    finally:
        process.kill()
        await process.wait()


async def _wake(other: Process, desk: Connection, statement: str) -> float:
    """Seconds from when the commit returned to us until the other process was done."""
    await desk.execute(statement)
    committed = time.monotonic_ns()
    assert other.stdout is not None
    done = int(await other.stdout.readline())
    await asyncio.sleep(0.001)
    return (done - committed) / 1e9


async def _sweep(scratch: Scratch) -> None:
    """Reject the intents that the benchmark left waiting."""
    async with scratch.connect("aegis_w_execution") as executor:
        number = await executor.fetchval("select api.register_worker('execution', 1, 'bench')")
        while rows := await executor.fetch("select order_id, fence from api.claim_intents($1, 100)", number):
            for order_id, fence in rows:
                await executor.execute(
                    "select api.order_rejected($1, $2, 'BENCH', '', false)", order_id, fence
                )


async def _exit_order(scratch: Scratch) -> Section:
    section = Section("A quote at the stop until its exit order is placed at the paper broker")
    async with (
        scratch.connect("aegis_w_price_sync") as feed,
        scratch.connect(DESK) as desk,
        scratch.connect() as admin,
    ):
        await feed.execute("set synchronous_commit = off")
        seq = await feed.fetchval("select api.open_feed('bench', 'SIM', 'sim')")
        await feed.execute(QUOTE, seq, 100)
        with scratch.workers(("exits",), ("execution",), ("reconcile",)):
            await until(lambda: admin.fetchval("select count(*) = 3 from api.workers where is_alive"))
            hops = []
            for _ in range(EXITS):
                hops.append(await _one_exit(feed, desk, admin, seq := seq + 2))
    whole, to_intent, to_claim, to_broker = zip(*hops, strict=True)
    section.add_latency("quote commit to exit order placed", whole, aims=(3.0, None))
    section.add_latency("  quote to exit intent", to_intent)
    section.add_latency("  intent to order claimed", to_claim)
    section.add_latency("  order claimed to placed at the broker", to_broker)
    section.notes.append(
        "limit: one wake-up by NOTIFY and two commits with a WAL flush, one behind the other"
    )
    return section


async def _one_exit(feed: Connection, desk: Connection, admin: Connection, seq: int) -> tuple[float, ...]:
    """Buy, send a quote at the stop, and read the times of quote, intent, claim and placement."""
    await feed.execute(QUOTE, seq, 100)
    await desk.execute(ENTER)
    await until(lambda: admin.fetchval(ARMED))
    await asyncio.sleep(0.005)  # the workers have just worked: let them go back to sleep
    await feed.execute(QUOTE, seq + 1, 99)
    await feed.execute("select pg_notify('prices_reached', '')")
    await asyncio.sleep(0.02)  # polling at once would take a processor core from what is measured
    quoted = await admin.fetchval(COMMITTED)
    await until(lambda: admin.fetchval(FLAT))
    row = await admin.fetchrow(HOPS, quoted)
    assert row is not None
    return tuple(row)
