"""A broker in memory, spoken to as over HTTP: requests with named fields, answers with a status and JSON.

It is a simulator of the broker's protocol, such as you write for the broker you add.  It fills nothing by
itself: `execute` fills part of an order.  `fail_next` breaks the next request in one of the ways that happen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

OPENED = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
PAGE = 2  # fills in one answer; small, so that a test needs several


class Fault(StrEnum):
    """A way in which a request fails without saying what became of it."""

    LOST_REQUEST = "the connection is lost before the broker has heard it"
    LOST_ANSWER = "the connection is lost after the broker has done it"
    TIMEOUT = "nothing comes back in time"
    SERVER_ERROR = "the broker answers that it has an error of its own"
    GARBAGE = "the answer cannot be read"


@dataclass
class Reply:
    """What comes back: a status as in HTTP, and a text that should be JSON."""

    status: int
    text: str


@dataclass
class Listed:
    """An order as the exchange keeps it."""

    number: str
    fields: dict[str, str]
    status: str = "OPEN"
    filled: Decimal = Decimal(0)

    @property
    def open_quantity(self) -> Decimal:
        return Decimal(self.fields["quantity"]) - self.filled if self.status == "OPEN" else Decimal(0)


class Exchange:
    """The broker's side: symbols, orders by our client id, and a list of executions."""

    def __init__(self, symbols: tuple[str, ...] = ("005930", "000660")) -> None:
        self.symbols = symbols
        self.orders: dict[str, Listed] = {}
        self.fills: list[dict[str, str]] = []
        self._fault: Fault | None = None

    def fail_next(self, fault: Fault) -> None:
        """Break the next request."""
        self._fault = fault

    def execute(self, client_id: str, quantity: Decimal) -> None:
        """Fill part of an order at its limit."""
        order = self.orders[client_id]
        assert quantity <= order.open_quantity
        order.filled += quantity
        order.status = "OPEN" if order.open_quantity else "FILLED"
        number = len(self.fills) + 1
        self.fills.append({
            "seq": str(number), "id": f"E{number}", "order": order.number, "client_id": client_id,
            "account": order.fields["account"], "quantity": str(quantity), "price": order.fields["price"],
            "fee": "1.5", "tax": "0", "at": (OPENED + timedelta(seconds=number)).isoformat(),
        })  # fmt: skip

    async def request(self, call: str, **fields: str) -> Reply:
        """Do what is asked; raise ConnectionError or TimeoutError when no answer comes back."""
        fault, self._fault = self._fault, None
        if fault is Fault.LOST_REQUEST:
            raise ConnectionError("connection reset")
        if fault is Fault.SERVER_ERROR:
            return Reply(503, '{"error": "busy"}')
        status, answer = getattr(self, f"_{call}")(**fields)
        if fault is Fault.LOST_ANSWER:
            raise ConnectionError("connection reset")
        if fault is Fault.TIMEOUT:
            raise TimeoutError
        return Reply(status, "<html>" if fault is Fault.GARBAGE else json.dumps(answer))

    def _place(self, **fields: str) -> tuple[int, Any]:
        if fields["symbol"] not in self.symbols:
            return 422, {"error": "unknown_symbol", "message": f"{fields['symbol']} is not traded here"}
        order = self.orders.setdefault(fields["client_id"], Listed(str(1001 + len(self.orders)), fields))
        return 201, _shown(order)

    def _replace(self, parent: str, client_id: str, price: str) -> tuple[int, Any]:
        order = self._find(parent)
        if order is None or not order.open_quantity:
            return 409, {"error": "not_open", "message": "there is nothing open to replace"}
        rest = {"client_id": client_id, "price": price, "quantity": str(order.open_quantity)}
        order.status = "CANCELLED"
        return self._place(**{**order.fields, **rest})

    def _cancel(self, key: str) -> tuple[int, Any]:
        order = self._find(key)
        if order is not None and order.status == "OPEN":
            order.status = "CANCELLED"
        return self._order(key)

    def _order(self, key: str) -> tuple[int, Any]:
        order = self._find(key)
        return (404, {"error": "no_such_order"}) if order is None else (200, _shown(order))

    def _find(self, key: str) -> Listed | None:
        """An order by our client id or by its number."""
        return next((o for client_id, o in self.orders.items() if key in (client_id, o.number)), None)

    def _fills(self, account: str, after: str) -> tuple[int, Any]:
        later = [f for f in self.fills if f["account"] == account and int(f["seq"]) > int(after)]
        return 200, later[:PAGE]

    def _totals(self, account: str, after: str) -> tuple[int, Any]:
        """What each order has been filled in all, by its last execution."""
        totals: dict[str, dict[str, str]] = {}
        for fill in (f for f in self.fills if f["account"] == account):
            known = totals.pop(fill["order"], {"quantity": "0", "notional": "0", "fee": "0"})
            notional = Decimal(fill["quantity"]) * Decimal(fill["price"])
            totals[fill["order"]] = {
                **{name: fill[name] for name in ("seq", "order", "at")},
                "quantity": str(Decimal(known["quantity"]) + Decimal(fill["quantity"])),
                "notional": str(Decimal(known["notional"]) + notional),
                "fee": str(Decimal(known["fee"]) + Decimal(fill["fee"])),
            }
        return 200, [t for t in totals.values() if int(t["seq"]) > int(after)][:PAGE]

    def _account(self, account: str) -> tuple[int, Any]:
        held: dict[str, Decimal] = {}
        cash = Decimal(0)
        for fill in (f for f in self.fills if f["account"] == account):
            order = next(o for o in self.orders.values() if o.number == fill["order"])
            sign = 1 if order.fields["side"] == "BUY" else -1
            symbol, quantity = order.fields["symbol"], sign * Decimal(fill["quantity"])
            held[symbol] = held.get(symbol, Decimal(0)) + quantity
            cash -= quantity * Decimal(fill["price"]) + Decimal(fill["fee"]) + Decimal(fill["tax"])
        return 200, {"holdings": {symbol: str(qty) for symbol, qty in held.items()}, "cash": str(cash)}


def _shown(order: Listed) -> dict[str, str]:
    return {
        "id": order.number,
        "status": order.status,
        "filled": str(order.filled),
        "quantity": order.fields["quantity"],
    }
