"""Steps that report executions: fills, totals of an order, and executions that a venue busts."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from tests.prove.model import fills as fills_model
from tests.prove.model.records import ZERO, Fill
from tests.prove.place import COIN
from tests.prove.walk.walker import Walk

SEOUL = dt.timezone(dt.timedelta(hours=9))
FILL = (
    "select record_fill(%s, %s, %s, %s, %s::numeric, %s::numeric, %s::numeric, %s::numeric, %s, %s::numeric)"
)


def fill(walk: Walk) -> None:
    order = walk.order()
    if order is None:
        return
    rest = order.quantity - order.filled
    lot = walk.model.instruments[order.intent.symbol].lot
    part = max(rest * walk.choices.number(1, 4) / 4 // lot * lot, lot)
    quantity = part + lot if walk.chance(5) else part
    price = order.limit * (1 + Decimal(walk.choices.number(-10, 10)) / 1000)
    fee, tax = Decimal(walk.choices.number(0, 300)), Decimal(walk.choices.one_of((0, 0, 7)))
    fee_qty = quantity / 1000 if order.intent.symbol == COIN and walk.chance(20) else ZERO
    at = walk.model.now - dt.timedelta(hours=walk.choices.one_of((0, 0, 0, 30)))
    number = f"F{next(walk.numbers)}"
    report_fill(walk, Fill(order, number, day(at), quantity, price, fee, tax, fee_qty), at)


def fill_again(walk: Walk) -> None:
    """Report an execution a second time, possibly with other figures."""
    if executions := executions_with_ids(walk):
        fill = walk.choices.one_of(executions)
        at = dt.datetime.combine(fill.date, dt.time(12), SEOUL)
        in_kind = fill.quantity / 1000 if fill.order.intent.symbol == COIN and walk.chance(50) else ZERO
        report_fill(
            walk,
            Fill(
                fill.order,
                fill.number,
                fill.date,
                fill.quantity + walk.choices.one_of((0, 0, 0, 0, 0, 1)),  # sometimes another quantity
                fill.price + walk.choices.one_of((0, 0, 0, 0, 1, -1)),
                fill.fee + walk.choices.one_of((0, 0, 0, 11, -3)),
                fill.tax + walk.choices.one_of((0, 0, 0, 5)),
                max(fill.fee_qty, in_kind),
            ),
            at,
        )


def fill_nobody_asked_for(walk: Walk) -> None:
    number = (walk.account(), "no such order", None, f"F{next(walk.numbers)}")
    args = (*number, 1, 1, 0, 0, walk.model.now, 0)
    walk.both("execution", FILL, args, lambda: "UNMATCHED")


def cumulative(walk: Walk) -> None:
    order = walk.order()
    if order is None:
        return
    model, intent = walk.model, order.intent
    quantity, notional, fee, tax = fills_model.booked(model, order)
    lot = model.instruments[intent.symbol].lot
    more = max(
        (order.quantity - min(quantity, order.quantity)) * walk.choices.number(0, 4) / 4 // lot * lot,
        ZERO,
    )
    total, paid = quantity + more, fee + walk.choices.number(0, 5)
    correction = walk.choices.one_of((0, 0, 0, 3, -min(3, notional))) if quantity and not more else 0
    worth = notional + more * order.limit + correction

    def expected() -> str:
        if not more:
            # A notional of 0 is one that the broker has not reported.
            return fills_model.restate_total(model, order, worth - notional if worth else ZERO, paid - fee)
        number = f"cum:{order.id}:{total.normalize():f}"
        # Busted fills have already used up a part of the order.
        used = min(order.filled + order.overfill, total) - quantity
        return fills_model.record_fill(
            model, Fill(order, number, day(model.now), more, order.limit, paid - fee, ZERO, ZERO), used
        )

    walk.both(
        walk.station(),
        "select record_cumulative(%s, %s, null, %s::numeric, %s::numeric, %s::numeric, %s::numeric, %s)",
        (intent.account, order.client_id, total, worth, paid, tax, model.now),
        expected,
    )


def bust(walk: Walk) -> None:
    if walk.model.fills and walk.chance(40):
        report_bust(walk, walk.choices.one_of(walk.model.fills))


def day(at: dt.datetime) -> dt.date:
    return at.astimezone(SEOUL).date()


def executions_with_ids(walk: Walk) -> list[Fill]:
    """The fills that the broker reported one by one, not as totals of their order."""
    return [f for f in walk.model.fills if not f.number.startswith("cum:")]


def report_bust(walk: Walk, fill: Fill) -> None:
    query = "select bust_fill(%s, %s, %s, %s, 'error')"
    args = (fill.order.intent.account, fill.order.intent.symbol, fill.number, fill.date)
    walk.both("reconcile", query, args, lambda: fills_model.bust(walk.model, fill))


def report_fill(walk: Walk, fill: Fill, at: dt.datetime) -> None:
    number = (fill.order.intent.account, fill.order.client_id, None, fill.number)
    args = (*number, fill.quantity, fill.price, fill.fee, fill.tax, at, fill.fee_qty)
    walk.both(walk.station(), FILL, args, lambda: fills_model.record_fill(walk.model, fill))
