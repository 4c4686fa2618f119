"""All that the model holds, and the sums that are not stored: they follow from intents and stray orders."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from tests.prove.model.records import FEE, ZERO, Account, Fill, Holding, Instrument, Intent, Order


@dataclass
class Model:
    """The state of the model; its methods only read.  The walk sets `now` when it moves the clock."""

    now: dt.datetime
    instruments: dict[str, Instrument]
    accounts: dict[str, Account]
    strategy: str
    run: int
    mode: str = "NORMAL"
    positions: dict[Holding, Decimal] = field(default_factory=dict)
    intents: dict[int, Intent] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    alive: set[int] = field(default_factory=set)
    checked_at: dt.datetime | None = None
    reached: Counter[str] = field(default_factory=Counter)  # how often each interesting case occurred

    def locked_qty(self, holding: Holding) -> Decimal:
        strays = (o.stray_rest for o in self.strays("SELL") if o.intent.holding == holding)
        return sum((i.reserved_qty for i in self.intents.values() if i.holding == holding), sum(strays, ZERO))

    def locked_cash(self, account: str) -> Decimal:
        strays = (
            o.stray_rest * o.limit * (1 + FEE) for o in self.strays("BUY") if o.intent.account == account
        )
        return sum(
            (i.reserved_cash for i in self.intents.values() if i.account == account), sum(strays, ZERO)
        )

    def strays(self, side: str) -> list[Order]:
        return [o for o in self.orders.values() if o.stray and o.intent.side == side]

    def free_qty(self, holding: Holding) -> Decimal:
        return self.positions.get(holding, ZERO) - self.locked_qty(holding)

    def free_cash(self, account: str) -> Decimal:
        return self.accounts[account].cash - self.locked_cash(account)

    def open_orders(self, intent: Intent) -> list[Order]:
        return [o for o in self.orders.values() if o.intent is intent and not o.closed]

    def verdict(self, side: str) -> str:
        if self.mode == "NORMAL" or (self.mode == "SAFE" and side == "SELL"):
            return "ALLOW"
        return "APPROVE" if side == "SELL" else "DENY"

    def holdings(self, account: str) -> dict[str, Decimal]:
        total: dict[str, Decimal] = {}
        for (name, symbol, _), quantity in self.positions.items():
            if name == account:
                total[symbol] = total.get(symbol, ZERO) + quantity
        return total
