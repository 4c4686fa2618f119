"""Cash, and the comparison of an account with its broker."""

from __future__ import annotations

from decimal import Decimal

from tests.prove.model.intents import release_unsent_intents
from tests.prove.model.records import ZERO
from tests.prove.model.state import Model


def record_cash(model: Model, account: str, amount: Decimal) -> Decimal:
    model.accounts[account].cash += amount
    release_unsent_intents(model, account)
    return model.accounts[account].cash


def reconcile(
    model: Model, name: str, holdings: dict[str, Decimal], cash: Decimal | None, fingerprint: str
) -> str:
    account = model.accounts[name]
    found = differences(model, name, holdings, cash)
    moving = in_flight(model, name)
    waiting = {item for item in found if item in moving}
    answer = "AGREES"
    if found and found.keys() == waiting:
        answer = "WAITS"
    elif found:
        answer = "CORRECTED" if account.last_run == ("DIFFERS", found, fingerprint) else "DIFFERS"
    account.last_run = answer, dict(found), fingerprint
    model.reached[answer] += 1
    if answer == "AGREES":
        account.reconciled_run = model.run
    elif answer == "CORRECTED":
        for item in waiting:
            del found[item]
        account.cash += found.pop("cash", ZERO)
        release_unsent_intents(model, name)
        for symbol, change in found.items():
            correct_holding(model, name, symbol, change)
    return answer


def differences(
    model: Model, name: str, holdings: dict[str, Decimal], cash: Decimal | None
) -> dict[str, Decimal]:
    """By how much the broker has more than we, for each symbol and for `cash`, where it differs."""
    account, ours = model.accounts[name], model.holdings(name)
    found = {
        s: holdings.get(s, ZERO) - ours.get(s, ZERO)
        for s in {*ours, *holdings}
        if holdings.get(s, ZERO) != ours.get(s, ZERO)
    }
    if cash is not None and cash != account.cash:
        found["cash"] = cash - account.cash
    return found


def in_flight(model: Model, name: str) -> set[str]:
    """The symbols that a live order of this account may be moving; with any of them, `cash` too."""
    symbols = {
        o.intent.symbol
        for o in model.orders.values()
        if (not o.closed or o.stray) and o.intent.account == name
    }
    return symbols | {"cash"} if symbols else symbols


def correct_holding(model: Model, account: str, symbol: str, change: Decimal) -> None:
    """Give what is more to `manual`, and take what is less from `manual` first."""
    manual = (account, symbol, "manual")
    if change > 0:
        model.positions[manual] = model.positions.get(manual, ZERO) + change
        return
    for holding in (manual, (account, symbol, model.strategy)):
        part = min(model.positions.get(holding, ZERO), -change)
        if part:
            model.positions[holding] -= part
            change += part
            release_unsent_intents(model, *holding)
