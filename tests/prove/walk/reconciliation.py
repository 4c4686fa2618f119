"""Steps that compare an account with what its broker holds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from psycopg.types.json import Jsonb

from tests.prove.model import accounts as accounts_model
from tests.prove.model.records import ZERO
from tests.prove.walk.walker import Walk


def agree(walk: Walk) -> None:
    account = walk.account()
    cash = walk.model.accounts[account].cash if walk.chance(50) else None
    reconcile(walk, account, walk.model.holdings(account), cash)


def disagree(walk: Walk) -> None:
    """The broker reports other holdings; if it reports them twice, ours are corrected."""
    account, symbol = walk.account(), walk.symbol()
    holdings = walk.model.holdings(account)
    change = walk.quantity(symbol) * walk.choices.one_of((-1, 1))
    holdings[symbol] = max(holdings.get(symbol, ZERO) + change, ZERO)
    cash = walk.model.accounts[account].cash + 777 * walk.choices.number(-1, 1)
    for _ in range(walk.choices.number(1, 2)):
        reconcile(walk, account, dict(holdings), cash)


def reconcile(walk: Walk, account: str, holdings: dict[str, Decimal], cash: Decimal | None) -> None:
    snapshot: dict[str, Any] = {"holdings": {s: str(q) for s, q in holdings.items()}}
    if cash is not None:
        snapshot["cash"] = str(cash)
    fingerprint = walk.place.ask("reconcile", "select holdings_fingerprint(%s)", account)
    walk.both(
        "reconcile",
        "select reconcile(%s, %s, %s)",
        (account, fingerprint, Jsonb(snapshot)),
        lambda: accounts_model.reconcile(walk.model, account, holdings, cash, fingerprint),
    )
