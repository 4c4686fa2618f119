"""What happens to an order and its intent, whichever answer or fact caused it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from tests.prove.model.intents import release_unsent_intents
from tests.prove.model.records import WAITING, Intent, No, Order
from tests.prove.model.state import Model


def check_fence(model: Model, order: Order, fence: int) -> Order:
    if order.fence != fence:
        raise No("TRL03")
    return order


def activate_child(model: Model, child: Order, quantity: Decimal | None = None) -> None:
    """Put the pending child of an amend in its parent's place."""
    if not child.is_pending:
        return
    assert child.parent
    if not child.parent.closed:
        child.parent.close("REPLACED")
    if child.parent.stray:
        clear_stray(model, child.parent, by_broker=True)
    child.is_pending = False
    model.reached["child in its parent's place"] += 1
    left = quantity if quantity else child.intent.rest
    child.quantity = min(child.quantity, left or child.quantity)


def discard_child(model: Model, child: Order, status: str) -> None:
    """End a pending child, and request the cancel of its parent."""
    child.close(status)
    model.reached["child refused"] += 1
    assert child.parent
    if not child.parent.closed:
        child.parent.amend_at = None
        child.parent.cancel_asked = True
    retire_intent(model, child.intent, "CANCELLED")


def has_amend_under_way(model: Model, order: Order) -> bool:
    return any(c.parent is order and c.is_pending for c in model.open_orders(order.intent))


def retire_intent(model: Model, intent: Intent, status: str) -> None:
    """Close an intent that has no open order left."""
    if not intent.closed and not model.open_orders(intent):
        intent.close(status)


def retry_or_cancel(model: Model, intent: Intent, wait: dt.timedelta) -> None:
    if model.open_orders(intent):
        return
    unwanted = any(o.cancel_asked for o in model.orders.values() if o.intent is intent)
    if (
        intent.status == "CLAIMED"
        and intent.attempts < 3
        and intent.expires > model.now + wait
        and not unwanted
    ):
        intent.status, intent.not_before = "NEW", model.now + wait
    else:
        retire_intent(model, intent, "CANCELLED")


def cancel_excess_orders(model: Model, intent: Intent) -> None:
    """After unexpected facts, request the cancel of orders larger than the rest of their intent."""
    for order in model.open_orders(intent):
        if not order.is_pending and order.quantity - order.filled > intent.rest:
            model.reached["called back"] += not order.cancel_asked
            order.cancel_asked = True


def clear_stray(model: Model, order: Order, *, by_broker: bool) -> None:
    model.reached["stray gone"] += 1
    order.stray, order.next_ask, order.ended = False, None, by_broker


def handle_stray_activity(model: Model, order: Order) -> None:
    """The broker knows an order that we had closed: it is a stray until the broker has ended it."""
    gone = order.status in ("FILLED", "REPLACED") or order.ended or order.filled >= order.quantity
    if not order.stray and not gone:
        model.reached["stray child" if order.parent else "stray"] += 1
        retire_intent(model, order.intent, "CANCELLED")
        order.stray, order.cancel_asked, order.next_ask = True, True, None
        release_unsent_intents(model, *order.intent.holding)
    if order.intent.status not in WAITING:
        retire_intent(model, order.intent, "CANCELLED")
