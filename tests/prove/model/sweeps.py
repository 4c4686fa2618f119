"""How time, a change of mode and people end or release intents."""

from __future__ import annotations

from tests.prove.model.intents import worst_price
from tests.prove.model.records import DAY, WAITING, Intent, No
from tests.prove.model.state import Model


def expire_due(model: Model) -> int:
    due = [
        i for i in model.intents.values() if not i.closed and i.expires <= model.now and is_active(model, i)
    ]
    return sum(close_or_request_cancel(model, i, "EXPIRED") for i in due)


def enforce_modes(model: Model) -> int:
    count = 0
    for intent in [i for i in model.intents.values() if not i.closed]:
        verdict = model.verdict(intent.side)
        if verdict == "DENY" and is_active(model, intent):
            count += close_or_request_cancel(model, intent, "CANCELLED")
        elif verdict == "APPROVE" and intent.status == "NEW" and not intent.approved:
            intent.status = "PENDING_APPROVAL"
            intent.expires = max(intent.expires, model.now + DAY)
            count += 1
        elif verdict == "ALLOW" and intent.status == "PENDING_APPROVAL":
            if intent.kind == "EXIT" and not intent.by_pick:
                intent.close("CANCELLED")  # it fires again at the current price
                count += 1
            else:
                count += release_if_priced(model, intent)
    return count


def release_if_priced(model: Model, intent: Intent) -> bool:
    """Release an intent unless a fresh price is missing; return whether it was released."""
    try:
        release_intent(model, intent, approved=False)
    except No:
        return False
    return True


def release_intent(model: Model, intent: Intent, *, approved: bool) -> None:
    """Release an intent: price a sell without a limit now, and restart its time to live."""
    if intent.side == "SELL" and intent.limit is None:
        kind = "EXIT" if intent.escalated else intent.kind
        intent.worst = worst_price(model, model.instruments[intent.symbol], "SELL", kind, None)
    intent.status, intent.approved = "NEW", approved
    intent.expires = model.now + intent.ttl


def is_active(model: Model, intent: Intent) -> bool:
    """Whether it waits, or has an open order whose cancel was not requested."""
    return intent.status in WAITING or any(not o.cancel_asked for o in model.open_orders(intent))


def close_or_request_cancel(model: Model, intent: Intent, status: str) -> bool:
    if intent.closed:
        return False
    if intent.status in WAITING:
        intent.close(status)
    for order in model.open_orders(intent):
        order.cancel_asked = True
    return True


def approve(model: Model, intent: Intent) -> str:
    if intent.status != "PENDING_APPROVAL":
        raise No("TRL01")
    if model.verdict(intent.side) == "DENY":
        raise No("TRM01")
    release_intent(model, intent, approved=True)
    return "NEW"


def reject(model: Model, intent: Intent) -> str:
    if intent.status != "PENDING_APPROVAL":
        raise No("TRL01")
    intent.close("REJECTED")
    return "REJECTED"


def cancel_intent(model: Model, intent: Intent) -> str:
    if not close_or_request_cancel(model, intent, "CANCELLED"):
        return "it had already ended"
    return "cancelled" if intent.closed else "a cancel of its order was requested"
