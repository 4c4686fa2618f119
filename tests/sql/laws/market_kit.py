"""A small market for tests: one account, some symbols and a login per station, in virtual time.

Tests that do not care about the clock must not depend on it: each connection of the kit has aegis.now set,
and `kit.advance(...)` moves all of them.  Writes go through the api schema, under the login that makes
them in production; `kit.db` is the administrator's connection, for attacks and for reading.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, TypeAlias

from psycopg.types.json import Jsonb

from tests.sql.laws.direct_rows import INTENT_ROW, ORDER_ROW, SELL_ROW, insert
from tests.sql.laws.refusals import refusal, refuses_truncate
from tests.sql.laws.stations import LOGINS, START, Connection, Login, Stations
from tests.triggers import triggers_off

__all__ = [
    "ACCOUNT", "CASH", "FILL", "INTENT", "LOGINS", "MINUTE", "OTHER", "SELL_ROW", "START", "SYMBOL",
    "Connection", "Kit", "Login", "refusal", "refuses_truncate",
]  # fmt: skip

Number: TypeAlias = Decimal | int | str

SYMBOL = "005930"
OTHER = "000660"
ACCOUNT = "demo"
CASH = 100_000_000
OPENING = ((1, SYMBOL), (2, OTHER))  # the sequence numbers of the first quotes
MINUTE = dt.timedelta(minutes=1)
INTENT = "select create_intent(%s, %s, %s, %s::numeric, %s::numeric, %s, %s, %s, %s, %s::interval)"
FILL = (
    "select record_fill(%s, %s, %s, %s, %s::numeric, %s::numeric, %s::numeric, %s::numeric, %s::timestamptz)"
)


class Kit(Stations):
    """Methods that create and read test data; each returns what the database returned."""

    def __init__(self, db: Connection, login: Login, pool: ThreadPoolExecutor) -> None:
        super().__init__(db, login, pool)
        self._seq = itertools.count(1 + len(OPENING))
        self._fill_ids = itertools.count(1)
        self._workers: dict[str, int] = {}

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
        mark = self.call("reconcile", "select holdings_fingerprint(%s)", account)
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
