"""Many clients of all roles on a few hot accounts and symbols; each call is a separate transaction.

There must be no deadlock, no broken law, and no errors except refusals and those of sessions that a halt ends
because they hold its gate too long.  The clients' calls and the broker's answers are random.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tests.prove.place import ACCOUNTS, CODE, COIN, LOGINS, STOCK, STRATEGY, Connect, Connection, Place
from workers.runtime.errors import Refused

# A halt ends sessions that hold the gate, idle ones after 50 ms, active after 200; it gives up after 5 s.
EXPECTED = {"57P01", "55P03"}
# Seconds a role waits before each call, so that pollers leave room and picks accumulate for the router.
PACE = {"feed": 0.004, "strategy": 0.002, "router": 0.03, "exits": 0.004, "risk": 0.004, "reconcile": 0.004}
ORDER = "order_id, fence, client_order_id, account, symbol, quantity, limit_price"
ROLES = (
    "desk", "desk", "feed", "strategy", "router", "router", "exits", "exits", "risk", "risk",
    "execution", "execution", "execution", "execution", "reconcile", "reconcile",
)  # fmt: skip


@dataclass
class Weather:
    """The results of a storm."""

    seconds: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    deadlocks: int = 0
    audit: list[Any] = field(default_factory=list)
    fills: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.deadlocks or self.audit or self.unexpected)

    def __str__(self) -> str:
        calls = sum(self.calls.values())
        lines = [
            f"{calls:,} calls in {self.seconds:.0f} s ({calls / self.seconds:,.0f}/s), {self.fills:,} fills:"
            f" {self.deadlocks} deadlocks, {len(self.audit)} violations,"
            f" {len(self.unexpected)} unexpected errors",
            "calls: " + ", ".join(f"{name} {count:,}" for name, count in self.calls.most_common()),
            "refused: " + ", ".join(f"{code} {count:,}" for code, count in self.errors.most_common()),
        ]
        return "\n".join([*lines, *map(str, self.audit[:20]), *self.unexpected[:20]])


class Client:
    """One session that makes random calls which its login may make, until a given time."""

    def __init__(self, connect: Connect, role: str, seed: str, weather: Weather) -> None:
        self.random = random.Random(seed)
        self.role = role
        self.worker = 0
        self._connect = connect
        self._conn: Connection | None = None
        self._weather = weather
        self._known: list[tuple[Any, ...]] = []  # orders this client has claimed
        self._told: list[tuple[Any, ...]] = []  # executions it has reported
        self._filled = 0
        self._name = f"{role}-{seed}"

    def run(self, until: float, lock: threading.Lock) -> None:
        calls: Counter[str] = Counter()
        errors: Counter[str] = Counter()
        actions: list[Callable[[], Any]] = getattr(self, f"_as_{self.role}")()
        while time.monotonic() < until:
            action = self.random.choice(actions)
            calls[action.__name__.strip("_")] += 1
            time.sleep(PACE.get(self.role, 0))
            try:
                action()
            except Refused as refused:
                errors[refused.sqlstate or "TR"] += 1
            except psycopg.Error as error:
                code = error.sqlstate or (self._conn and self._conn.closed and "57P01") or "none"
                errors[code] += 1
                if code not in EXPECTED:
                    with lock:
                        self._weather.unexpected.append(f"{self.role} {action.__name__}: {error!r}")
                self._conn = None if self._conn is None or self._conn.closed else self._conn
        with lock:
            self._weather.calls += calls
            self._weather.errors += errors

    def ask(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        if self._conn is None:
            self._conn = self._connect(LOGINS[self.role])
            self.worker = 0
        return self._conn.execute(query.encode(), args).fetchall()

    def me(self) -> int:
        """The worker that this session claims as; registered when needed."""
        if self._conn is None or not self.worker:
            ((worker,),) = self.ask("select register_worker('execution', 1, 'here')")
            self.worker = worker
            self.ask("select hold_worker_lock(%s)", worker)
        return self.worker

    # -- people --------------------------------------------------------------------------------------------

    def _as_desk(self) -> list[Callable[[], Any]]:
        return [self._buy, self._buy, self._sell, self._sell, self._sell_for_strategy, self._cancel,
                self._money, self._decide, self._mode]  # fmt: skip

    def _intent(self, side: str, owner: str, kind: str, account: str) -> None:
        symbol = self.random.choice((STOCK, COIN))
        price = 70_000 if symbol == STOCK else 200
        limit = self.random.choice((None, price, int(price * 1.03)))
        self.ask(
            "select create_intent(%s, %s, %s, %s::numeric, %s::numeric, 'storm', %s, %s, null, %s::interval)",
            account, symbol, side, self.random.randint(1, 30), limit, owner, kind,
            self.random.choice(("1 s", "10 s")),
        )  # fmt: skip

    def _buy(self) -> None:
        self._intent("BUY", "manual", "MANUAL", self.random.choice(ACCOUNTS))

    def _sell(self) -> None:
        self._intent("SELL", "manual", "MANUAL", self.random.choice(ACCOUNTS))

    def _sell_for_strategy(self) -> None:
        self._intent("SELL", STRATEGY, "EXIT", ACCOUNTS[0])

    def _cancel(self) -> None:
        rows = self.ask("select intent_id from intents where closed_at is null order by random() limit 1")
        for (number,) in rows:
            self.ask("select cancel_intent(%s, 'storm')", number)

    def _money(self) -> None:
        amount = self.random.choice((-3_000_000, 3_000_000))
        kind = "deposit" if amount > 0 else "withdrawal"
        self.ask("select record_cash(%s, %s, %s, 'storm')", self.random.choice(ACCOUNTS), kind, amount)

    def _decide(self) -> None:
        for (number,) in self.ask("select intent_id from approvals order by random() limit 3"):
            self.ask(f"select {self.random.choice(('approve', 'reject'))}(%s, 'storm')", number)

    def _mode(self) -> None:
        if self.random.random() < 0.15:
            self.ask(f"select {self.random.choice(('halt', 'safe'))}('storm')")
            self.ask("select resumed from resume('storm', %s)", CODE)

    # -- prices and strategies -----------------------------------------------------------------------------

    def _as_feed(self) -> list[Callable[[], Any]]:
        return [self._quote]

    def _quote(self) -> None:
        moves = [self.random.randint(-60, 60) for _ in range(2)]
        bids = [Decimal(70_000 + moves[0] * 10 // 100 * 100), 200 + Decimal(moves[1]) / 50]
        self.ask(
            "select applied from ingest_quotes('sim', %s::text[], array_fill(clock_timestamp(), '{2}'),"
            " '{1,2}', %s::numeric[], '{50,500}', %s::numeric[], '{50,500}')",
            [STOCK, COIN], bids, [bids[0] + 100, bids[1] + Decimal('0.01')],
        )  # fmt: skip

    def _as_strategy(self) -> list[Callable[[], Any]]:
        return [self._propose]

    def _propose(self) -> None:
        side, kind = self.random.choice((("BUY", "ENTRY"), ("BUY", "ADD"), ("SELL", "EXIT")))
        self.ask("select propose(%s, %s, %s)", self.random.choice((STOCK, COIN)), side, kind)

    # -- engines -------------------------------------------------------------------------------------------

    def _as_router(self) -> list[Callable[[], Any]]:
        return [self._route]

    def _route(self) -> None:
        self.ask("select route_picks(20)")

    def _as_exits(self) -> list[Callable[[], Any]]:
        return [self._fire]

    def _fire(self) -> None:
        self.ask("select fire_exits()")

    def _as_risk(self) -> list[Callable[[], Any]]:
        return [self._enforce, self._expire, self._jobs, self._due]

    def _enforce(self) -> None:
        self.ask("select enforce_modes()")

    def _expire(self) -> None:
        self.ask("select expire_due()")

    def _jobs(self) -> None:
        self.ask("select run_due_jobs()")

    def _due(self) -> None:
        self.ask("select next_due()")

    # -- execution and reconciliation ----------------------------------------------------------------------

    def _as_execution(self) -> list[Callable[[], Any]]:
        often = [self._claim, self._answer, self._fill]
        seldom = [self._amend, self._cancels, self._doubts, self._tell_again, self._bust]
        return [*often, *often, self._answer, self._fill, *seldom]

    def _claim(self) -> None:
        rows = self.ask(
            f"select {ORDER} from claim_intents(%s, 5)",
            self.me(),
        )
        self._known = (self._known + rows)[-20:]

    def _amend(self) -> None:
        rows = self.ask(
            f"select {ORDER} from claim_amends(%s, 5)",
            self.me(),
        )
        self._known = (self._known + rows)[-20:]

    def _answer(self) -> None:
        if self._known:
            number, fence, *_ = self.random.choice(self._known)
            answer = self.random.choice(
                (
                    "order_accepted(%s, %s, 'B' || %s)", "order_accepted(%s, %s, 'B' || %s)",
                    "order_accepted(%s, %s, 'B' || %s)", "order_unknown(%s, %s, 'X' || %s)",
                    "order_rejected(%s, %s, 'X', 'no' || %s, true)", "order_cancelled(%s, %s, 0 * %s)",
                )
            )  # fmt: skip
            self.ask(f"select {answer}", number, fence, number)

    def _fill(self) -> None:
        if self._known:
            _, _, client, account, symbol, quantity, price = self.random.choice(self._known)
            self._filled += 1
            part = quantity if self.random.random() < 0.5 else max(int(quantity / 2), 1)
            number = f"{self._name}-{self._filled}"
            self._told = [*self._told[-19:], (client, account, symbol, number, part, price)]
            self._tell(account, client, number, part, price, 1)

    def _tell(self, *fill: Any) -> None:
        self.ask("select record_fill(%s, %s, null, %s, %s, %s, %s, 0, clock_timestamp())", *fill)

    def _tell_again(self) -> None:
        """Report an execution again, possibly with another price and another fee."""
        if self._told:
            client, account, _, number, part, price = self.random.choice(self._told)
            self._tell(
                account, client, number, part, price + self.random.randint(0, 2), self.random.randint(0, 2)
            )

    def _bust(self) -> None:
        if self._told and self.random.random() < 0.2:
            _, account, symbol, number, *_ = self.random.choice(self._told)
            day = "(clock_timestamp() at time zone 'Asia/Seoul')::date"
            self.ask(f"select bust_fill(%s, %s, %s, {day}, 'storm')", account, symbol, number)

    def _cancels(self) -> None:
        for number, fence in self.ask("select order_id, fence from claim_cancels(%s, 5)", self.me()):
            self.ask("select order_cancelled(%s, %s, 0)", number, fence)

    def _doubts(self) -> None:
        for number, fence in self.ask("select order_id, fence from claim_doubts(%s, 5)", self.me()):
            verb = self.random.choice(
                ("order_not_found(%s, %s)", "order_accepted(%s, %s, 'D' || gen_random_uuid())")
            )
            self.ask(f"select {verb}", number, fence)

    def _as_reconcile(self) -> list[Callable[[], Any]]:
        return [self._reconcile]

    def _reconcile(self) -> None:
        account = self.random.choice(ACCOUNTS)
        ((mark,),) = self.ask("select holdings_mark(%s)", account)
        holdings = {STOCK: self.random.randint(0, 100)} if self.random.random() < 0.2 else {}
        self.ask("select reconcile(%s, %s, %s)", account, mark, Jsonb({"holdings": holdings}))


DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"


def storm(connect: Connect, seconds: float, clients: int = 16, seed: str = "0") -> Weather:
    """Run the clients, then count deadlocks, violations and fills."""
    place = Place(connect)
    weather = Weather()
    for account in ACCOUNTS:
        place.ask("desk", "select record_cash(%s, 'deposit', 100000000, 'storm')", account)
    db = place.db
    db.execute(f"alter database {db.info.dbname} set deadlock_timeout = '20ms'".encode())
    db.execute("update trade.brokers set answer_timeout = '500 ms', lease = '100 ms'")
    before = _number(db, DEADLOCKS)
    # The clients use real time, so begin the run and reconcile again: virtual times may be in the past.
    with connect("aegis_w_supervisor") as supervisor:
        supervisor.execute("select begin_run()")
    db.execute(
        "update trade.accounts set reconciled_at = clock_timestamp(),"
        " reconciled_run = (select run_number from bus.instance)"
    )
    lock, until = threading.Lock(), time.monotonic() + seconds
    roles = [ROLES[n % len(ROLES)] for n in range(clients)]
    crowd = [Client(connect, role, f"{seed}-{n}", weather) for n, role in enumerate(roles)]
    threads = [threading.Thread(target=client.run, args=(until, lock)) for client in crowd]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    weather.seconds = time.monotonic() - began
    db.execute("select pg_stat_force_next_flush()")
    weather.deadlocks = _number(db, DEADLOCKS) - before
    weather.audit = db.execute("select * from api.law_audit").fetchall()
    weather.fills = _number(db, "select count(*) from trade.fills")
    place.close()
    return weather


def _number(db: Connection, query: str) -> int:
    row = db.execute(query.encode()).fetchone()
    assert row
    return int(row[0])
