"""The cost of each call after 10,000, 100,000 and a million orders; the ratio should stay near one.

The history consists of finished orders, written with triggers off.  Each call finds the same work every time
and is rolled back.  BENCH_ORDERS=10000,100000 sets other lengths.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bench.report import Section
from bench.scratch import OPEN, Connection, Scratch, furnish
from cli.database.connect import DESK
from tests.prove.history import PAST
from tests.triggers import OFF, ON

LENGTHS = tuple(map(int, os.environ.get("BENCH_ORDERS", "10000,100000,1000000").split(",")))
TIMES = 60
ACCOUNT, STRATEGY = "bench1", "bench"
BUY = "select api.create_intent('bench1', $1, 'BUY', 10, 100, 'flat', $2, $3, p_ttl => '1 hour')"
FILL = "select api.record_fill('bench1', $1, null, $2, $3, 100, 1, 1, clock_timestamp())"
CLAIM = "select order_id, fence, client_order_id from api.claim_intents($1, $2)"
QUOTE = """
select api.ingest_quotes('bench', array_agg('S' || n), array_agg(clock_timestamp()), array_agg(1::bigint + n),
    array_agg($1::numeric), array_agg(50::numeric), array_agg($1 + 0.01), array_agg(50::numeric))
from generate_series(0, 9) as n
"""


@dataclass(frozen=True)
class Call:
    """One call: its name, the login that makes it, the query and its arguments."""

    name: str
    login: str
    query: str
    args: tuple[object, ...] = ()


class Flat:
    """The prepared database with its open sessions and the work that the calls will find."""

    def __init__(self, stack: AsyncExitStack, scratch: Scratch) -> None:
        self._stack = stack
        self._scratch = scratch
        self._sessions: dict[str, Connection] = {}
        self.worker = 0

    async def session(self, login: str) -> Connection:
        if login not in self._sessions:
            self._sessions[login] = await self._stack.enter_async_context(self._scratch.connect(login))
        return self._sessions[login]

    async def prepare(self) -> list[Call]:
        """Create positions with exits, resting orders, and waiting intents and picks; return the calls."""
        await furnish(self._scratch)
        admin, desk = await self.session(""), await self.session(DESK)
        hand = await self.session("aegis_w_execution")
        self.worker = await hand.fetchval("select api.register_worker('execution', 1, 'bench')")
        # Accounts are reconciled for this run, but an hour ago, so they are always due for reconciliation.
        await admin.execute(
            f"{OPEN}; update trade.accounts set reconciled_at = bus.clock() - interval '1 hour';"
            " select api.make_partitions()"
        )
        await self.quote()
        for n in range(10):
            await desk.execute(BUY, f"S{n}", STRATEGY, "ENTRY")
        for order in await hand.fetch(CLAIM, self.worker, 100):
            await hand.execute(FILL, order["client_order_id"], f"F{order['order_id']}", 10)
        for n in range(10):
            await desk.execute(BUY, f"S{n}", "manual", "MANUAL")
        resting = await hand.fetch(CLAIM, self.worker, 100)
        for order in resting:
            await hand.execute(
                "select api.order_accepted($1::bigint, $2, 'B' || $1::bigint)",
                order["order_id"],
                order["fence"],
            )
        for n in range(10):
            await desk.execute(BUY, f"S{n}", "manual", "MANUAL")
        strategy = await self.session("aegis_s_bench")
        await strategy.execute("select api.propose('S1', 'BUY', 'ADD', 1, p_ttl => '1 hour')")
        await hand.execute("select api.paper_place('flat', 'bench1', 'S1', 'BUY', 'LIMIT', 5, 90)")
        return self._calls(resting[0]["client_order_id"])

    def _calls(self, client: str) -> list[Call]:
        execution, risk, reconcile = "aegis_w_execution", "aegis_w_risk", "aegis_w_reconcile"
        snapshot = json.dumps({"holdings": {}})
        return [
            Call("create_intent", DESK, BUY, ("S2", "manual", "MANUAL")),
            Call("claim_intents of ten", execution, CLAIM, (self.worker, 10)),
            Call("record_fill", execution, FILL, (client, "once", 1)),
            Call("fire_exits, ten due", "aegis_w_exits", "select api.fire_exits()"),
            Call("route_picks, one", "aegis_w_router", "select api.route_picks(10)"),
            Call("expire_due", risk, "select api.expire_due()"),
            Call("enforce_modes", risk, "select api.enforce_modes()"),
            Call("next_due", risk, "select api.next_due()"),
            Call("holdings_fingerprint", reconcile, "select api.holdings_fingerprint($1)", (ACCOUNT,)),
            Call("accounts_to_reconcile", reconcile, "select * from api.accounts_to_reconcile()"),
            Call(
                "reconcile",
                reconcile,
                "select api.reconcile($1, api.holdings_fingerprint($1), $2)",
                (ACCOUNT, snapshot),
            ),
            Call("paper_match", execution, "select api.paper_match()"),
            Call("paper_fills_since", execution, "select * from api.paper_fills_since('demo', 1, 10)"),
        ]

    async def quote(self) -> None:
        """Ingest fresh prices, below the stops of the strategy's positions."""
        feed = await self.session("aegis_w_price_sync")
        await feed.execute(QUOTE, 98)

    async def milliseconds(self, call: Call) -> float:
        """The fastest of TIMES runs, each rolled back: other load on the machine only adds time."""
        conn = await self.session(call.login)
        await self.quote()
        taken = []
        for _ in range(TIMES):
            transaction = conn.transaction()
            await transaction.start()
            began = time.perf_counter()
            await conn.fetch(call.query, *call.args)
            taken.append(time.perf_counter() - began)
            await transaction.rollback()
        return min(taken) * 1000

    async def grow(self, rows: int) -> None:
        admin = await self.session("")
        past = PAST.format(rows=rows, owner=STRATEGY)
        await admin.execute(f"begin; {OFF} {past} {ON}; commit")
        await admin.execute("vacuum analyze")


async def run(scratch: Scratch) -> list[Section]:
    section = Section(f"Cost after {' / '.join(f'{n:,}' for n in LENGTHS)} orders")
    costs: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        flat = Flat(stack, scratch)
        calls = await flat.prepare()
        done = 0
        for length in LENGTHS:
            await flat.grow(length - done)
            done = length
            for call in calls:
                costs.setdefault(call.name, []).append(await flat.milliseconds(call))
    for name, taken in costs.items():
        section.add(f"{name}: last length", taken[-1], "ms", floor=taken[0])
    section.notes.append(
        "the floor is the same call after the first length; in between: "
        + "; ".join(f"{name} {' / '.join(f'{ms:.2f}' for ms in taken)} ms" for name, taken in costs.items())
    )
    return [section]
