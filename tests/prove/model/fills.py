"""Executions: each counts once, and a later report of it books the difference."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from tests.prove.model.intents import release_unsent_intents
from tests.prove.model.orders import activate_child, cancel_excess_orders, handle_stray_activity
from tests.prove.model.records import MINUTE, WAITING, ZERO, Fill, Intent, Order
from tests.prove.model.state import Model


def record_fill(model: Model, fill: Fill, corrected: Decimal | None = None) -> str:
    """Book an execution.  Of a total that was corrected, a part has used up its order before."""
    used = corrected or ZERO
    if known := known_fill(model, fill):
        if answer := answer_to_known_fill(model, known, fill):
            return answer
        model.reached["corrected after a bust"] += 1
        fill.revision = 1 + max(f.revision for f in (known, *reports_of_day(model, fill)))
        if corrected is None:
            used = min(fill.quantity, max(f.quantity for f in reports_of_intent(model, known)))
    book(model, fill, used)
    return "RECORDED"


def answer_to_known_fill(model: Model, known: Fill, fill: Fill) -> str:
    """The answer to a report of a known execution; none if it is booked again, corrected after a bust."""
    if known.order.intent is not fill.order.intent:
        return "UNMATCHED"
    if (known.revision or known.busted) and any(
        f.busted and f.quantity == fill.quantity and fill.notional in (f.notional, f.quantity * f.price)
        for f in reports_of_intent(model, known)
    ):
        return "DUPLICATE"
    if known.busted:
        return ""
    return restate(model, known, fill) if known.quantity == fill.quantity else "UNMATCHED"


def book(model: Model, fill: Fill, used: Decimal) -> None:
    """Move order, intent, position and cash; `used` of its quantity has used up the order before."""
    order, intent = fill.order, fill.order.intent
    model.fills.append(fill)
    model.reached["fill of a closed order"] += order.closed
    model.reached["fill before the answer"] += order.status == "SENDING"
    model.reached["fill of a waiting intent"] += intent.status in WAITING
    model.reached["fill of a pending child"] += order.is_pending
    was_closed = order.closed
    activate_child(model, order)
    apply_to_order(model, order, fill.quantity - used)
    apply_to_intent(intent, fill.quantity - used)
    cancel_excess_orders(model, intent)
    if was_closed and fill.quantity > used:
        handle_stray_activity(model, order)
    held = model.positions.get(intent.holding, ZERO)
    model.reached["sold more than known"] += held + fill.change < 0
    model.positions[intent.holding] = max(held, -fill.change) + fill.change
    model.accounts[intent.account].cash += fill.cash
    release_unsent_intents(model, *intent.holding)


def known_fill(model: Model, fill: Fill) -> Fill | None:
    """The last report of an execution: by its order on any day, else by account, instrument and day."""
    mine = [f for f in model.fills if f.order is fill.order and f.number == fill.number]
    mine = mine or reports_of_day(model, fill)
    return max(mine, key=lambda f: f.revision) if mine else None


def reports_of_day(model: Model, fill: Fill) -> list[Fill]:
    """The reports with this fill number for this account, instrument and day."""
    return [f for f in model.fills if f.key == fill.key]


def reports_of_intent(model: Model, known: Fill) -> list[Fill]:
    """The reports with this fill number for the same intent."""
    return [f for f in model.fills if f.order.intent is known.order.intent and f.number == known.number]


def restate(model: Model, known: Fill, later: Fill) -> str:
    """Book the difference between a known execution and a later report of it."""
    more = max(later.fee_qty - known.fee_qty, ZERO)
    cash = later.cash - known.cash
    same = (later.notional, later.fee, later.tax) == (known.notional, known.fee, known.tax) and not more
    if known.busted or same:
        return "DUPLICATE"
    model.reached["restated at another price"] += later.notional != known.notional
    model.reached["restated with a fee in kind"] += more > 0
    known.notional, known.fee, known.tax = later.notional, later.fee, later.tax
    known.fee_qty += more
    holding = known.order.intent.holding
    model.positions[holding] = max(model.positions[holding], more) - more
    model.accounts[holding[0]].cash += cash
    release_unsent_intents(model, *holding)
    return "RESTATED"


def restate_total(model: Model, order: Order, notional: Decimal, fee: Decimal) -> str:
    """Book a total of the same quantity with another notional or fee, to the last fill of the order."""
    mine = [f for f in model.fills if f.order is order and not f.busted]
    if not mine:
        return "DUPLICATE"
    last = mine[-1]
    return restate(model, last, replace(last, notional=last.notional + notional, fee=last.fee + fee))


def apply_to_order(model: Model, order: Order, quantity: Decimal) -> None:
    order.answered, order.check_at = True, order.check_at or model.now + MINUTE
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


def apply_to_intent(intent: Intent, quantity: Decimal) -> None:
    filled = min(intent.filled + quantity, intent.quantity)
    intent.overfill += intent.filled + quantity - filled
    intent.filled = filled
    if not intent.closed:
        if filled == intent.quantity:
            intent.close("FILLED")
        elif intent.status not in WAITING:
            intent.status = "PARTIAL_FILLED"


def booked(model: Model, order: Order) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Quantity, notional, fee and tax of the fills of an order that stand."""
    mine = [f for f in model.fills if f.order is order and not f.busted]
    return (
        sum((f.quantity for f in mine), ZERO),
        sum((f.notional for f in mine), ZERO),
        sum((f.fee for f in mine), ZERO),
        sum((f.tax for f in mine), ZERO),
    )


def bust(model: Model, fill: Fill) -> str:
    fill = max(reports_of_day(model, fill), key=lambda f: f.revision)
    if fill.busted:
        return "DUPLICATE"
    fill.busted = True
    holding = fill.order.intent.holding
    model.positions[holding] = max(model.positions[holding], fill.change) - fill.change
    model.accounts[holding[0]].cash -= fill.cash
    release_unsent_intents(model, *holding)
    return "BUSTED"
