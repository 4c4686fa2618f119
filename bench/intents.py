"""Intents and claims per second: singly and in batches, from one connection and from several."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import TypeAlias

from bench.report import Section
from bench.scratch import OPEN, Scratch, furnish
from cli.database.connect import DESK

Call: TypeAlias = Callable[[], Awaitable[object]]

ACCOUNTS = 4
SECONDS = 3.0
BATCH = 200
CLAIMS = 5000

ONE = "select api.create_intent($1, $2, 'BUY', 1, 100, 'bench', p_ttl => '1 hour')"
MANY = f"""
select api.create_intent($1, 'S' || n % 10, 'BUY', 1, 100, 'bench', p_ttl => '1 hour')
from generate_series(1, {BATCH}) as n
"""
SET = f"""
select count(*)
from trade.open_intents(array(
    select row(
        a.account_id, i.instrument_id, 'manual', 'MANUAL', 'BUY', 1, 100, 'bench', gen_random_uuid()::text,
        '1 hour', null, null
    )::trade.intent_request
    from generate_series(1, {BATCH}) as n
    join market.instruments as i on i.symbol = 'S' || n % 10
    cross join trade.accounts as a
    where a.account = 'bench1'
))
"""
BARE_ONE = "insert into bench.rows (symbol, quantity) values ($1 || $2, 1)"
BARE_MANY = f"insert into bench.rows (symbol, quantity) select $1, n from generate_series(1, {BATCH}) as n"


async def run(scratch: Scratch) -> list[Section]:
    await furnish(scratch, accounts=ACCOUNTS)
    section = Section("Intents and claims, synchronous_commit on")
    async with AsyncExitStack() as stack:
        desks = [await stack.enter_async_context(scratch.connect(DESK)) for _ in range(ACCOUNTS)]
        admin = await stack.enter_async_context(scratch.connect())
        await admin.execute(OPEN)

        def calls(query: str, *args: str) -> list[Call]:
            """The same call on each connection; {} in an argument is replaced by the connection's number."""
            return [
                partial(desk.execute, query, *(a.format(n) for a in args))
                for n, desk in enumerate(desks, start=1)
            ]

        floor = await _rate(calls(BARE_ONE, "S", "0")[:1])
        rate = await _rate(calls(ONE, "bench1", "S0")[:1])
        section.add("single intents, 1 connection", rate, "/s", floor=floor, less=False)
        floor = await _rate(calls(BARE_ONE, "S", "0"))
        rate = await _rate(calls(ONE, "bench{}", "S0"))
        section.add(
            f"single intents, {ACCOUNTS} connections and accounts", rate, "/s", floor=floor, less=False
        )
        rate = await _rate(calls(ONE, "bench1", "S0"))
        section.add(
            f"single intents, {ACCOUNTS} connections, one account", rate, "/s", floor=floor, less=False
        )
        floor = await _rate(calls(BARE_MANY, "S0")[:1]) * BATCH
        rate = await _rate(calls(MANY, "bench1")[:1]) * BATCH
        section.add(f"{BATCH} single intents in one statement", rate, "/s", floor=floor, less=False)
        rate = await _rate([partial(admin.execute, SET)]) * BATCH
        section.add(f"intents in sets of {BATCH}", rate, "/s", floor=floor, aim=floor / 20, less=False)
        for size in (50, 1):
            for _ in range(CLAIMS // BATCH):
                await desks[0].execute(MANY, "bench1")
            await _claims(scratch, section, size)
    section.notes.append(
        "limit: each single intent waits for its WAL flush; NOTIFY in the commit lets only one commit flush "
        "at a time, whatever the number of connections"
    )
    section.notes.append(
        "limit: each call is a set of one, and pays for the statements that a set of 200 shares"
    )
    return [section]


async def _rate(calls: list[Call]) -> float:
    """Calls per second over all connections."""
    until = time.perf_counter() + SECONDS
    done = 0

    async def repeat(call: Call) -> None:
        nonlocal done
        while time.perf_counter() < until:
            await call()
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*map(repeat, calls))
    return done / (time.perf_counter() - began)


async def _claims(scratch: Scratch, section: Section, size: int) -> None:
    """Claim the waiting intents as fast as one worker can."""
    async with scratch.connect("aegis_w_execution") as executor, scratch.connect() as admin:
        waiting = await admin.fetchval("select count(*) from api.intents where status = 'NEW'")
        worker = await executor.fetchval("select api.register_worker('execution', 1, 'bench')")
        # No broker answers here, and an unanswered order past its deadline would block its symbol.
        await admin.execute("update trade.brokers set send_within = '1 h'")
        began, claimed = time.perf_counter(), 0
        while claimed < CLAIMS and time.perf_counter() - began < SECONDS:
            claimed += len(await executor.fetch("select * from api.claim_intents($1, $2)", worker, size))
        rate = claimed / (time.perf_counter() - began)
        section.add(f"claims in batches of {size}, {waiting:,} waiting", rate, "/s")
