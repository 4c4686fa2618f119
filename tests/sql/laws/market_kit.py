"""A small market for tests: one account, some symbols and a login per station, in virtual time.

Tests that do not care about the clock must not depend on it: each connection of the kit has aegis.now set,
and `kit.advance(...)` moves all of them.  Writes go through the api schema, under the login that makes
them in production; `kit.db` is the administrator's connection, for attacks and for reading.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb

from tests.triggers import triggers_off
from workers.runtime.errors import Refused

Connection: TypeAlias = psycopg.Connection[Any]
Login: TypeAlias = Callable[[str], Connection]
Number: TypeAlias = Decimal | int | str

START = dt.datetime(2026, 3, 2, 1, 0, tzinfo=dt.UTC)  # Monday, 10:00 in Seoul
SYMBOL = "005930"
OTHER = "000660"
ACCOUNT = "demo"
CASH = 100_000_000
OPENING = ((1, SYMBOL), (2, OTHER))  # the sequence numbers of the first quotes
PATIENCE = dt.timedelta(seconds=20)  # how long a test waits for a race to show before it fails

LOGINS = {
    "desk": "aegis_desk",
    "feed": "aegis_w_price_sync",
    "router": "aegis_w_router",
    "exits": "aegis_w_exits",
    "risk": "aegis_w_risk",
    "supervisor": "aegis_w_supervisor",
    "execution": "aegis_w_execution",
    "reconcile": "aegis_w_reconcile",
}


class Kit:
    """Methods that create and read test data; each returns what the database returned."""

    def __init__(self, db: Connection, login: Login, pool: ThreadPoolExecutor) -> None:
        self.db = db
        self.now = START
        self._login = login
        self.pool = pool
        self._connections: list[Connection] = []
        self._stations: dict[str, Connection] = {}
        self._seq = itertools.count(1 + len(OPENING))
        self._fill_ids = itertools.count(1)
        self._workers: dict[str, int] = {}
        self._adopt(db)

    # -- sessions and time ---------------------------------------------------------------------------------

    def _adopt(self, conn: Connection) -> Connection:
        conn.execute("select set_config('aegis.now', %s, false)", [self.now.isoformat()])
        self._connections.append(conn)
        return conn

    def connect(self, station: str) -> Connection:
        """Open a session of a station (desk, router), a login, the `owner` of all or a `superuser`."""
        if station == "owner":
            conn = psycopg.connect(self.db.info.dsn, password=self.db.info.password, autocommit=True)
            conn.execute("set role aegis_owner")
        elif station == "superuser":
            conn = psycopg.connect(self.db.info.dsn, password=self.db.info.password, autocommit=True)
        else:
            return self._adopt(self._login(LOGINS.get(station, station)))
        return self._adopt(conn)

    def at(self, station: str) -> Connection:
        """Return the kit's own session for a station."""
        if station not in self._stations:
            self._stations[station] = self.connect(station)
        return self._stations[station]

    def advance(self, **duration: float) -> None:
        """Move the clock of every session: `advance(seconds=3)`."""
        self.now += dt.timedelta(**duration)
        for conn in self._connections:
            if not conn.closed:
                conn.execute("select set_config('aegis.now', %s, false)", [self.now.isoformat()])

    def close(self) -> None:
        for conn in self._connections:
            if conn is not self.db:
                conn.close()

    # -- calling -------------------------------------------------------------------------------------------

    def call(self, station: str | Connection, query: str, *args: Any) -> Any:
        """Run a query and return its one value."""
        conn = self.at(station) if isinstance(station, str) else station
        row = conn.execute(query, args).fetchone()
        return row[0] if row else None

    def rows(self, station: str | Connection, query: str, *args: Any) -> list[Any]:
        conn = self.at(station) if isinstance(station, str) else station
        with conn.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(query, args).fetchall()

    def look(self, query: str, *args: Any) -> Any:
        """Run a query as the administrator and return its first row, with column names."""
        found = self.rows(self.db, query, *args)
        return found[0] if found else None

    def background(self, conn: Connection, query: str, *args: Any) -> Future[Any]:
        """Run a query in another thread, for a session that has to wait."""
        return self.pool.submit(lambda: conn.execute(query, args).fetchall())

    def wait_for_lock(self, conn: Connection) -> None:
        """Return once another session is seen waiting for a lock; fail if that never happens."""
        self.wait_until(
            "select count(*) from pg_stat_activity where pid = %s and wait_event_type = 'Lock'",
            conn.info.backend_pid,
        )

    def wait_until(self, query: str, *args: Any) -> None:
        deadline = dt.datetime.now(dt.UTC) + PATIENCE
        while not self.call(self.db, query, *args):
            assert dt.datetime.now(dt.UTC) < deadline, f"never came true: {query}"

    # -- the market ----------------------------------------------------------------------------------------

    def open_market(self) -> None:
        """One account with cash and two symbols, quoted 70,000 to 70,100, ready to trade."""
        self.call("supervisor", "select begin_run()")
        self.add_account()
        self.add_symbol(SYMBOL)
        self.add_symbol(OTHER)
        self.call("feed", "select open_feed('sim', 'SIM', 'sim')")
        self.quotes([(name, self.now, seq, 70_000, 1_000_000, 70_100, 1_000_000) for seq, name in OPENING])
        self.open_account()

    def go_on_here(self) -> None:
        """Record this database and server as where the run began, in a copy of an open market."""
        self.db.execute("update bus.instance set identity = bus.server_identity()")
        self.db.execute("select bus.note_home()")

    def add_account(self, account: str = ACCOUNT, cash: Number | None = CASH, venue: str = "SIM") -> None:
        self.call("desk", "select add_account(%s, 'paper', %s, 'KRW', null, %s)", account, venue, cash)

    def move_cash(self, amount: Number, kind: str | None = None) -> Decimal:
        """Record a deposit or, if negative, a withdrawal; return the new balance."""
        kind = kind or ("deposit" if Decimal(amount) > 0 else "withdrawal")
        query = "select record_cash('demo', %s, %s::numeric, 'test')"
        return Decimal(self.call("desk", query, kind, amount))

    def open_account(self, account: str = ACCOUNT) -> None:
        """Let an account trade: reconcile it with a snapshot that agrees."""
        mark = self.call("reconcile", "select holdings_mark(%s)", account)
        holdings = dict(
            self.db.execute(
                "select i.symbol, sum(p.qty)::text from trade.positions p"
                " join market.instruments i using (instrument_id) join trade.accounts a using (account_id)"
                " where account = %s group by 1",
                [account],
            ).fetchall()
        )
        snapshot = Jsonb({"holdings": holdings})
        assert self.call("reconcile", "select reconcile(%s, %s, %s)", account, mark, snapshot) == "AGREES"

    def set_code(self, code: str = "1234") -> None:
        """Store a code as an older version did: hashed once, so fast to check, and as weak as needed."""
        self.db.execute(
            "insert into risk.override_codes (salt, digest, rounds)"
            " values ('salt', encode(sha256(convert_to('salt' || %s, 'UTF8')), 'hex'), 1)",
            [code],
        )

    def add_symbol(self, symbol: str, venue: str = "SIM", lot: Number = 1, tick_table: str = "KRX") -> int:
        query = "select add_instrument(%s, %s, %s, 'KRW', %s, %s::numeric)"
        return int(self.call("desk", query, venue, symbol, symbol, tick_table, lot))

    def add_strategy(
        self,
        name: str = "momo",
        *,
        symbols: Sequence[str] = (SYMBOL, OTHER),
        budget: Number = 50_000_000,
        notional: Number = 5_000_000,
        profile: str = "swing",
    ) -> Connection:
        """Add and start a strategy; return a session of its own login."""
        query = "select add_strategy(%s, 'x:Y', 'demo', %s::text[], %s::numeric, %s::numeric, %s)"
        self.call("desk", query, name, list(symbols), budget, notional, profile)
        self.call("desk", "select start_strategy(%s)", name)
        return self.connect(f"aegis_s_{name}")

    def quote(
        self,
        bid: Number,
        ask: Number,
        *,
        symbol: str = SYMBOL,
        size: Number = 1_000_000,
        ts: dt.datetime | None = None,
        seq: int | None = None,
    ) -> tuple[int, int, int]:
        """Ingest one quote; return how many were applied, superseded and quarantined."""
        return self.quotes([(symbol, ts or self.now, seq or next(self._seq), bid, size, ask, size)])

    def quotes(self, batch: Sequence[Sequence[Any]]) -> tuple[int, int, int]:
        """Ingest a batch of (symbol, ts, seq, bid, bid_size, ask, ask_size)."""
        columns = [[None if v is None else str(v) for v in column] for column in zip(*batch, strict=True)]
        row = (
            self.at("feed")
            .execute(
                "select * from ingest_quotes('sim', %s::text[], %s::timestamptz[], %s::bigint[],"
                " %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[])",
                columns,
            )
            .fetchone()
        )
        assert row is not None
        applied, superseded, quarantined = row
        return applied, superseded, quarantined

    # -- intents, orders, fills ----------------------------------------------------------------------------

    def buy(self, quantity: Number, price: Number | None = 70_000, **options: Any) -> int:
        return self.intent("BUY", quantity, price, **options)

    def sell(self, quantity: Number, price: Number | None = 60_000, **options: Any) -> int:
        return self.intent("SELL", quantity, price, **options)

    def intent(
        self,
        side: str,
        quantity: Number,
        price: Number | None,
        *,
        symbol: str = SYMBOL,
        owner: str = "manual",
        intent_type: str = "MANUAL",
        key: str | None = None,
        ttl: str = "1 min",
        account: str = ACCOUNT,
        by: str | Connection = "desk",
    ) -> int:
        """Create an intent by hand; return its id."""
        return int(
            self.call(
                by, INTENT, account, symbol, side, quantity, price, "test", owner, intent_type, key, ttl
            )
        )

    def worker(self, station: str = "execution") -> int:
        """Return the worker id under which a station's session claims; it holds that worker's lock."""
        if station not in self._workers:
            self._workers[station] = self.register(self.at(station))
        return self._workers[station]

    def register(self, conn: Connection) -> int:
        name = conn.info.user.removeprefix("aegis_w_")
        worker_id = int(self.call(conn, "select register_worker(%s, 1, 'here')", name))
        assert self.call(conn, "select hold_worker_lock(%s)", worker_id)
        return worker_id

    def claim(self, limit: int = 100) -> list[Any]:
        return self.rows("execution", "select * from claim_intents(%s, %s)", self.worker(), limit)

    def claim_one(self) -> Any:
        (order,) = self.claim(1)
        return order

    def accept(self, order: Any, broker_order_id: str | None = None) -> None:
        """Report that the broker accepted an order."""
        number = broker_order_id or f"B{order.order_id}"
        self.call("execution", "select order_accepted(%s, %s, %s)", order.order_id, order.fence, number)

    def fill(
        self,
        order: Any,
        quantity: Number,
        price: Number,
        *,
        fee: Number | None = 0,
        tax: Number | None = 0,
        fill_id: str | None = None,
        account: str = ACCOUNT,
        by: str | Connection = "execution",
    ) -> Any:
        """Report a fill of an order; return RECORDED, RESTATED, DUPLICATE or UNMATCHED."""
        number = fill_id or f"F{next(self._fill_ids)}"
        return self.call(
            by, FILL, account, order.client_order_id, None, number, quantity, price, fee, tax, self.now
        )

    def hold(self, quantity: Number, price: Number = 70_000, *, owner: str = "manual", **options: Any) -> int:
        """Create a position: buy and report the fill; return the intent's id."""
        kind = "MANUAL" if owner == "manual" else "ENTRY"
        intent_id = self.buy(quantity, price, owner=owner, intent_type=kind, **options)
        (order,) = [o for o in self.claim() if self.order(o.order_id).intent_id == intent_id]
        self.accept(order)
        assert self.fill(order, quantity, price) == "RECORDED"
        return intent_id

    def live_order(self, side: str, quantity: Number, price: Number, **options: Any) -> Any:
        """Return an order that the broker has accepted."""
        self.intent(side, quantity, price, **options)
        order = self.claim_one()
        self.accept(order)
        return order

    # -- reading -------------------------------------------------------------------------------------------

    def order(self, order_id: int) -> Any:
        return self.look("select * from trade.orders where order_id = %s", order_id)

    def intent_row(self, intent_id: int) -> Any:
        return self.look("select * from trade.order_intents where intent_id = %s", intent_id)

    def position(self, owner: str = "manual", symbol: str = SYMBOL) -> Any:
        return self.look(
            "select p.* from trade.positions p join market.instruments i using (instrument_id)"
            " where owner = %s and symbol = %s",
            owner,
            symbol,
        )

    def balance(self, account: str = ACCOUNT) -> Any:
        return self.look(
            "select b.* from trade.balances b join trade.accounts a using (account_id) where account = %s",
            account,
        )

    def events(self, entity: str) -> list[Any]:
        return self.rows(self.db, "select * from bus.events where entity = %s order by event_id", entity)

    def incidents(self) -> list[tuple[str, bool]]:
        """Return the kind of each incident and whether it is open."""
        found = self.db.execute("select kind, closed_at is null from risk.incidents order by incident_id")
        return found.fetchall()

    def audit(self) -> list[Any]:
        return self.rows("desk", "select * from law_audit")

    # -- direct writes -------------------------------------------------------------------------------------

    @contextmanager
    def triggers_off(self) -> Iterator[Connection]:
        """Disable every trigger and foreign key, as only a superuser can, to write rows."""
        with triggers_off(self.db) as db:
            yield db

    def insert_intent(self, conn: Connection | None = None, **changes: Any) -> int:
        """Insert an order_intents row by direct SQL; by default a valid buy of one share."""
        number = next(self._fill_ids)
        row = INTENT_ROW | {"idempotency_key": f"direct {number}", "expires_at": self.now + MINUTE} | changes
        return int(insert(conn or self.db, "trade.order_intents", row, "intent_id"))

    def insert_order(self, intent_id: int, conn: Connection | None = None, **changes: Any) -> int:
        """Insert an orders row by direct SQL; by default it fits an intent of insert_intent."""
        number = next(self._fill_ids)
        row = ORDER_ROW | {
            "intent_id": intent_id,
            "client_order_id": f"direct-{number}",
            "claimed_by": self.worker(),
            "send_before": self.now + MINUTE,
        }
        return int(insert(conn or self.db, "trade.orders", row | changes, "order_id"))


