"""Steps of an executor that reports what the broker answered about an order, or that it never left."""

from __future__ import annotations

from decimal import Decimal

from tests.prove.model import answers as answers_model
from tests.prove.model import lost as lost_model
from tests.prove.model.records import ZERO, Order
from tests.prove.walk.walker import Walk


def accept(walk: Walk) -> None:
    if order := walk.order():
        fence, quantity = walk.fence(order), None
        if order.is_pending and walk.chance(60):
            quantity = walk.choices.one_of((order.intent.rest, order.quantity, Decimal(0)))
        report_accepted(walk, order, fence, quantity)


def reject(walk: Walk) -> None:
    if order := walk.order():
        fence, transient = walk.fence(order), walk.chance(50)
        walk.both(
            "execution",
            "select order_rejected(%s, %s, 'X', 'no', %s)",
            (order.id, fence, transient),
            lambda: answers_model.order_rejected(walk.model, order, fence, transient=transient),
        )


def unknown(walk: Walk) -> None:
    if order := walk.order():
        report_unknown(walk, order, walk.fence(order))


def unsend(walk: Walk) -> None:
    if order := walk.order():
        fence = walk.fence(order)
        query = "select unsend(%s, %s)"
        walk.both(
            "execution", query, (order.id, fence), lambda: answers_model.unsend(walk.model, order, fence)
        )


def not_found(walk: Walk) -> None:
    if order := walk.order():
        report_not_found(walk, order, walk.fence(order))


def cancelled(walk: Walk) -> None:
    if order := walk.order():
        fence = walk.fence(order)
        filled = order.filled + (Decimal(1) if walk.chance(20) else ZERO)
        report_cancelled(walk, order, fence, filled)


def report_accepted(walk: Walk, order: Order, fence: int, quantity: Decimal | None) -> None:
    walk.both(
        "execution",
        "select order_accepted(%s, %s, %s, %s::numeric)",
        (order.id, fence, f"B{order.id}", quantity),
        lambda: answers_model.order_accepted(walk.model, order, fence, quantity),
    )


def report_unknown(walk: Walk, order: Order, fence: int) -> None:
    query = "select order_unknown(%s, %s, 'timeout')"
    walk.both(
        "execution", query, (order.id, fence), lambda: answers_model.order_unknown(walk.model, order, fence)
    )


def report_not_found(walk: Walk, order: Order, fence: int) -> None:
    query = "select order_not_found(%s, %s)"
    walk.both(
        "execution", query, (order.id, fence), lambda: lost_model.order_not_found(walk.model, order, fence)
    )


def report_cancelled(walk: Walk, order: Order, fence: int, filled: Decimal) -> None:
    walk.both(
        "execution",
        "select order_cancelled(%s, %s, %s::numeric)",
        (order.id, fence, filled),
        lambda: answers_model.order_cancelled(walk.model, order, fence, filled),
    )
