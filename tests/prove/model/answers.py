"""What a worker reports that the broker answered."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from tests.prove.model.orders import (
    activate_child,
    cancel_excess_orders,
    check_fence,
    clear_stray,
    discard_child,
    handle_stray_activity,
    has_amend_under_way,
    retire_intent,
    retry_or_cancel,
)
from tests.prove.model.records import MINUTE, SECOND, SOON, WAITING, No, Order
from tests.prove.model.state import Model


def unsend(model: Model, order: Order, fence: int) -> None:
    if check_fence(model, order, fence).status != "SENDING":
        raise No("TRL01")
    if order.is_pending:
        return discard_child(model, order, "CANCELLED")
    order.close("CANCELLED")
    return retry_or_cancel(model, order.intent, dt.timedelta(0))


def order_accepted(model: Model, order: Order, fence: int, quantity: Decimal | None = None) -> None:
    if not order.closed:
        check_fence(model, order, fence)
    was_closed = order.closed
    activate_child(model, order, quantity)
    if order.status in ("SENDING", "IN_DOUBT"):
        order.status = "PARTIAL_FILLED" if order.filled else "SUBMITTED"
    order.next_ask = order.next_ask if order.stray else None
    order.check_at, order.answered = model.now + MINUTE, True
    if was_closed:
        handle_stray_activity(model, order)
        return
    if order.intent.status == "CLAIMED":
        order.intent.status = "SUBMITTED"
    cancel_excess_orders(model, order.intent)


def order_rejected(model: Model, order: Order, fence: int, *, transient: bool) -> None:
    check_fence(model, order, fence)
    if order.closed:
        if order.stray:
            clear_stray(model, order, by_broker=True)
        return
    if order.is_pending:
        discard_child(model, order, "REJECTED")
        return
    order.close("CANCELLED" if order.filled else "REJECTED")
    if transient and not order.filled:
        retry_or_cancel(model, order.intent, SECOND)
    else:
        retire_intent(model, order.intent, "CANCELLED" if order.intent.filled else "REJECTED")


def order_unknown(model: Model, order: Order, fence: int) -> None:
    if check_fence(model, order, fence).status == "SENDING":
        order.status, order.next_ask = "IN_DOUBT", model.now


def order_cancelled(model: Model, order: Order, fence: int, filled: Decimal) -> str:
    check_fence(model, order, fence)
    if order.status in ("FILLED", "REPLACED") or order.ended:
        return order.status
    if filled > order.filled + order.overfill:
        if order.closed:
            activate_child(model, order)
            handle_stray_activity(model, order)
        order.next_ask = model.now + SOON
        model.reached["fills first"] += 1
        return "FILLS_FIRST"
    if not order.closed and has_amend_under_way(model, order):
        order.next_ask = model.now + SOON
        model.reached["amend first"] += 1
        return "AMEND_FIRST"
    activate_child(model, order)
    if not order.closed:
        order.close("CANCELLED")
    if order.stray:
        clear_stray(model, order, by_broker=True)
    order.ended = True
    if order.intent.status not in WAITING:
        retire_intent(model, order.intent, "EXPIRED" if order.intent.expires <= model.now else "CANCELLED")
    return "CANCELLED"
