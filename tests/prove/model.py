"""The laws implemented a second time, in Python with exact decimals, to compare with the database.

Each public method models a function of `api`: it returns what the database must return or raises `No` with
the SQLSTATE that the database must raise, and changes the model as the call must change the tables.  Sums
(locked, breach) are not stored here; they are computed from intents and stray orders.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, TypeAlias

Holding: TypeAlias = tuple[str, str, str]  # account, symbol, owner

ZERO = Decimal(0)
FEE = Decimal("0.00015")
TAKER_CAP, STOP_CAP = Decimal("0.005"), Decimal("0.03")
FRESH = dt.timedelta(seconds=5)
LEASE = dt.timedelta(seconds=10)
ANSWER_TIMEOUT = dt.timedelta(seconds=5)
SECOND = dt.timedelta(seconds=1)
MINUTE = dt.timedelta(minutes=1)
DAY = dt.timedelta(days=1)
SOON = dt.timedelta(milliseconds=200)
BUYS, SELLS = ("ENTRY", "ADD", "MANUAL"), ("EXIT", "FLATTEN", "MANUAL")
WAITING = ("NEW", "PENDING_APPROVAL")
KRX = ((500_000, 1000), (200_000, 500), (50_000, 100), (20_000, 50), (5000, 10), (2000, 5), (0, 1))


class No(Exception):
    """The database must refuse the call with this SQLSTATE."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Instrument:
    symbol: str
    lot: Decimal
    least: Decimal
    tick: Decimal | None  # None: the KRX tick table
    bid: Decimal = ZERO
    ask: Decimal = ZERO
    quoted: tuple[dt.datetime, int] | None = None
    received_at: dt.datetime | None = None

    def is_fresh(self, now: dt.datetime) -> bool:
        return self.received_at is not None and self.ask >= self.bid > 0 and self.received_at >= now - FRESH

    def to_tick(self, price: Decimal, side: str) -> Decimal:
        tick = self.tick or next(Decimal(size) for start, size in KRX if price >= start)
        way = ROUND_FLOOR if side == "BUY" else ROUND_CEILING
        return (price / tick).to_integral_value(way) * tick


@dataclass
class Intent:
    id: int
    account: str
    symbol: str
    owner: str
    kind: str
    side: str
    quantity: Decimal
    limit: Decimal | None
    worst: Decimal
    status: str
    expires: dt.datetime
    by_pick: bool = False
    ttl: dt.timedelta = MINUTE
    key: str = ""
    asked: Any = None
    filled: Decimal = ZERO
    overfill: Decimal = ZERO
    attempts: int = 0
    not_before: dt.datetime | None = None
    approved: bool = False
    escalated: bool = False
    closed: bool = False

    @property
    def holding(self) -> Holding:
        return self.account, self.symbol, self.owner

    @property
    def rest(self) -> Decimal:
        return ZERO if self.closed else self.quantity - self.filled

    @property
    def reserved_cash(self) -> Decimal:
        return self.rest * self.worst * (1 + FEE) if self.side == "BUY" else ZERO

    @property
    def reserved_qty(self) -> Decimal:
        return self.rest if self.side == "SELL" else ZERO

    def close(self, status: str) -> None:
        self.status, self.closed = status, True


@dataclass
class Order:
    id: int
    intent: Intent
    client_id: str
    quantity: Decimal
    limit: Decimal
    worker: int
    send_before: dt.datetime
    parent: Order | None = None
    is_pending: bool = False
    status: str = "SENDING"
    fence: int = 1
    filled: Decimal = ZERO
    overfill: Decimal = ZERO
    cancel_asked: bool = False
    next_ask: dt.datetime | None = None
    amend_at: dt.datetime | None = None
    closed: bool = False
    answered: bool = False
    check_at: dt.datetime | None = None
    stray: bool = False  # we closed it, but it may be live at the broker
    ended: bool = False  # the broker confirmed its end

    def close(self, status: str) -> None:
        self.status, self.closed, self.answered = status, True, True

    @property
    def stray_rest(self) -> Decimal:
        return self.quantity - self.filled if self.stray else ZERO


