"""Replay recorded events through the same drains as in live trading, in lockstep and in recorded time.

One connection does everything, so the order of all statements is fixed: the events of a step are ingested,
then each worker drains under its own login until it has nothing left to do.  The setting `aegis.now` holds
the time and advances from step to step.  The workers read no other clock and use no random numbers here, so
the same input gives the same rows, byte for byte.

A drain is skipped when the database says that it would find nothing (`api.work_waiting`), or, for a strategy,
when the step has brought no quote.  A test runs a replay with and without skipping and compares the results.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from workers.brokers import Amend, Order
from workers.execution import Execution
from workers.exits import Exits
from workers.feeds import Event, Quote
from workers.feeds.grid import Grid
from workers.feeds.ingest import Counts
from workers.feeds.recording import Malformed, Recording, RecordingFeed
from workers.price_sync import PriceSync
from workers.reconcile import Reconcile
from workers.risk import Risk
from workers.router import Router
from workers.runtime import session
from workers.runtime.errors import AegisError
from workers.runtime.settings import Settings
from workers.runtime.worker import Worker
from workers.strategy import StrategyWorker

ACCOUNT = "replay"
LARGEST_STEP = 10_000  # events; bounds the memory of a step
SETTLE = 1000  # due times after the last event that are still processed
TIDY_EVERY = 5000  # steps
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

HISTORY = {
    "fills": "select * from api.fills order by fill_id",
    "orders": "select * from api.orders order by order_id",
    "intents": "select * from api.intents order by intent_id",
    "picks": "select * from api.picks order by pick_id",
    "gate_results": "select * from api.gate_results order by pick_id, gate",
    "events": "select * from api.events order by event_id",
}
"""The queries whose rows make up the digest: only virtual times, and nothing about sessions."""

# Autovacuum is off in a replay: it runs at times we do not control and could change plans, and with them the
# order of rows. The replay vacuums by itself, always at the same steps.
ROOMS = "select format('%I.%I', n.nspname, c.relname) from pg_class as c join pg_namespace as n "
ROOMS += "on n.oid = c.relnamespace where c.relkind = 'r' and n.nspname = any($1) order by 1"
PRIVATE = ["market", "trade", "risk", "strategy", "paper", "bus"]


class ReplayError(AegisError):
    """A replay cannot start or continue."""


@dataclass(frozen=True)
class Instrument:
    """One symbol of the recording and its rules."""

    symbol: str
    tick_table: str
    lot_size: str


@dataclass(frozen=True)
class StrategyPlan:
    """A strategy to run: its name, class, parameters and the exit profile of its positions."""

    name: str
    cls: str
    parameters: dict[str, Any] = field(default_factory=dict)
    exits: str = "scalp"


@dataclass(frozen=True)
class Plan:
    """What to replay."""

    file: Path
    venue: str
    currency: str
    cash: Decimal
    instruments: Sequence[Instrument]
    strategies: Sequence[StrategyPlan]
    start: datetime
    step: timedelta = timedelta(milliseconds=50)
    thorough: bool = False
    """Run every drain in every step, even when it would find nothing."""
    sort: bool = False
    """Sort the events by time first."""
    tick_tables: Mapping[str, Decimal] = field(default_factory=dict)
    """Tick tables to create: name and single tick size."""
    grids: Mapping[str, Grid] = field(default_factory=dict)
    """Ticks and lots to which recorded prices and sizes are adjusted, by symbol; empty when not needed."""


class Link:
    """The one connection of a replay, with its current login and its virtual time."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.now = EPOCH
        self._login = ""
        self._free = asyncio.Lock()  # a worker may use the connection from several tasks

    async def set_time(self, now: datetime) -> None:
        async with self._free:
            self.now = now
            await self.connection.execute(f"set aegis.now = '{now.isoformat()}'")

    @asynccontextmanager
    async def acting_as(self, login: str) -> AsyncIterator[Any]:
        """The connection under this login's session authorization; '' for the administrator's."""
        async with self._free:
            if login != self._login:
                change = f'set session authorization "{login}"' if login else "reset session authorization"
                await self.connection.execute(change)
                self._login = login
            yield self.connection


