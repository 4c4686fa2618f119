"""A random walk over `api`: each step makes a call by one station to the database and to the model.

The caller supplies the choices: Hypothesis, which shrinks failures, or a seeded stream, which is fast.  After
each step both must be in the same state and law_audit must be empty.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Protocol, TypeVar

from psycopg.types.json import Jsonb

from tests.prove.late import LATE, LateFacts
from tests.prove.model import (
    BUYS,
    SECOND,
    SELLS,
    ZERO,
    Account,
    Fill,
    Instrument,
    Intent,
    Model,
    No,
    Order,
)
from tests.prove.place import ACCOUNTS, CODE, COIN, STOCK, STRATEGY, Place
from workers.runtime.errors import Refused

T = TypeVar("T")

SEOUL = dt.timezone(dt.timedelta(hours=9))
TTLS = (dt.timedelta(seconds=3), dt.timedelta(minutes=1), dt.timedelta(hours=1))
PAUSES = ("0.05", "0.9", "1.5", "6", "11", "70")
MID = {STOCK: Decimal(70_000), COIN: Decimal(200)}
STATE = """
select
    (select array_agg((a.account, b.cash::text, b.locked_cash::text, b.breach_cash::text))
     from trade.balances b join trade.accounts a using (account_id)),
    (select array_agg((a.account, n.symbol, p.owner, p.qty::text, p.locked_qty::text, p.breach_qty::text))
     from trade.positions p join trade.accounts a using (account_id)
     join market.instruments n using (instrument_id)),
    (select array_agg((i.intent_id, i.status, i.filled_qty::text, i.overfill_qty::text, i.worst_price::text))
     from trade.order_intents i),
    (select array_agg((o.order_id, o.status, o.quantity::text, o.filled_qty::text, o.overfill_qty::text,
        o.fence, o.is_pending, o.cancel_requested_at is not null, o.stray_since is not null,
        o.broker_ended_at is not null)) from trade.orders o),
    (select s.mode from risk.system_mode s),
    array(select row(l.*)::text from api.law_audit l)
"""
CREATED = """
select i.intent_id, a.account, n.symbol, i.owner, i.intent_type, i.side, i.quantity, i.limit_price,
    i.worst_price, i.status, i.expires_at, i.pick_id is not null, i.ttl
from trade.order_intents i
join trade.accounts a using (account_id)
join market.instruments n using (instrument_id)
where i.intent_id > %s order by i.intent_id
"""
CREATE = "select create_intent(%s, %s, %s, %s::numeric, %s::numeric, %s, %s, %s, %s, %s)"
FILL = (
    "select record_fill(%s, %s, %s, %s, %s::numeric, %s::numeric, %s::numeric, %s::numeric, %s, %s::numeric)"
)
QUOTE = (
    "select applied, superseded, quarantined from ingest_quotes('sim', %s::text[], %s::timestamptz[],"
    " %s::bigint[], %s::numeric[], '{1000000}', %s::numeric[], '{1000000}')"
)


CLAIM = (
    "select order_id, client_order_id, account, symbol, side, quantity, limit_price"
    " from claim_intents(%s, %s)"
)
AMEND = (
    "select order_id, client_order_id, parent_client_order_id, quantity, limit_price"
    " from claim_amends(%s, 100)"
)


class Violation(AssertionError):
    """The database did something that the laws do not allow."""


class Choices(Protocol):
    """The source of a walk's choices."""

    def number(self, low: int, high: int) -> int: ...

    def one_of(self, options: Sequence[T]) -> T: ...


