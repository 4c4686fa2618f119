"""Steps of a walk with late facts.

They are about orders that had ended, executions reported again, and orders the broker no longer knows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from tests.prove.model import ZERO, Fill, Model, Order
from tests.prove.place import ACCOUNTS, Place

T = TypeVar("T")

SEOUL = dt.timezone(dt.timedelta(hours=9))

# Each step and its weight in the random choice.
LATE: dict[str, int] = {
    "check": 3, "read_fills": 3, "forget": 3, "declare_lost": 2, "accept_late": 3, "fill_late": 3,
    "cancelled_late": 2, "midnight": 2, "correct": 3, "late_child": 3,
}  # fmt: skip


class LateFacts:
    """The steps of a walk that bring late facts."""

    place: Place
    model: Model
    choices: Any
    chance: Callable[[int], bool]
    both: Callable[..., Any]
    _order: Callable[[], Order | None]
    _accept: Callable[[Order, int, Decimal | None], None]
    _fill: Callable[[Fill, dt.datetime], None]
    _pass: Callable[[float], None]
    _take: Callable[[str, Callable[[], list[Order]]], None]
    _station: Callable[[], str]
    do_hold: Callable[[], None]
    do_rest: Callable[[], None]
    do_crash: Callable[[], None]

    def _some(self, orders: Sequence[Order]) -> Order | None:
        return self.choices.one_of(list(orders)) if orders else None

    def _ended(self) -> list[Order]:
        """Orders we closed without the broker confirming their end; usually children of amends, if any."""
        ended = [
            o
            for o in self.model.orders.values()
            if o.closed and not o.ended and o.status in ("CANCELLED", "REJECTED")
        ]
        children = [o for o in ended if o.parent]
        return children if children and self.chance(60) else ended

    def do_check(self) -> None:
        self._take("select order_id, fence from claim_checks(%s, 100)", self.model.checks_due)

    def do_read_fills(self) -> None:
        self._read(self.choices.one_of(ACCOUNTS))

    def _read(self, account: str) -> None:
        self.place.ask("execution", "select advance_fills_cursor(%s, '')", account)
        self.model.accounts[account].fills_read_at = self.model.now

    def do_forget(self) -> None:
        """The exchange was reset: report one to three times that a live order was not found."""
        live = [o for o in self.model.orders.values() if o.answered and (o.stray or not o.closed)]
        if order := self._some(live):
            self._pass(7)
            for _ in range(self.choices.number(1, 3)):
                if self.chance(85):
                    self._read(order.intent.account)
                self._not_found(order)

    def _not_found(self, order: Order) -> None:
        query, fence = "select order_not_found(%s, %s)", order.fence
        self.both("execution", query, (order.id, fence), lambda: self.model.order_not_found(order, fence))

    def do_declare_lost(self) -> None:
        strays = [o for o in self.model.orders.values() if o.stray]
        if order := self._some(strays) if self.chance(40) else self._order():
            query = "select declare_lost(%s, 'test')"
            self.both("desk", query, (order.id,), lambda: self.model.declare_lost(order))

    def do_accept_late(self) -> None:
        if order := self._some(self._ended()):
            self._accept(order, order.fence - self.choices.number(0, 1), None)

    def do_fill_late(self) -> None:
        if order := self._some(self._ended()):
            lot = self.model.instruments[order.intent.symbol].lot
            quantity = max((order.quantity - order.filled) * self.choices.number(1, 3) / 3 // lot * lot, lot)
            self._fill(self._fill_of(order, quantity, self.model.now), self.model.now)

    def _fill_of(self, order: Order, quantity: Decimal, at: dt.datetime) -> Fill:
        number = f"L{len(self.place.script)}"
        return Fill(order, number, at.astimezone(SEOUL).date(), quantity, order.limit, *(ZERO,) * 3)

    def do_late_child(self) -> None:
        """Give up the child of an amend; then the broker may accept or fill it."""
        children = [o for o in self.model.orders.values() if o.is_pending and not o.closed]
        if not children:
            self.do_hold()
            self.do_rest()
            self.do_crash()
            children = [o for o in self.model.orders.values() if o.is_pending and not o.closed]
        if child := self._some(children):
            self._unknown(child)
            self._pass(7)
            self._not_found(child)
            if self.chance(40):
                self._accept(child, child.fence, None)
            elif self.chance(70):
                quantity = child.intent.rest or child.quantity
                lot = self.model.instruments[child.intent.symbol].lot
                quantity = max(quantity * self.choices.number(1, 4) / 4 // lot * lot, lot)
                self._fill(self._fill_of(child, quantity, self.model.now), self.model.now)

    def _unknown(self, order: Order) -> None:
        query, fence = "select order_unknown(%s, %s, 'timeout')", order.fence
        self.both("execution", query, (order.id, fence), lambda: self.model.order_unknown(order, fence))

    def do_cancelled_late(self) -> None:
        if order := self._some(self._ended()):
            filled = order.filled + order.overfill + self.choices.one_of((0, 0, 1))
            query, fence = "select order_cancelled(%s, %s, %s::numeric)", order.fence
            self.both(
                "execution",
                query,
                (order.id, fence, filled),
                lambda: self.model.order_cancelled(order, fence, filled),
            )

    def do_midnight(self) -> None:
        """Report a known execution again, at midnight or a microsecond before."""
        told = [
            f
            for f in self.model.fills
            if not f.number.startswith("cum:") and f.notional == f.quantity * f.price
        ]
        if told:
            fill = self.choices.one_of(told)
            at = dt.datetime.combine(fill.date, dt.time(0), SEOUL)
            at += dt.timedelta(days=self.choices.one_of((0, 1)), microseconds=self.choices.one_of((-1, 0)))
            rest = (fill.quantity, fill.price, fill.fee, fill.tax, fill.fee_qty)
            self._fill(Fill(fill.order, fill.number, at.date(), *rest), at)

    def do_correct(self) -> None:
        """Usually bust an execution, then report it again, often with another price or quantity."""
        told = [f for f in self.model.fills if not f.number.startswith("cum:")]
        if not told:
            return
        fill = self.choices.one_of(told)
        if self.chance(80):
            query = "select bust_fill(%s, %s, %s, %s, 'error')"
            intent = fill.order.intent
            self.both(
                "reconcile",
                query,
                (intent.account, intent.symbol, fill.number, fill.date),
                lambda: self.model.bust(fill),
            )
        lot = self.model.instruments[fill.order.intent.symbol].lot
        quantity = max(fill.quantity + lot * self.choices.number(-1, 1), lot)
        again = Fill(
            fill.order,
            fill.number,
            fill.date,
            quantity,
            fill.price + self.choices.number(0, 1),
            fill.fee,
            fill.tax,
            min(fill.fee_qty, quantity / 2),
        )
        self._fill(again, dt.datetime.combine(fill.date, dt.time(12), SEOUL))
