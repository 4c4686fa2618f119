"""Orders that the broker does not know, and those that a person gives up."""

from __future__ import annotations

import datetime as dt

from tests.prove.model.orders import (
    check_fence,
    clear_stray,
    discard_child,
    has_amend_under_way,
    retire_intent,
    retry_or_cancel,
)
from tests.prove.model.records import ANSWER_TIMEOUT, LEASE, SOON, No, Order
from tests.prove.model.state import Model


def reason_to_keep_checking(model: Model, order: Order) -> str:
    read = model.accounts[order.intent.account].fills_read_at
    if model.now <= order.send_before + ANSWER_TIMEOUT:
        return "TOO_EARLY"
    if has_amend_under_way(model, order):
        return "AMEND_FIRST"
    if order.answered and (read is None or (order.next_ask is not None and read < order.next_ask - LEASE)):
        return "FILLS_FIRST"
    return ""


def mark_lost(model: Model, order: Order, *, try_again: bool) -> None:
    if order.is_pending:
        discard_child(model, order, "CANCELLED")
        return
    order.close("CANCELLED")
    if try_again:
        retry_or_cancel(model, order.intent, dt.timedelta(0))
    else:
        model.reached["lost"] += 1
        retire_intent(model, order.intent, "CANCELLED")


def order_not_found(model: Model, order: Order, fence: int) -> str:
    check_fence(model, order, fence)
    if (order.closed and not order.stray) or order.status == "SENDING":
        return order.status
    if why := reason_to_keep_checking(model, order):
        early = why == "TOO_EARLY"
        order.next_ask = order.send_before + ANSWER_TIMEOUT if early else model.now + SOON
        return why
    if order.status in ("SUBMITTED", "PARTIAL_FILLED"):
        order.status, order.next_ask = "IN_DOUBT", model.now
        return "IN_DOUBT"
    if order.stray:
        clear_stray(model, order, by_broker=False)
    else:
        mark_lost(model, order, try_again=not order.answered)
    return "CANCELLED"


def declare_lost(model: Model, order: Order) -> str:
    if order.closed and not order.stray:
        raise No("TRL01")
    if reason_to_keep_checking(model, order) in ("TOO_EARLY", "AMEND_FIRST"):
        raise No("TRL01")
    order.fence += 1
    if order.stray:
        clear_stray(model, order, by_broker=False)
    else:
        mark_lost(model, order, try_again=False)
    return "CANCELLED"