class Walk(LateFacts):
    """A walk that starts with an empty market."""

    def __init__(self, place: Place) -> None:
        place.wipe()
        self.place = place
        self.choices: Choices
        self.model = Model(
            now=place.now,
            instruments={
                STOCK: Instrument(STOCK, Decimal(1), ZERO, None),
                COIN: Instrument(COIN, Decimal("0.001"), Decimal(5), Decimal("0.01")),
            },
            accounts={name: Account(name) for name in ACCOUNTS},
            strategy=STRATEGY,
            run=0,
            alive=set(place.workers.values()),
        )
        self._seqs = itertools.count(1)
        self._numbers = itertools.count(1)
        self._newest = 0
        self._begin()

    def _begin(self) -> None:
        """Deposit cash, reconcile the accounts and quote prices, which everything else needs."""
        for name in ACCOUNTS:
            self.both(
                "desk",
                "select record_cash(%s, 'deposit', 50000000, 'begin')",
                (name,),
                partial(self.model.record_cash, name, Decimal(50_000_000)),
            )
            self._reconcile(name, {}, None)
        for symbol in (STOCK, COIN):
            self._quote(symbol, MID[symbol], MID[symbol] * Decimal("1.002"), self.model.now)
        self.check()

    @property
    def reached(self) -> Counter[str]:
        return self.model.reached

    # -- calling both --------------------------------------------------------------------------------------

    def chance(self, percent: int) -> bool:
        return self.choices.number(1, 100) <= percent

    def told(self, station: str, query: str, *args: Any) -> tuple[str, Any]:
        """Call the database; return "ok" and the value, or "no" and the SQLSTATE."""
        try:
            return "ok", self.place.ask(station, query, *args)
        except Refused as refused:
            return "no", refused.sqlstate

    def both(self, station: str, query: str, args: tuple[Any, ...], expected: Callable[[], Any]) -> Any:
        """Call both; their answers must agree.  Return the answer, or None if both refused."""
        said = self.told(station, query, *args)
        try:
            answer = expected()
        except No as no:
            if said != ("no", no.code):
                raise Violation(f"{query} {args}: said {said}, must refuse with {no.code}") from None
            return None
        if isinstance(answer, Intent):
            if said[0] != "ok" or (answer.id and answer.id != said[1]):
                raise Violation(f"{query} {args}: said {said}, must admit {answer}")
            return said[1]
        if said[0] != "ok" or (said[1] or None) != (answer or None):
            raise Violation(f"{query} {args}: said {said}, must answer {answer!r}")
        return answer

    def must(self, holds: bool, what: str) -> None:
        if not holds:
            raise Violation(what)

    # -- the state -----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Check that both are in the same state and that the laws hold for all rows."""
        found = self.place.db.execute(STATE).fetchone()
        assert found is not None
        cash, positions, intents, orders, mode, audit = found
        self.must(audit == [], f"law_audit: {audit}")
        model = self.model
        numbers = [(a, *map(Decimal, rest)) for a, *rest in cash]
        for account, have, locked, breach in numbers:
            want = model.accounts[account].cash, model.locked_cash(account)
            self.must((have, locked) == want, f"{account}: cash, locked {have}, {locked}, must be {want}")
            self.must(breach == max(locked - have, ZERO), f"{account}: breach of cash {breach}")
        held = {(a, s, o): tuple(map(Decimal, rest)) for a, s, o, *rest in positions or []}
        for holding in {*held, *model.positions}:
            qty, locked, breach = held.get(holding, (ZERO, ZERO, ZERO))
            wanted = model.positions.get(holding, ZERO), model.locked_qty(holding)
            self.must((qty, locked) == wanted, f"{holding}: qty, locked {qty}, {locked}, must be {wanted}")
            self.must(breach == max(locked - qty, ZERO), f"{holding}: breach {breach}")
        self._same(
            "intent",
            {int(i): (s, Decimal(f), Decimal(o), Decimal(w)) for i, s, f, o, w in intents or []},
            {i.id: (i.status, i.filled, i.overfill, i.worst) for i in model.intents.values()},
        )
        self._same(
            "order",
            {
                int(i): (s, Decimal(q), Decimal(f), Decimal(v), int(n), *(flag == "t" for flag in flags))
                for i, s, q, f, v, n, *flags in orders or []
            },
            {
                o.id: (
                    o.status,
                    o.quantity,
                    o.filled,
                    o.overfill,
                    o.fence,
                    o.is_pending,
                    o.cancel_asked,
                    o.stray,
                    o.ended,
                )
                for o in model.orders.values()
            },
        )
        model.reached["breach"] += any(n[2] > n[1] for n in numbers) or any(
            h[1] > h[0] for h in held.values()
        )
        self.must(mode == model.mode, f"mode {mode}, must be {model.mode}")

    def _same(self, what: str, have: dict[int, Any], want: dict[int, Any]) -> None:
        if have != want:
            odd = {k: (have.get(k), want.get(k)) for k in {*have, *want} if have.get(k) != want.get(k)}
            raise Violation(f"{what}s are, and must be: {odd}")

    # -- choosing ------------------------------------------------------------------------------------------

    def _account(self) -> str:
        return self.choices.one_of(ACCOUNTS)

    def _symbol(self) -> str:
        return self.choices.one_of((STOCK, COIN))

    def _owner(self, account: str) -> str:
        return STRATEGY if account == ACCOUNTS[0] and self.chance(50) else "manual"

    def _order(self) -> Order | None:
        """Any order, mostly an open one."""
        orders = list(self.model.orders.values())
        opened = [o for o in orders if not o.closed]
        children = [o for o in opened if o.is_pending]
        if children and self.chance(50):
            orders = [c.parent for c in children if c.parent] if self.chance(30) else children
        elif opened and self.chance(80):
            orders = opened
        return self.choices.one_of(orders) if orders else None

    def _fence(self, order: Order) -> int:
        return order.fence - 1 if self.chance(8) else order.fence

    def _quantity(self, symbol: str) -> Decimal:
        small = Decimal(self.choices.number(1, 40))
        return small if symbol == STOCK else small * Decimal("0.37")

    # -- the steps: market and money -----------------------------------------------------------------------

    def _pass(self, seconds: float) -> None:
        self.place.now += dt.timedelta(seconds=seconds)
        self.model.now = self.place.now

    def do_wait(self) -> None:
        self._pass(float(self.choices.one_of(PAUSES)))

    def _quote(self, symbol: str, bid: Decimal, ask: Decimal, ts: dt.datetime) -> None:
        seq = next(self._seqs)
        (said,) = self.place.rows("feed", QUOTE, [symbol], [ts], [seq], [bid], [ask])
        instrument = self.model.instruments[symbol]
        newer = instrument.quoted is None or (ts, seq) > instrument.quoted
        self.must(said == (int(newer), int(not newer), 0), f"a quote at {ts} was counted as {said}")
        if newer:
            instrument.bid, instrument.ask = bid, ask
            instrument.quoted, instrument.received_at = (ts, seq), self.model.now

    def do_quote(self) -> None:
        symbol = self._symbol()
        move = Decimal(self.choices.number(-60, 60)) / 10_000
        tick = Decimal(100) if symbol == STOCK else Decimal("0.01")
        bid = (MID[symbol] * (1 + move) / tick).to_integral_value() * tick
        ask = bid + tick * self.choices.number(-1 if self.chance(5) else 1, 3)
        late = dt.timedelta(seconds=3) if self.chance(10) else dt.timedelta(0)
        self._quote(symbol, bid, ask, self.model.now - late)

    def do_quotes(self) -> None:
        """Quote all symbols again, so that calls which need a fresh price can succeed."""
        for symbol in (STOCK, COIN):
            move = Decimal(self.choices.number(-60, 60)) / 10_000
            tick = Decimal(100) if symbol == STOCK else Decimal("0.01")
            bid = (MID[symbol] * (1 + move) / tick).to_integral_value() * tick
            self._quote(symbol, bid, bid + tick, self.model.now)

    def do_move_cash(self) -> None:
        account = self._account()
        amount = Decimal(self.choices.number(-300, 200)) * 100_000 or Decimal(1)
        waits = any(
            i.status == "NEW" and (i.account, i.side) == (account, "BUY") for i in self.model.intents.values()
        )
        if waits and self.chance(50):  # more than the waiting buys leave free
            amount = -(max(self.model.free_cash(account), Decimal(0)) // 1 + 1)
        kind = "deposit" if amount > 0 else "withdrawal"
        query = "select record_cash(%s, %s, %s::numeric, 'test')"
        self.both("desk", query, (account, kind, amount), lambda: self.model.record_cash(account, amount))

    # -- the steps: decisions ------------------------------------------------------------------------------

    def _adopt(self) -> list[Intent]:
        """The intents created since the last call, as the database describes them."""
        made = []
        for row in self.place.db.execute(CREATED.encode(), [self._newest]).fetchall():
            intent = Intent(*row)
            self._newest = intent.id
            made.append(intent)
        return made

    def _admit(self, intent: Intent) -> None:
        """Check that an intent created by a worker was admissible after the ones before it, and keep it."""
        wanted = {"ALLOW": "NEW", "APPROVE": "PENDING_APPROVAL"}.get(self.model.verdict(intent.side))
        self.must(intent.status == wanted, f"intent {intent.id} is {intent.status}, must be {wanted}")
        try:
            self.model.check_admission(intent)
        except No as no:
            raise Violation(f"{intent} was made and must be refused with {no.code}") from None
        self.model.intents[intent.id] = intent

    def do_create_intent(self) -> None:
        account, symbol = self._account(), self._symbol()
        side = self.choices.one_of(("BUY", "SELL"))
        owner = self._owner(account)
        held = [h for h in self.model.positions if self.model.free_qty(h) > 0]
        if side == "SELL" and held and self.chance(80):
            account, symbol, owner = self.choices.one_of(held)
        kind = self.choices.one_of(BUYS if side == "BUY" else SELLS)
        quantity = self._quantity(symbol)
        limit = None
        if self.chance(70):
            limit = MID[symbol] * (1 + Decimal(self.choices.number(-20, 40)) / 1000)
        keys = [i.key for i in self.model.intents.values() if i.account == account and i.key]
        key = self.choices.one_of(keys) if keys and self.chance(5) else f"key {next(self._numbers)}"
        ttl = self.choices.one_of(TTLS)
        again = next((i for i in self.model.intents.values() if i.key == key and i.account == account), None)
        if again and self.chance(50):
            symbol, owner, kind, side, quantity, limit = again.asked

        self._create(account, symbol, side, quantity, limit, owner, kind, key, ttl)

    def _create(
        self,
        account: str,
        symbol: str,
        side: str,
        quantity: Decimal,
        limit: Decimal | None,
        owner: str,
        kind: str,
        key: str,
        ttl: dt.timedelta,
    ) -> None:
        made: list[Intent] = []

        def expected() -> Intent:
            made.append(
                self.model.create_intent(account, symbol, side, quantity, limit, owner, kind, key, ttl)
            )
            return made[0]

        args = (account, symbol, side, quantity, limit, "test", owner, kind, key, ttl)
        number = self.both("desk", CREATE, args, expected)
        if number and not made[0].id:
            made[0].id = self._newest = number
            self.model.intents[number] = made[0]

    def do_propose(self) -> None:
        symbol = self._symbol()
        side, kind = self.choices.one_of((("BUY", "ENTRY"), ("BUY", "ADD"), ("SELL", "EXIT")))
        quantity = self._quantity(symbol) if self.chance(50) else None
        self.told("strategy", "select propose(%s, %s, %s, %s::numeric)", symbol, side, kind, quantity)
        if self.chance(70):
            self.do_route()

    def do_route(self) -> None:
        self.told("router", "select route_picks(%s)", self.choices.number(1, 5))
        for intent in self._adopt():
            self.must(
                (intent.account, intent.owner) == (ACCOUNTS[0], STRATEGY), f"{intent} is not the strategy's"
            )
            self._admit(intent)

    def do_fire_exits(self) -> None:
        self.told("exits", "select fire_exits()")
        for intent in self._adopt():
            self.must(
                self.model.instruments[intent.symbol].is_fresh(self.model.now), "an exit on a stale price"
            )
            lot = self.model.instruments[intent.symbol].lot
            free = self.model.free_qty(intent.holding) // lot * lot
            self.must(intent.quantity == free, f"exit {intent.id} of {intent.quantity}, {free} is free")
            self._admit(intent)
        query = "select intent_id, worst_price from trade.order_intents where escalated_at is not null"
        for number, worst in self.place.db.execute(query).fetchall():
            self._escalate(self.model.intents[number], worst)

    def _escalate(self, intent: Intent, worst: Decimal) -> None:
        if intent.escalated:
            return
        instrument = self.model.instruments[intent.symbol]
        self.must(
            intent.side == "SELL" and intent.limit is not None and not intent.closed, f"escalated {intent}"
        )
        self.must(instrument.is_fresh(self.model.now), f"{intent} escalated on a stale price")
        self.must(worst == self.model.worst_price(instrument, "SELL", "EXIT", None), f"{intent} to {worst}")
        intent.worst, intent.limit, intent.escalated = worst, None, True
        for order in self.model.open_orders(intent):
            if order.limit > worst:
                order.amend_at = self.model.now

    def do_hold(self) -> None:
        """Buy for the strategy and fill the order, so that there is a position to protect and to sell."""
        symbol, key = self._symbol(), f"key {next(self._numbers)}"
        if self.model.positions.get((ACCOUNTS[0], symbol, STRATEGY), ZERO) == 0:
            self._create(
                ACCOUNTS[0], symbol, "BUY", Decimal(20), MID[symbol], STRATEGY, "ENTRY", key, TTLS[1]
            )
            self.do_claim(100)
            for order in [o for o in self.model.orders.values() if o.intent.key == key]:
                price = order.limit
                fill = Fill(
                    order,
                    f"F{next(self._numbers)}",
                    _day(self.model.now),
                    order.quantity,
                    price,
                    *(ZERO,) * 3,
                )
                self._fill(fill, self.model.now)

    def do_rest(self) -> None:
        """Place sells of the strategy above the market, which rest at the broker."""
        for symbol in (STOCK, COIN):
            free = self.model.free_qty((ACCOUNTS[0], symbol, STRATEGY))
            if free > 0:
                key, limit = f"key {next(self._numbers)}", MID[symbol] * Decimal("1.02")
                self._create(ACCOUNTS[0], symbol, "SELL", free, limit, STRATEGY, "EXIT", key, TTLS[1])
                self.do_claim(100)
                for order in [o for o in self.model.orders.values() if o.intent.key == key]:
                    self._accept(order, order.fence, None)

    def do_crash(self) -> None:
        """Let prices fall through every stop; exits fire and resting sells are amended."""
        for symbol in (STOCK, COIN):
            bid = MID[symbol] * Decimal("0.98")
            self._quote(symbol, bid, bid + (100 if symbol == STOCK else Decimal("0.01")), self.model.now)
        self.do_fire_exits()
        self.do_amend()

    # -- the steps: execution ------------------------------------------------------------------------------

    def _station(self) -> str:
        return self.choices.one_of(("execution", "other"))

    def do_claim(self, limit: int = 0) -> None:
        station, limit = self._station(), limit or self.choices.one_of((1, 3, 100))
        worker = self.place.workers[station]
        rows = self.place.rows(station, CLAIM, worker, limit)
        wanted = {
            (i.id, i.attempts + 1, i.account, i.symbol, i.side, i.rest, i.worst)
            for i in self.model.claimable(limit)
        }
        found = {(*map(int, client.split("-")[1:]), *rest) for _, client, *rest in rows}
        self.must(found == wanted, f"claimed {found}, must be {wanted}")
        for number, client, *_, quantity, price in rows:
            intent = self.model.intents[int(client.split("-")[1])]
            self._store(Order(number, intent, client, quantity, price, worker, self.model.now + SECOND))

    def _store(self, order: Order) -> None:
        self.model.store(order)

    def do_amend(self) -> None:
        station = self._station()
        worker = self.place.workers[station]
        due = {o.id: o for o in self.model.amends_due()}
        rows = self.place.rows(station, AMEND, worker)
        parents = {o.client_id: o for o in due.values()}
        self.must({row[2] for row in rows} == set(parents), f"amends {rows}, must be of {sorted(parents)}")
        for number, client, parent, quantity, price in rows:
            old = parents[parent]
            self.must(quantity == old.intent.rest, f"an amend of {quantity}, the rest is {old.intent.rest}")
            self._store(
                Order(number, old.intent, client, quantity, price, worker, self.model.now + SECOND, old, True)
            )

    def do_accept(self) -> None:
        if order := self._order():
            fence, quantity = self._fence(order), None
            if order.is_pending and self.chance(60):
                quantity = self.choices.one_of((order.intent.rest, order.quantity, Decimal(0)))
            self._accept(order, fence, quantity)

    def _accept(self, order: Order, fence: int, quantity: Decimal | None) -> None:
        self.both(
            "execution",
            "select order_accepted(%s, %s, %s, %s::numeric)",
            (order.id, fence, f"B{order.id}", quantity),
            lambda: self.model.order_accepted(order, fence, quantity),
        )

    def do_reject(self) -> None:
        if order := self._order():
            fence, transient = self._fence(order), self.chance(50)
            self.both(
                "execution",
                "select order_rejected(%s, %s, 'X', 'no', %s)",
                (order.id, fence, transient),
                lambda: self.model.order_rejected(order, fence, transient=transient),
            )

    def do_unknown(self) -> None:
        if order := self._order():
            fence = self._fence(order)
            query = "select order_unknown(%s, %s, 'timeout')"
            self.both("execution", query, (order.id, fence), lambda: self.model.order_unknown(order, fence))

    def do_unsend(self) -> None:
        if order := self._order():
            fence = self._fence(order)
            query = "select unsend(%s, %s)"
            self.both("execution", query, (order.id, fence), lambda: self.model.unsend(order, fence))

    def do_not_found(self) -> None:
        if order := self._order():
            fence = self._fence(order)
            query = "select order_not_found(%s, %s)"
            self.both("execution", query, (order.id, fence), lambda: self.model.order_not_found(order, fence))

    def do_ask_about_doubts(self) -> None:
        self._take("select order_id, fence from claim_doubts(%s, 100)", self.model.doubts_due)

    def do_claim_cancels(self) -> None:
        self._take("select order_id, fence from claim_cancels(%s, 100)", self.model.cancels_due)

    def _take(self, query: str, due: Callable[[], list[Order]]) -> None:
        station = self._station()
        worker = self.place.workers[station]
        rows = self.place.rows(station, query, worker)
        wanted = self.model.lease(due(), worker)
        self.must(sorted(rows) == sorted(wanted), f"{query}: {rows}, must be {wanted}")

    def do_cancelled(self) -> None:
        if order := self._order():
            fence = self._fence(order)
            filled = order.filled + (Decimal(1) if self.chance(20) else ZERO)
            self.both(
                "execution",
                "select order_cancelled(%s, %s, %s::numeric)",
                (order.id, fence, filled),
                lambda: self.model.order_cancelled(order, fence, filled),
            )

    def do_kill(self) -> None:
        station = self._station()
        self.model.alive.discard(self.place.workers[station])
        self.place.kill(station)
        self.model.alive.add(self.place.hire(station))

    # -- the steps: facts ----------------------------------------------------------------------------------

    def do_fill(self) -> None:
        order = self._order()
        if order is None:
            return
        rest = order.quantity - order.filled
        lot = self.model.instruments[order.intent.symbol].lot
        part = max(rest * self.choices.number(1, 4) / 4 // lot * lot, lot)
        quantity = part + lot if self.chance(5) else part
        price = order.limit * (1 + Decimal(self.choices.number(-10, 10)) / 1000)
        fee, tax = Decimal(self.choices.number(0, 300)), Decimal(self.choices.one_of((0, 0, 7)))
        fee_qty = quantity / 1000 if order.intent.symbol == COIN and self.chance(20) else ZERO
        at = self.model.now - dt.timedelta(hours=self.choices.one_of((0, 0, 0, 30)))
        number = f"F{next(self._numbers)}"
        self._fill(Fill(order, number, _day(at), quantity, price, fee, tax, fee_qty), at)

    def _fill(self, fill: Fill, at: dt.datetime) -> None:
        intent = fill.order.intent
        args = (
            intent.account,
            fill.order.client_id,
            None,
            fill.number,
            fill.quantity,
            fill.price,
            fill.fee,
            fill.tax,
            at,
            fill.fee_qty,
        )
        self.both(self._station(), FILL, args, lambda: self.model.record_fill(fill))

    def do_fill_again(self) -> None:
        """Report an execution a second time, possibly with other figures."""
        told = [f for f in self.model.fills if not f.number.startswith("cum:")]
        if told:
            fill = self.choices.one_of(told)
            at = dt.datetime.combine(fill.date, dt.time(12), SEOUL)
            in_kind = fill.quantity / 1000 if fill.order.intent.symbol == COIN and self.chance(50) else ZERO
            self._fill(
                Fill(
                    fill.order,
                    fill.number,
                    fill.date,
                    fill.quantity + self.choices.one_of((0, 0, 0, 0, 0, 1)),  # sometimes another quantity
                    fill.price + self.choices.one_of((0, 0, 0, 0, 1, -1)),
                    fill.fee + self.choices.one_of((0, 0, 0, 11, -3)),
                    fill.tax + self.choices.one_of((0, 0, 0, 5)),
                    max(fill.fee_qty, in_kind),
                ),
                at,
            )

    def do_fill_nobody_asked_for(self) -> None:
        args = (
            self._account(),
            "no such order",
            None,
            f"F{next(self._numbers)}",
            1,
            1,
            0,
            0,
            self.model.now,
            0,
        )
        self.both("execution", FILL, args, lambda: "UNMATCHED")

    def do_cumulative(self) -> None:
        order = self._order()
        if order is None:
            return
        model, intent = self.model, order.intent
        quantity, notional, fee, tax = model.booked(order)
        lot = model.instruments[intent.symbol].lot
        more = max(
            (order.quantity - min(quantity, order.quantity)) * self.choices.number(0, 4) / 4 // lot * lot,
            ZERO,
        )
        total, paid = quantity + more, fee + self.choices.number(0, 5)
        correction = self.choices.one_of((0, 0, 0, 3, -min(3, notional))) if quantity and not more else 0
        worth = notional + more * order.limit + correction

        def expected() -> str:
            if not more:
                return model.restate_total(order, worth - notional, paid - fee)
            number = f"cum:{order.id}:{total.normalize():f}"
            # Busted fills have already used up a part of the order.
            used = min(order.filled + order.overfill, total) - quantity
            return model.record_fill(
                Fill(order, number, _day(model.now), more, order.limit, paid - fee, ZERO, ZERO), used
            )

        self.both(
            self._station(),
            "select record_cumulative(%s, %s, null, %s::numeric, %s::numeric, %s::numeric, %s::numeric, %s)",
            (intent.account, order.client_id, total, worth, paid, tax, model.now),
            expected,
        )

    def do_bust(self) -> None:
        if self.model.fills and self.chance(40):
            fill = self.choices.one_of(self.model.fills)
            query = "select bust_fill(%s, %s, %s, %s, 'error')"
            args = (fill.order.intent.account, fill.order.intent.symbol, fill.number, fill.date)
            self.both("reconcile", query, args, lambda: self.model.bust(fill))

    # -- the steps: time, mode, people ---------------------------------------------------------------------

    def do_expire(self) -> None:
        picks = "select count(*) from strategy.picks where status = 'NEW' and expires_at <= %s"
        row = self.place.db.execute(picks, [self.model.now]).fetchone()
        assert row
        self.both("risk", "select expire_due()", (), lambda: self.model.expire_due() + row[0])

    def do_enforce(self) -> None:
        self.both("risk", "select enforce_modes()", (), self.model.enforce_modes)

    def do_mode(self) -> None:
        if self.model.mode != "NORMAL" and self.chance(75):
            if self.chance(20) and self.model.mode == "HALT":
                said = self.told("desk", "select resumed from resume('test', 'wrong')")
                self.must(said == ("ok", False), f"a wrong code was answered with {said}")
            said = self.told("desk", "select resumed from resume('test', %s)", CODE)
            self.must(said == ("ok", True), f"resume was answered with {said}")
            self.model.mode = "NORMAL"
        elif self.chance(50):
            self.told("desk", "select halt('test')")
            self.model.mode = "HALT"
        else:
            self.told("desk", "select safe('test')")
            self.model.mode = "HALT" if self.model.mode == "HALT" else "SAFE"
        self._pass(0.001)  # so that what follows has a later time than the change

    def _intent(self) -> Intent | None:
        intents = list(self.model.intents.values())
        opened = [i for i in intents if not i.closed]
        if opened and self.chance(85):
            intents = opened
        return self.choices.one_of(intents) if intents else None

    def do_decide(self) -> None:
        pending = [i for i in self.model.intents.values() if i.status == "PENDING_APPROVAL"]
        intent = self.choices.one_of(pending) if pending and self.chance(90) else self._intent()
        if intent:
            verb, decide = self.choices.one_of(
                (
                    ("approve", self.model.approve),
                    ("approve", self.model.approve),
                    ("reject", self.model.reject),
                )
            )
            self.both("desk", f"select {verb}(%s, 'test')", (intent.id,), lambda: decide(intent))

    def do_cancel(self) -> None:
        if intent := self._intent():
            query = "select cancel_intent(%s, 'test')"
            self.both("desk", query, (intent.id,), lambda: self.model.cancel_intent(intent))

    def do_restart(self) -> None:
        if self.chance(20):
            self.place.ask("supervisor", "select run_number from begin_run()")
            self.model.run += 1

    # -- the steps: reconciliation -------------------------------------------------------------------------

    def _reconcile(self, account: str, holdings: dict[str, Decimal], cash: Decimal | None) -> None:
        snapshot: dict[str, Any] = {"holdings": {s: str(q) for s, q in holdings.items()}}
        if cash is not None:
            snapshot["cash"] = str(cash)
        mark = self.place.ask("reconcile", "select holdings_mark(%s)", account)
        self.both(
            "reconcile",
            "select reconcile(%s, %s, %s)",
            (account, mark, Jsonb(snapshot)),
            lambda: self.model.reconcile(account, holdings, cash, mark),
        )

    def do_agree(self) -> None:
        account = self._account()
        cash = self.model.accounts[account].cash if self.chance(50) else None
        self._reconcile(account, self.model.holdings(account), cash)

    def do_disagree(self) -> None:
        """The broker reports other holdings; if it reports them twice, ours are corrected."""
        account, symbol = self._account(), self._symbol()
        holdings = self.model.holdings(account)
        change = self._quantity(symbol) * self.choices.one_of((-1, 1))
        holdings[symbol] = max(holdings.get(symbol, ZERO) + change, ZERO)
        cash = self.model.accounts[account].cash + 777 * self.choices.number(-1, 1)
        for _ in range(self.choices.number(1, 2)):
            self._reconcile(account, dict(holdings), cash)


def _day(at: dt.datetime) -> dt.date:
    return at.astimezone(SEOUL).date()


# Each step and its weight in the random choice.
STEPS: dict[str, int] = {
    "wait": 5, "quote": 3, "quotes": 4, "move_cash": 2, "create_intent": 14, "propose": 4, "route": 2,
    "fire_exits": 3, "hold": 4, "rest": 3, "crash": 4, "claim": 12, "amend": 4, "accept": 9, "reject": 3,
    "unknown": 3, "unsend": 2,
    "not_found": 3, "ask_about_doubts": 3, "claim_cancels": 3, "cancelled": 4, "kill": 1, "fill": 12,
    "fill_again": 2, "fill_nobody_asked_for": 1, "cumulative": 4, "bust": 2, "expire": 2, "enforce": 2,
    "mode": 2, "decide": 3, "cancel": 4, "restart": 1, "agree": 4, "disagree": 2, **LATE,
}  # fmt: skip
