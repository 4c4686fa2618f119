"""Steps with late facts: about ended orders, executions reported again, and orders that the broker lost."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from tests.prove.model import lost as lost_model
from tests.prove.model.records import ZERO, Fill, Order
from tests.prove.place import ACCOUNTS
from tests.prove.walk.answers import report_accepted, report_cancelled, report_not_found, report_unknown
from tests.prove.walk.fills import SEOUL, day, executions_with_ids, report_bust, report_fill
from tests.prove.walk.positions import crash, hold, rest
from tests.prove.walk.walker import Walk


def read_fills(walk: Walk) -> None:
    read(walk, walk.choices.one_of(ACCOUNTS))


def forget(walk: Walk) -> None:
    """The exchange was reset: report one to three times that a live order was not found."""
    live = [o for o in walk.model.orders.values() if o.answered and (o.stray or not o.closed)]
    if order := walk.one_of_if_any(live):
        walk.let_pass(7)
        for _ in range(walk.choices.number(1, 3)):
            if walk.chance(85):
                read(walk, order.intent.account)
            report_not_found(walk, order, order.fence)


def declare_lost(walk: Walk) -> None:
    strays = [o for o in walk.model.orders.values() if o.stray]
    if order := walk.one_of_if_any(strays) if walk.chance(40) else walk.order():
        query = "select declare_lost(%s, 'test')"
        walk.both("desk", query, (order.id,), lambda: lost_model.declare_lost(walk.model, order))


def accept_late(walk: Walk) -> None:
    if order := walk.one_of_if_any(ended(walk)):
        report_accepted(walk, order, order.fence - walk.choices.number(0, 1), None)


def fill_late(walk: Walk) -> None:
    if order := walk.one_of_if_any(ended(walk)):
        lot = walk.model.instruments[order.intent.symbol].lot
        quantity = max((order.quantity - order.filled) * walk.choices.number(1, 3) / 3 // lot * lot, lot)
        report_fill(walk, fill_of(walk, order, quantity, walk.model.now), walk.model.now)


def late_child(walk: Walk) -> None:
    """Give up the child of an amend; then the broker may accept or fill it."""
    children = [o for o in walk.model.orders.values() if o.is_pending and not o.closed]
    if not children:
        hold(walk)
        rest(walk)
        crash(walk)
        children = [o for o in walk.model.orders.values() if o.is_pending and not o.closed]
    if child := walk.one_of_if_any(children):
        report_unknown(walk, child, child.fence)
        walk.let_pass(7)
        report_not_found(walk, child, child.fence)
        if walk.chance(40):
            report_accepted(walk, child, child.fence, None)
        elif walk.chance(70):
            quantity = child.intent.rest or child.quantity
            lot = walk.model.instruments[child.intent.symbol].lot
            quantity = max(quantity * walk.choices.number(1, 4) / 4 // lot * lot, lot)
            report_fill(walk, fill_of(walk, child, quantity, walk.model.now), walk.model.now)


def cancelled_late(walk: Walk) -> None:
    if order := walk.one_of_if_any(ended(walk)):
        filled = order.filled + order.overfill + walk.choices.one_of((0, 0, 1))
        report_cancelled(walk, order, order.fence, filled)


def midnight(walk: Walk) -> None:
    """Report a known execution again, at midnight or a microsecond before."""
    if executions := [f for f in executions_with_ids(walk) if f.notional == f.quantity * f.price]:
        fill = walk.choices.one_of(executions)
        at = dt.datetime.combine(fill.date, dt.time(0), SEOUL)
        at += dt.timedelta(days=walk.choices.one_of((0, 1)), microseconds=walk.choices.one_of((-1, 0)))
        figures = (fill.quantity, fill.price, fill.fee, fill.tax, fill.fee_qty)
        report_fill(walk, Fill(fill.order, fill.number, at.date(), *figures), at)


def correct(walk: Walk) -> None:
    """Usually bust an execution, then report it again, often with another price or quantity."""
    executions = executions_with_ids(walk)
    if not executions:
        return
    fill = walk.choices.one_of(executions)
    if walk.chance(80):
        report_bust(walk, fill)
    lot = walk.model.instruments[fill.order.intent.symbol].lot
    quantity = max(fill.quantity + lot * walk.choices.number(-1, 1), lot)
    again = Fill(
        fill.order,
        fill.number,
        fill.date,
        quantity,
        fill.price + walk.choices.number(0, 1),
        fill.fee,
        fill.tax,
        min(fill.fee_qty, quantity / 2),
    )
    report_fill(walk, again, dt.datetime.combine(fill.date, dt.time(12), SEOUL))


def ended(walk: Walk) -> list[Order]:
    """Orders we closed without the broker confirming their end; usually children of amends, if any."""
    orders = [
        o
        for o in walk.model.orders.values()
        if o.closed and not o.ended and o.status in ("CANCELLED", "REJECTED")
    ]
    children = [o for o in orders if o.parent]
    return children if children and walk.chance(60) else orders


def read(walk: Walk, account: str) -> None:
    walk.place.ask("execution", "select advance_fills_cursor(%s, '')", account)
    walk.model.accounts[account].fills_read_at = walk.model.now


def fill_of(walk: Walk, order: Order, quantity: Decimal, at: dt.datetime) -> Fill:
    number = f"L{len(walk.place.script)}"
    return Fill(order, number, day(at), quantity, order.limit, *(ZERO,) * 3)