MINUTE = dt.timedelta(minutes=1)

INTENT = "select create_intent(%s, %s, %s, %s::numeric, %s::numeric, %s, %s, %s, %s, %s::interval)"
FILL = (
    "select record_fill(%s, %s, %s, %s, %s::numeric, %s::numeric, %s::numeric, %s::numeric, %s::timestamptz)"
)

INTENT_ROW: dict[str, Any] = {
    "account_id": 1,
    "instrument_id": 1,
    "owner": "manual",
    "intent_type": "MANUAL",
    "side": "BUY",
    "reason": "direct",
    "quantity": 1,
    "worst_price": 70_000,
    "status": "NEW",
    "reserved_qty": 0,
    "reserved_cash": 70_000,
    "request": "{}",
}

SELL_ROW: dict[str, Any] = {"side": "SELL", "reserved_qty": 1, "reserved_cash": 0}

ORDER_ROW: dict[str, Any] = {
    "account_id": 1,
    "instrument_id": 1,
    "side": "BUY",
    "status": "SENDING",
    "quantity": 1,
    "limit_price": 70_000,
}


def insert(conn: Connection, table: str, row: dict[str, Any], returning: str) -> Any:
    columns, places = ", ".join(row), ", ".join(["%s"] * len(row))
    query = f"insert into {table} ({columns}) values ({places}) returning {returning}"
    found = conn.execute(query.encode(), list(row.values())).fetchone()
    assert found is not None
    return found[0]


def refuses_truncate(conn: Connection, table: str) -> bool:
    """Whether TRUNCATE is refused by this table itself, not only by one that CASCADE reaches."""
    try:
        conn.execute(f"truncate {table} cascade".encode())
    except Refused as refused:
        return refused.sqlstate == "TRL02" and f"TRUNCATE of {table} is refused" in refused.message
    return False


def refusal(call: Callable[[], Any]) -> str | None:
    """Return the SQLSTATE with which a call is refused, or None."""
    try:
        call()
    except Refused as refused:
        return refused.sqlstate
    except psycopg.DatabaseError as error:
        return error.sqlstate
    return None
