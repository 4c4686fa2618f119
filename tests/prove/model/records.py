"""Instruments, intents, orders, fills and accounts, and the figures that the laws use."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
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