class Session:
    """The database as a worker sees it: the one connection, under the worker's login."""

    def __init__(self, link: Link, login: str = "") -> None:
        self._link = link
        self._login = login

    async def execute(self, query: str, *args: Any) -> str:
        async with self._link.acting_as(self._login) as connection:
            status: str = await connection.execute(query, *args)
            return status

    async def executemany(self, command: str, args: Any) -> None:
        async with self._link.acting_as(self._login) as connection:
            await connection.executemany(command, args)

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        async with self._link.acting_as(self._login) as connection:
            rows: list[Any] = await connection.fetch(query, *args)
            return rows

    async def fetchrow(self, query: str, *args: Any) -> Any:
        async with self._link.acting_as(self._login) as connection:
            return await connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        async with self._link.acting_as(self._login) as connection:
            return await connection.fetchval(query, *args)


class StillExecution(Execution):
    """Execution without deadlines: the broker is SQL, and the machine's load must not change the result."""

    monotonic = staticmethod(lambda: 0.0)

    def answer_timeout(self, order: Order | Amend) -> float | None:
        return None


class Replay:
    """One replay, in a new database of its own."""

    def __init__(
        self,
        settings: Settings,
        connection: Any,
        plan: Plan,
        *,
        progress: Callable[[Replay], None] = lambda _: None,
        malformed: Callable[[Malformed], None] = lambda _: None,
    ) -> None:
        self.plan = plan
        self.link = Link(connection)
        self.admin = Session(self.link)
        self.steps = 0
        self.stopped = False
        """Whether the replay was asked to stop before the end."""
        self._settings = settings
        self._progress = progress
        self._malformed = malformed

    @property
    def counts(self) -> Counts:
        """How many events were applied, superseded and quarantined so far."""
        counts: Counts = self.sync.counts
        return counts

    @property
    def recording(self) -> Recording:
        recording: Recording = self.feed.recording
        return recording

    def request_stop(self) -> None:
        """Stop after the current step."""
        self.stopped = True

    async def run(self) -> None:
        """Replay the recording from its beginning to its end, or until asked to stop."""
        await self._set_up()
        end = self.plan.start
        for end, events in steps(self.recording.events(), self.plan.step):
            await self._pass_time_until(end)
            await self._step(end, events)
            self._progress(self)
            if self.stopped:
                break
        if not self.stopped:
            await self._settle()
        await self.sync.end()
        await self.admin.execute("reset aegis.now; analyze")

    async def digest(self) -> str:
        """A hash of the resulting history: two replays of the same input have the same digest."""
        found = hashlib.sha256()

        async def take(data: bytes) -> None:
            found.update(data)

        async with self.link.acting_as("") as connection:
            for name, query in HISTORY.items():
                found.update(name.encode())
                await connection.copy_from_query(query, output=take, format="csv")
        return found.hexdigest()

    async def _set_up(self) -> None:
        """Set up the database as `aegis up` would, at the time the recording begins."""
        settings = {**session.SETTINGS, **session.OF_PROCESSES, "synchronous_commit": "off"}
        await self.admin.fetch(session.pin("$1", "$2"), list(settings), list(settings.values()))
        self._tables = [row[0] for row in await self.admin.fetch(ROOMS, PRIVATE)]
        for table in self._tables:
            await self.admin.execute(f"alter table {table} set (autovacuum_enabled = off)")
        await self.link.set_time(self.plan.start)
        await self._furnish(Session(self.link, "aegis_desk"))
        await self._hire()
        await Session(self.link, "aegis_w_supervisor").execute("select api.begin_run()")
        await self._drain(self.reconcile)

    async def _furnish(self, desk: Session) -> None:
        plan = self.plan
        await desk.execute(
            "select api.add_account($1, 'paper', $2, $3, null, $4)",
            *(ACCOUNT, plan.venue, plan.currency, plan.cash),
        )
        for name, tick in plan.tick_tables.items():
            await desk.execute(
                "select api.add_tick_table($1, '{0}', array[$2::text::numeric])", name, f"{tick:f}"
            )
        for i in plan.instruments:
            await desk.execute(
                "select api.add_instrument($1, $2, $2, $3, $4, $5::text::numeric)",
                *(plan.venue, i.symbol, plan.currency, i.tick_table, i.lot_size),
            )
        symbols = [i.symbol for i in plan.instruments]
        for s in plan.strategies:
            budget = plan.cash // len(plan.strategies)
            await desk.execute(
                "select api.add_strategy($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb)",
                *(s.name, s.cls, ACCOUNT, symbols, budget, budget / 10, s.exits, json.dumps(s.parameters)),
            )
            await desk.execute("select api.start_strategy($1)", s.name)

    async def _hire(self) -> None:
        """Create the workers and register each under its own login."""
        self.sync = await self._worker(PriceSync, f"replay:{self.plan.file}")
        self.feed = self.sync.feed
        assert isinstance(self.feed, RecordingFeed)
        self.feed.venue = self.plan.venue
        self.recording.tell = self._malformed
        self.recording.sort, self.recording.grids = self.plan.sort, self.plan.grids
        self.exits = await self._worker(Exits)
        self.strategies = [await self._worker(StrategyWorker, s.name) for s in self.plan.strategies]
        self.router = await self._worker(Router)
        self.execution = await self._worker(StillExecution)
        self.risk = await self._worker(Risk)
        self.reconcile = await self._worker(Reconcile)
        for worker in (*self.strategies, self.execution):
            await worker.start()

    async def _worker(self, cls: type[Any], *args: str) -> Any:
        login = f"aegis_s_{args[0]}" if cls is StrategyWorker else f"aegis_w_{cls.name}"
        session = Session(self.link, login)
        number = await session.fetchval("select api.register_worker($1, 0, 'replay')", cls.name)
        return cls(self._settings, *args, db=session, worker_id=number)

    async def _step(self, now: datetime, events: Sequence[Event]) -> None:
        """Ingest the prices, then drain the workers in the order in which the prices would reach them."""
        await self.link.set_time(now)
        self.sync.offer(events)
        await self._drain(self.sync)
        await self._act(any(type(event) is Quote for event in events))
        self.steps += 1
        if self.steps % TIDY_EVERY == 0:
            await self.admin.execute("vacuum " + ", ".join(self._tables))

    async def _act(self, prices_changed: bool) -> None:
        all_of_them = self.plan.thorough
        due = await self.exits.db.fetchrow("select * from api.work_waiting()")
        fired = await self._drain(self.exits) if due["exits"] or all_of_them else 0
        proposed = 0
        if prices_changed or all_of_them:
            for strategy in self.strategies:
                proposed += await self._drain(strategy)
        answered = await self._drain(self.router) if proposed or due["router"] or all_of_them else 0
        if fired or answered or due["execution"] or all_of_them:
            await self._drain(self.execution)
        if fired or proposed or answered or due["risk"] or all_of_them:
            await self._drain(self.risk)
        if due["reconcile"] or all_of_them:
            await self._drain(self.reconcile)

    async def _drain(self, worker: Worker) -> int:
        total = 0
        while done := await worker.drain():
            total += done
        return total

    async def _pass_time_until(self, end: datetime) -> None:
        """When the next step is further away than one step, do what falls due in between at its due time."""
        while end - self.link.now > self.plan.step and not self.stopped:
            due = await self._next_due()
            if due is None or due >= end:
                return
            await self.link.set_time(due)
            await self._act(prices_changed=False)

    async def _settle(self) -> None:
        """After the last event, go on until nothing more is due, for at most SETTLE due times."""
        for _ in range(SETTLE):
            due = await self._next_due()
            if due is None:
                return
            await self.link.set_time(due)
            await self._act(prices_changed=False)

    async def _next_due(self) -> datetime | None:
        """The end of the step in which `api.next_due` next has work; None when nothing is due."""
        wait: timedelta | None = await self.risk.db.fetchval("select api.next_due()")
        return None if wait is None else step_end(self.link.now + wait, self.plan.step)


def step_end(moment: datetime, step: timedelta) -> datetime:
    """The end of the step that contains this time; steps count from the epoch, not from the first event."""
    return EPOCH + ((moment - EPOCH) // step + 1) * step


def steps(events: Iterator[Event], step: timedelta) -> Iterator[tuple[datetime, list[Event]]]:
    """Events grouped by step, each group with the time its step ends. That time never goes back."""
    batch: list[Event] = []
    end = EPOCH
    for event in events:
        if event.ts >= end or len(batch) == LARGEST_STEP:
            if batch:
                yield end, batch
                batch = []
            end = max(end, step_end(event.ts, step))
        batch.append(event)
    if batch:
        yield end, batch