@dataclass
class Fill:
    order: Order
    number: str
    date: dt.date
    quantity: Decimal
    price: Decimal
    fee: Decimal
    tax: Decimal
    fee_qty: Decimal
    busted: bool = False
    notional: Decimal = field(default=ZERO)
    revision: int = 0

    def __post_init__(self) -> None:
        self.notional = self.notional or self.quantity * self.price

    @property
    def key(self) -> tuple[Any, ...]:
        return self.order.intent.account, self.order.intent.symbol, self.date, self.number

    @property
    def cash(self) -> Decimal:
        sign = -1 if self.order.intent.side == "BUY" else 1
        return sign * self.notional - self.fee - self.tax

    @property
    def change(self) -> Decimal:
        sign = 1 if self.order.intent.side == "BUY" else -1
        return sign * self.quantity - self.fee_qty


@dataclass
class Account:
    name: str
    cash: Decimal = ZERO
    reconciled_run: int | None = None
    fills_read_at: dt.datetime | None = None
    last_run: tuple[str, Any, str] | None = None


@dataclass
class Model:
    """The state of the model.  The walk sets `now` when it moves the clock."""

    now: dt.datetime
    instruments: dict[str, Instrument]
    accounts: dict[str, Account]
    strategy: str
    run: int
    mode: str = "NORMAL"
    positions: dict[Holding, Decimal] = field(default_factory=dict)
    intents: dict[int, Intent] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    alive: set[int] = field(default_factory=set)
    checked_at: dt.datetime | None = None
    reached: Counter[str] = field(default_factory=Counter)  # how often each interesting case occurred

    # -- sums ----------------------------------------------------------------------------------------------

    def locked_qty(self, holding: Holding) -> Decimal:
        strays = (o.stray_rest for o in self._strays("SELL") if o.intent.holding == holding)
        return sum((i.reserved_qty for i in self.intents.values() if i.holding == holding), sum(strays, ZERO))

    def locked_cash(self, account: str) -> Decimal:
        strays = (
            o.stray_rest * o.limit * (1 + FEE) for o in self._strays("BUY") if o.intent.account == account
        )
        return sum(
            (i.reserved_cash for i in self.intents.values() if i.account == account), sum(strays, ZERO)
        )

    def _strays(self, side: str) -> list[Order]:
        return [o for o in self.orders.values() if o.stray and o.intent.side == side]

    def free_qty(self, holding: Holding) -> Decimal:
        return self.positions.get(holding, ZERO) - self.locked_qty(holding)

    def free_cash(self, account: str) -> Decimal:
        return self.accounts[account].cash - self.locked_cash(account)

    def open_orders(self, intent: Intent) -> list[Order]:
        return [o for o in self.orders.values() if o.intent is intent and not o.closed]

    # -- decisions -----------------------------------------------------------------------------------------

    def verdict(self, side: str) -> str:
        if self.mode == "NORMAL" or (self.mode == "SAFE" and side == "SELL"):
            return "ALLOW"
        return "APPROVE" if side == "SELL" else "DENY"

    def worst_price(self, instrument: Instrument, side: str, kind: str, limit: Decimal | None) -> Decimal:
        price = limit
        if price is None:
            if not instrument.is_fresh(self.now):
                raise No("TRP01")
            cap = STOP_CAP if kind in ("EXIT", "FLATTEN") else TAKER_CAP
            price = instrument.ask * (1 + cap) if side == "BUY" else instrument.bid * (1 - cap)
        price = instrument.to_tick(price, side)
        if price <= 0:
            raise No("TRI01")
        return price

    def create_intent(
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
    ) -> Intent:
        """The intent to create, without its id, or the existing intent with this key."""
        if kind not in (BUYS if side == "BUY" else SELLS):
            raise No("TRI01")
        if self.verdict(side) == "DENY":
            raise No("TRM01")
        asked = (symbol, owner, kind, side, quantity, limit)
        known = next((i for i in self.intents.values() if (i.account, i.key) == (account, key)), None)
        if known:
            if known.asked != asked:
                raise No("TRI03")
            return known
        instrument = self.instruments[symbol]
        quantity = (quantity / instrument.lot).to_integral_value(ROUND_FLOOR) * instrument.lot
        worst = self.worst_price(instrument, side, kind, limit)
        if quantity <= 0 or quantity * worst < instrument.least:
            raise No("TRI01")
        approve = self.verdict(side) == "APPROVE"
        intent = Intent(
            0, account, symbol, owner, kind, side, quantity, None if limit is None else worst, worst,
            "PENDING_APPROVAL" if approve else "NEW",
            self.now + (max(ttl, DAY) if approve else ttl), ttl=ttl, key=key, asked=asked,
        )  # fmt: skip
        self.check_admission(intent)
        return intent

    def check_admission(self, intent: Intent) -> None:
        """Refuse a new intent if there is a breach or too little free cash or quantity."""
        if intent.side == "BUY" and self.free_cash(intent.account) < 0:
            raise No("TRC02")
        if any(self.free_qty(h) < 0 for h in self.positions if h[:2] == intent.holding[:2]):
            raise No("TRQ02")
        if intent.reserved_qty > self.free_qty(intent.holding):
            raise No("TRQ01")
        if intent.side == "BUY" and intent.reserved_cash > self.free_cash(intent.account):
            raise No("TRC01")

    def shed(self, account: str, symbol: str = "", owner: str = "") -> None:
        for intent in sorted(self.intents.values(), key=lambda i: -i.id):
            if intent.account != account or intent.status not in WAITING:
                continue
            if intent.side == "BUY":
                if self.free_cash(account) < 0:
                    self.reached["buy shed"] += 1
                    intent.close("CANCELLED")
            elif intent.holding == (account, symbol, owner) and self.free_qty(intent.holding) < 0:
                self.reached["sell shed"] += 1
                intent.close("CANCELLED")

    # -- claims --------------------------------------------------------------------------------------------

    def claimable(self, limit: int) -> list[Intent]:
        def lets_through(i: Intent) -> bool:
            verdict = self.verdict(i.side)
            return (
                i.status == "NEW"
                and i.expires > self.now
                and (i.not_before is None or i.not_before <= self.now)
                and (verdict == "ALLOW" or (verdict == "APPROVE" and i.approved))
                and self.accounts[i.account].reconciled_run == self.run
                and not any(
                    (
                        o.stray
                        or o.status == "IN_DOUBT"
                        or (o.status == "SENDING" and o.send_before < self.now)
                    )
                    and (o.intent.account, o.intent.symbol, o.intent.side) == (i.account, i.symbol, i.side)
                    for o in self.orders.values()
                )
                and not self.open_orders(i)
            )

        return sorted(filter(lets_through, self.intents.values()), key=lambda i: (i.side == "BUY", i.id))[
            :limit
        ]

    def store(self, order: Order) -> None:
        """Store a claimed order, or the child of an order to be amended."""
        order.intent.attempts += 1
        if order.parent is None:
            order.intent.status = "CLAIMED"
        self.reached["amend" if order.parent else f"attempt {order.intent.attempts}"] += 1
        self.orders[order.id] = order

    def amends_due(self) -> list[Order]:
        return [
            o
            for o in self.orders.values()
            if o.amend_at
            and o.amend_at <= self.now
            and o.status in ("SUBMITTED", "PARTIAL_FILLED")
            and not o.cancel_asked
            and not o.intent.closed
            and (self.verdict(o.intent.side) == "ALLOW" or o.intent.approved)
            and not any(c.is_pending for c in self.open_orders(o.intent))
        ]

    def cancels_due(self) -> list[Order]:
        return [
            o
            for o in self.orders.values()
            if o.cancel_asked
            and (o.stray or o.status in ("SUBMITTED", "PARTIAL_FILLED"))
            and (o.next_ask is None or o.next_ask <= self.now)
        ]

    def doubts_due(self) -> list[Order]:
        """Put orphaned orders in doubt; return all orders in doubt that are due for a query."""
        for order in self.orders.values():
            if order.status == "SENDING" and (
                order.send_before + ANSWER_TIMEOUT < self.now
                or (order.send_before < self.now and order.worker not in self.alive)
            ):
                order.status = "IN_DOUBT"
                order.fence += 1
                self.reached["orphan"] += 1
        return [
            o
            for o in self.orders.values()
            if o.status == "IN_DOUBT" and (o.next_ask is None or o.next_ask <= self.now)
        ]

    def checks_due(self) -> list[Order]:
        """Live orders not checked for a minute: at most ten, at most once a second."""
        due = [
            o
            for o in self.orders.values()
            if o.check_at
            and o.check_at <= self.now
            and o.status in ("SUBMITTED", "PARTIAL_FILLED")
            and not o.cancel_asked
        ]
        if not due or (self.checked_at and self.checked_at > self.now - SECOND):
            return []
        self.checked_at = self.now
        due = sorted(due, key=lambda o: (o.check_at, o.id))[:10]
        for order in due:
            order.check_at = self.now + MINUTE
        return due

    def lease(self, orders: list[Order], worker: int) -> list[tuple[int, int]]:
        for order in orders:
            order.worker = worker
            order.fence += 1
            order.next_ask = self.now + LEASE
        return [(o.id, o.fence) for o in orders]

    # -- answers -------------------------------------------------------------------------------------------

    def _fenced(self, order: Order, fence: int) -> Order:
        if order.fence != fence:
            raise No("TRL03")
        return order

    def _take_over(self, child: Order, quantity: Decimal | None = None) -> None:
        if not child.is_pending:
            return
        assert child.parent
        if not child.parent.closed:
            child.parent.close("REPLACED")
        if child.parent.stray:
            self._end_stray(child.parent, by_broker=True)
        child.is_pending = False
        self.reached["child in its parent's place"] += 1
        left = quantity if quantity else child.intent.rest
        child.quantity = min(child.quantity, left or child.quantity)

    def _drop_child(self, child: Order, status: str) -> None:
        child.close(status)
        self.reached["child refused"] += 1
        assert child.parent
        if not child.parent.closed:
            child.parent.amend_at = None
            child.parent.cancel_asked = True
        self._retire(child.intent, "CANCELLED")

    def _retire(self, intent: Intent, status: str) -> None:
        """Close an intent that has no open order left."""
        if not intent.closed and not self.open_orders(intent):
            intent.close(status)

    def _retry(self, intent: Intent, wait: dt.timedelta) -> None:
        if self.open_orders(intent):
            return
        unwanted = any(o.cancel_asked for o in self.orders.values() if o.intent is intent)
        if (
            intent.status == "CLAIMED"
            and intent.attempts < 3
            and intent.expires > self.now + wait
            and not unwanted
        ):
            intent.status, intent.not_before = "NEW", self.now + wait
        else:
            self._retire(intent, "CANCELLED")

    def _curb(self, intent: Intent) -> None:
        """After unexpected facts, request the cancel of orders larger than the rest of their intent."""
        for order in self.open_orders(intent):
            if not order.is_pending and order.quantity - order.filled > intent.rest:
                self.reached["called back"] += not order.cancel_asked
                order.cancel_asked = True

    def unsend(self, order: Order, fence: int) -> None:
        if self._fenced(order, fence).status != "SENDING":
            raise No("TRL01")
        if order.is_pending:
            return self._drop_child(order, "CANCELLED")
        order.close("CANCELLED")
        return self._retry(order.intent, dt.timedelta(0))

    def order_accepted(self, order: Order, fence: int, quantity: Decimal | None = None) -> None:
        if not order.closed:
            self._fenced(order, fence)
        was_closed = order.closed
        self._take_over(order, quantity)
        if order.status in ("SENDING", "IN_DOUBT"):
            order.status = "PARTIAL_FILLED" if order.filled else "SUBMITTED"
        order.next_ask = order.next_ask if order.stray else None
        order.check_at, order.answered = self.now + MINUTE, True
        if was_closed:
            self._hear_of_ended(order)
            return
        if order.intent.status == "CLAIMED":
            order.intent.status = "SUBMITTED"
        self._curb(order.intent)

    def order_rejected(self, order: Order, fence: int, *, transient: bool) -> None:
        self._fenced(order, fence)
        if order.closed:
            if order.stray:
                self._end_stray(order, by_broker=True)
            return
        if order.is_pending:
            self._drop_child(order, "REJECTED")
            return
        order.close("CANCELLED" if order.filled else "REJECTED")
        if transient and not order.filled:
            self._retry(order.intent, SECOND)
        else:
            self._retire(order.intent, "CANCELLED" if order.intent.filled else "REJECTED")

    def order_unknown(self, order: Order, fence: int) -> None:
        if self._fenced(order, fence).status == "SENDING":
            order.status, order.next_ask = "IN_DOUBT", self.now

    def _why_not_lost_yet(self, order: Order) -> str:
        read = self.accounts[order.intent.account].fills_read_at
        if self.now <= order.send_before + ANSWER_TIMEOUT:
            return "TOO_EARLY"
        if any(c.parent is order and c.is_pending for c in self.open_orders(order.intent)):
            return "AMEND_FIRST"
        if order.answered and (
            read is None or (order.next_ask is not None and read < order.next_ask - LEASE)
        ):
            return "FILLS_FIRST"
        return ""

    def _lose(self, order: Order, *, try_again: bool) -> None:
        if order.is_pending:
            self._drop_child(order, "CANCELLED")
            return
        order.close("CANCELLED")
        if try_again:
            self._retry(order.intent, dt.timedelta(0))
        else:
            self.reached["lost"] += 1
            self._retire(order.intent, "CANCELLED")

    def order_not_found(self, order: Order, fence: int) -> str:
        self._fenced(order, fence)
        if (order.closed and not order.stray) or order.status == "SENDING":
            return order.status
        if why := self._why_not_lost_yet(order):
            early = why == "TOO_EARLY"
            order.next_ask = order.send_before + ANSWER_TIMEOUT if early else self.now + SOON
            return why
        if order.status in ("SUBMITTED", "PARTIAL_FILLED"):
            order.status, order.next_ask = "IN_DOUBT", self.now
            return "IN_DOUBT"
        if order.stray:
            self._end_stray(order, by_broker=False)
        else:
            self._lose(order, try_again=not order.answered)
        return "CANCELLED"

    def declare_lost(self, order: Order) -> str:
        if order.closed and not order.stray:
            raise No("TRL01")
        if self._why_not_lost_yet(order) in ("TOO_EARLY", "AMEND_FIRST"):
            raise No("TRL01")
        order.fence += 1
        if order.stray:
            self._end_stray(order, by_broker=False)
        else:
            self._lose(order, try_again=False)
        return "CANCELLED"

    def order_cancelled(self, order: Order, fence: int, filled: Decimal) -> str:
        self._fenced(order, fence)
        if order.status in ("FILLED", "REPLACED") or order.ended:
            return order.status
        if filled > order.filled + order.overfill:
            if order.closed:
                self._take_over(order)
                self._hear_of_ended(order)
            order.next_ask = self.now + SOON
            self.reached["fills first"] += 1
            return "FILLS_FIRST"
        if not order.closed and any(
            c.parent is order and c.is_pending for c in self.open_orders(order.intent)
        ):
            order.next_ask = self.now + SOON
            self.reached["amend first"] += 1
            return "AMEND_FIRST"
        self._take_over(order)
        if not order.closed:
            order.close("CANCELLED")
        if order.stray:
            self._end_stray(order, by_broker=True)
        order.ended = True
        if order.intent.status not in WAITING:
            self._retire(order.intent, "EXPIRED" if order.intent.expires <= self.now else "CANCELLED")
        return "CANCELLED"

    # -- orders that we closed but that are live at the broker ----------------------------------------------

    def _end_stray(self, order: Order, *, by_broker: bool) -> None:
        self.reached["stray gone"] += 1
        order.stray, order.next_ask, order.ended = False, None, by_broker

    def _hear_of_ended(self, order: Order) -> None:
        gone = order.status in ("FILLED", "REPLACED") or order.ended or order.filled >= order.quantity
        if not order.stray and not gone:
            self.reached["stray child" if order.parent else "stray"] += 1
            self._retire(order.intent, "CANCELLED")
            order.stray, order.cancel_asked, order.next_ask = True, True, None
            self.shed(*order.intent.holding)
        if order.intent.status not in WAITING:
            self._retire(order.intent, "CANCELLED")

    # -- facts ---------------------------------------------------------------------------------------------

    def _known(self, fill: Fill) -> Fill | None:
        """The last report of an execution: by its order on any day, else by account, instrument and day."""
        mine = [f for f in self.fills if f.order is fill.order and f.number == fill.number]
        mine = mine or self._of_the_day(fill)
        return max(mine, key=lambda f: f.revision) if mine else None

    def _of_the_day(self, fill: Fill) -> list[Fill]:
        """The reports with this fill number for this account, instrument and day."""
        return [f for f in self.fills if f.key == fill.key]

    def record_fill(self, fill: Fill, corrected: Decimal | None = None) -> str:
        order, intent = fill.order, fill.order.intent
        used = corrected or ZERO
        if known := self._known(fill):
            reports = [
                f for f in self.fills if f.order.intent is known.order.intent and f.number == known.number
            ]
            if known.order.intent is not intent:
                return "UNMATCHED"
            if (known.revision or known.busted) and any(
                f.busted
                and f.quantity == fill.quantity
                and fill.notional in (f.notional, f.quantity * f.price)
                for f in reports
            ):
                return "DUPLICATE"
            if not known.busted:
                return self._restate(known, fill) if known.quantity == fill.quantity else "UNMATCHED"
            self.reached["corrected after a bust"] += 1
            fill.revision = 1 + max(f.revision for f in (known, *self._of_the_day(fill)))
            if corrected is None:
                used = min(fill.quantity, max(f.quantity for f in reports))
        self.fills.append(fill)
        self.reached["fill of a closed order"] += order.closed
        self.reached["fill before the answer"] += order.status == "SENDING"
        self.reached["fill of a waiting intent"] += intent.status in WAITING
        self.reached["fill of a pending child"] += order.is_pending
        was_closed = order.closed
        self._take_over(order)
        self._fill_order(order, fill.quantity - used)
        self._fill_intent(intent, fill.quantity - used)
        self._curb(intent)
        if was_closed and fill.quantity > used:
            self._hear_of_ended(order)
        held = self.positions.get(intent.holding, ZERO)
        self.reached["sold more than known"] += held + fill.change < 0
        self.positions[intent.holding] = max(held, -fill.change) + fill.change
        self.accounts[intent.account].cash += fill.cash
        self.shed(*intent.holding)
        return "RECORDED"

    def _restate(self, known: Fill, told: Fill) -> str:
        """Book the difference between a known execution and a later report of it."""
        more = max(told.fee_qty - known.fee_qty, ZERO)
        cash = told.cash - known.cash
        same = (told.notional, told.fee, told.tax) == (known.notional, known.fee, known.tax) and not more
        if known.busted or same:
            return "DUPLICATE"
        self.reached["told otherwise"] += told.notional != known.notional
        self.reached["fee in kind told later"] += more > 0
        known.notional, known.fee, known.tax = told.notional, told.fee, told.tax
        known.fee_qty += more
        holding = known.order.intent.holding
        self.positions[holding] = max(self.positions[holding], more) - more
        self.accounts[holding[0]].cash += cash
        self.shed(*holding)
        return "RESTATED"

    def restate_total(self, order: Order, notional: Decimal, fee: Decimal) -> str:
        """Book a total of the same quantity with another notional or fee, to the last fill of the order."""
        mine = [f for f in self.fills if f.order is order and not f.busted]
        if not mine:
            return "DUPLICATE"
        last = mine[-1]
        return self._restate(last, replace(last, notional=last.notional + notional, fee=last.fee + fee))

    def _fill_order(self, order: Order, quantity: Decimal) -> None:
        order.answered, order.check_at = True, order.check_at or self.now + MINUTE
        if order.stray and order.filled + quantity >= order.quantity:
            order.stray, order.ended = False, True
        filled = min(order.filled + quantity, order.quantity)
        order.overfill += order.filled + quantity - filled
        order.filled = filled
        if not order.closed:
            if filled == order.quantity:
                order.close("FILLED")
            else:
                order.status = "PARTIAL_FILLED"

    @staticmethod
    def _fill_intent(intent: Intent, quantity: Decimal) -> None:
        filled = min(intent.filled + quantity, intent.quantity)
        intent.overfill += intent.filled + quantity - filled
        intent.filled = filled
        if not intent.closed:
            if filled == intent.quantity:
                intent.close("FILLED")
            elif intent.status not in WAITING:
                intent.status = "PARTIAL_FILLED"

    def booked(self, order: Order) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        mine = [f for f in self.fills if f.order is order and not f.busted]
        return (
            sum((f.quantity for f in mine), ZERO),
            sum((f.notional for f in mine), ZERO),
            sum((f.fee for f in mine), ZERO),
            sum((f.tax for f in mine), ZERO),
        )

    def bust(self, fill: Fill) -> str:
        fill = max(self._of_the_day(fill), key=lambda f: f.revision)
        if fill.busted:
            return "DUPLICATE"
        fill.busted = True
        holding = fill.order.intent.holding
        self.positions[holding] = max(self.positions[holding], fill.change) - fill.change
        self.accounts[holding[0]].cash -= fill.cash
        self.shed(*holding)
        return "BUSTED"

    def record_cash(self, account: str, amount: Decimal) -> Decimal:
        self.accounts[account].cash += amount
        self.shed(account)
        return self.accounts[account].cash

    # -- sweeps and people ---------------------------------------------------------------------------------

    def close_or_request_cancel(self, intent: Intent, status: str) -> bool:
        if intent.closed:
            return False
        if intent.status in WAITING:
            intent.close(status)
        for order in self.open_orders(intent):
            order.cancel_asked = True
        return True

    def expire_due(self) -> int:
        due = [i for i in self.intents.values() if not i.closed and i.expires <= self.now and self._waits(i)]
        return sum(self.close_or_request_cancel(i, "EXPIRED") for i in due)

    def enforce_modes(self) -> int:
        count = 0
        for intent in [i for i in self.intents.values() if not i.closed]:
            verdict = self.verdict(intent.side)
            if verdict == "DENY" and self._waits(intent):
                count += self.close_or_request_cancel(intent, "CANCELLED")
            elif verdict == "APPROVE" and intent.status == "NEW" and not intent.approved:
                intent.status = "PENDING_APPROVAL"
                intent.expires = max(intent.expires, self.now + DAY)
                count += 1
            elif verdict == "ALLOW" and intent.status == "PENDING_APPROVAL":
                if intent.kind == "EXIT" and not intent.by_pick:
                    intent.close("CANCELLED")  # it fires again at the current price
                    count += 1
                else:
                    count += self._let_go_if_priced(intent)
        return count

    def _let_go_if_priced(self, intent: Intent) -> bool:
        try:
            self._let_go(intent, approved=False)
        except No:
            return False
        return True

    def _let_go(self, intent: Intent, *, approved: bool) -> None:
        """Release an intent: price a sell without a limit now, and restart its time to live."""
        if intent.side == "SELL" and intent.limit is None:
            kind = "EXIT" if intent.escalated else intent.kind
            intent.worst = self.worst_price(self.instruments[intent.symbol], "SELL", kind, None)
        intent.status, intent.approved = "NEW", approved
        intent.expires = self.now + intent.ttl

    def _waits(self, intent: Intent) -> bool:
        return intent.status in WAITING or any(not o.cancel_asked for o in self.open_orders(intent))

    def approve(self, intent: Intent) -> str:
        if intent.status != "PENDING_APPROVAL":
            raise No("TRL01")
        if self.verdict(intent.side) == "DENY":
            raise No("TRM01")
        self._let_go(intent, approved=True)
        return "NEW"

    def reject(self, intent: Intent) -> str:
        if intent.status != "PENDING_APPROVAL":
            raise No("TRL01")
        intent.close("REJECTED")
        return "REJECTED"

    def cancel_intent(self, intent: Intent) -> str:
        if not self.close_or_request_cancel(intent, "CANCELLED"):
            return "it had already ended"
        return "cancelled" if intent.closed else "a cancel of its order was requested"

    def safe(self) -> None:
        if self.mode == "HALT":
            raise No("TRI04")
        self.mode = "SAFE"

    # -- reconciliation ------------------------------------------------------------------------------------

    def holdings(self, account: str) -> dict[str, Decimal]:
        total: dict[str, Decimal] = {}
        for (name, symbol, _), quantity in self.positions.items():
            if name == account:
                total[symbol] = total.get(symbol, ZERO) + quantity
        return total

    def reconcile(self, name: str, holdings: dict[str, Decimal], cash: Decimal | None, mark: str) -> str:
        account, ours = self.accounts[name], self.holdings(name)
        found = {
            s: holdings.get(s, ZERO) - ours.get(s, ZERO)
            for s in {*ours, *holdings}
            if holdings.get(s, ZERO) != ours.get(s, ZERO)
        }
        if cash is not None and cash != account.cash:
            found["cash"] = cash - account.cash
        in_flight = {
            o.intent.symbol
            for o in self.orders.values()
            if (not o.closed or o.stray) and o.intent.account == name
        }
        if in_flight:
            in_flight.add("cash")
        waiting = {item for item in found if item in in_flight}
        answer = "AGREES"
        if found and found.keys() == waiting:
            answer = "WAITS"
        elif found:
            answer = "CORRECTED" if account.last_run == ("DIFFERS", found, mark) else "DIFFERS"
        account.last_run = answer, dict(found), mark
        self.reached[answer] += 1
        if answer == "AGREES":
            account.reconciled_run = self.run
        elif answer == "CORRECTED":
            for item in waiting:
                del found[item]
            account.cash += found.pop("cash", ZERO)
            self.shed(name)
            for symbol, change in found.items():
                self._correct(name, symbol, change)
        return answer

    def _correct(self, account: str, symbol: str, change: Decimal) -> None:
        manual = (account, symbol, "manual")
        if change > 0:
            self.positions[manual] = self.positions.get(manual, ZERO) + change
            return
        for holding in (manual, (account, symbol, self.strategy)):
            part = min(self.positions.get(holding, ZERO), -change)
            if part:
                self.positions[holding] -= part
                change += part
                self.shed(*holding)
