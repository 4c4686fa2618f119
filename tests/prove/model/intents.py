"""Decisions: at what price an intent is admitted, and which waiting ones end when cover is missing."""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_FLOOR, Decimal

from tests.prove.model.records import BUYS, DAY, SELLS, STOP_CAP, TAKER_CAP, WAITING, Instrument, Intent, No
from tests.prove.model.state import Model


def worst_price(model: Model, instrument: Instrument, side: str, kind: str, limit: Decimal | None) -> Decimal:
    price = limit
    if price is None:
        if not instrument.is_fresh(model.now):
            raise No("TRP01")
        cap = STOP_CAP if kind in ("EXIT", "FLATTEN") else TAKER_CAP
        price = instrument.ask * (1 + cap) if side == "BUY" else instrument.bid * (1 - cap)
    price = instrument.to_tick(price, side)
    if price <= 0:
        raise No("TRI01")
    return price


def create_intent(
    model: Model,
    account: str,
    symbol: str,
    side: str,
    quantity: Decimal,
    limit: Decimal | None,
    owner: str,
    kind: str,
    key: str,
    ttl: dt.timedelta,
) -> Intent:
    """The intent to create, without its id, or the existing intent with this key."""
    if kind not in (BUYS if side == "BUY" else SELLS):
        raise No("TRI01")
    if model.verdict(side) == "DENY":
        raise No("TRM01")
    asked = (symbol, owner, kind, side, quantity, limit)
    known = next((i for i in model.intents.values() if (i.account, i.key) == (account, key)), None)
    if known:
        if known.asked != asked:
            raise No("TRI03")
        return known
    instrument = model.instruments[symbol]
    quantity = (quantity / instrument.lot).to_integral_value(ROUND_FLOOR) * instrument.lot
    worst = worst_price(model, instrument, side, kind, limit)
    if quantity <= 0 or quantity * worst < instrument.least:
        raise No("TRI01")
    approve = model.verdict(side) == "APPROVE"
    intent = Intent(
        0, account, symbol, owner, kind, side, quantity, None if limit is None else worst, worst,
        "PENDING_APPROVAL" if approve else "NEW",
        model.now + (max(ttl, DAY) if approve else ttl), ttl=ttl, key=key, asked=asked,
    )  # fmt: skip
    check_admission(model, intent)
    return intent


def check_admission(model: Model, intent: Intent) -> None:
    """Refuse a new intent if there is a breach or too little free cash or quantity."""
    if intent.side == "BUY" and model.free_cash(intent.account) < 0:
        raise No("TRC02")
    if any(model.free_qty(h) < 0 for h in model.positions if h[:2] == intent.holding[:2]):
        raise No("TRQ02")
    if intent.reserved_qty > model.free_qty(intent.holding):
        raise No("TRQ01")
    if intent.side == "BUY" and intent.reserved_cash > model.free_cash(intent.account):
        raise No("TRC01")


def release_unsent_intents(model: Model, account: str, symbol: str = "", owner: str = "") -> None:
    """Cancel waiting intents, the newest first, until what is left of cash or shares covers the others."""
    for intent in sorted(model.intents.values(), key=lambda i: -i.id):
        if intent.account != account or intent.status not in WAITING:
            continue
        if intent.side == "BUY":
            if model.free_cash(account) < 0:
                model.reached["buy shed"] += 1
                intent.close("CANCELLED")
        elif intent.holding == (account, symbol, owner) and model.free_qty(intent.holding) < 0:
            model.reached["sell shed"] += 1
            intent.close("CANCELLED")
