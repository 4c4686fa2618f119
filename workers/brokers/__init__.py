"""The interface of every broker adapter: a protocol, and answers that state only what is certain.

Placing an order has three outcomes, not two: accepted, refused, or unknown.  An adapter that is not sure
answers unknown, and SQL decides what follows.  Money and quantities stay `Decimal`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any, Protocol

from workers.runtime.database import Queries
from workers.runtime.errors import AegisError

ADAPTERS = {"paper": "workers.brokers.paper:PaperBroker"}


class UnknownBrokerError(AegisError):
    """There is no adapter for that broker."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order to send: a row of `api.claim_intents`. `send_within` counts from the claim."""

    order_id: int
    fence: int
    client_order_id: str
    broker: str
    account: str
    symbol: str
    side: str
    order_type: str
    quantity: Decimal
    limit_price: Decimal
    send_before: datetime
    send_within: timedelta


@dataclass(frozen=True, slots=True)
class OrderRef:
    """An order the broker may know: a row of `api.claim_cancels`, `claim_doubts` or `claim_checks`."""

    order_id: int
    fence: int
    client_order_id: str
    broker_order_id: str | None
    broker: str
    account: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Amend:
    """An order that replaces another: a row of `api.claim_amends`."""

    order_id: int
    fence: int
    client_order_id: str
    parent_client_order_id: str
    parent_broker_order_id: str
    broker: str
    account: str
    symbol: str
    side: str
    quantity: Decimal
    limit_price: Decimal
    send_within: timedelta


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker has the order under its own number; for an amend, `quantity` is what was left to replace."""

    broker_order_id: str
    quantity: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The broker certainly does not have the order; `transient` if the same order may be accepted soon."""

    code: str
    message: str
    transient: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """It is unknown whether the broker has the order."""

    detail: str


Answer = Accepted | Refusal | Unknown


@dataclass(frozen=True, slots=True)
class OrderState:
    """What the broker reports about an order; status is OPEN, FILLED, CANCELLED or REJECTED."""

    broker_order_id: str
    status: str
    filled_qty: Decimal
    message: str = ""


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution, as `api.record_fill` takes it.

    `fee` and `tax` are in the account's currency and None while the broker has not reported them.  `fee_qty`
    is a commission taken in the instrument itself.  When the same fill is reported again, SQL books a fee or
    tax that was missing or has changed, another price, and a higher `fee_qty`.  `cursor` is how far the
    broker's list has been read once this fill is recorded.
    """

    broker_fill_id: str
    broker_order_id: str
    client_order_id: str | None
    quantity: Decimal
    price: Decimal
    fee: Decimal | None
    tax: Decimal | None
    filled_at: datetime
    cursor: str
    fee_qty: Decimal = Decimal(0)


class Broker(Protocol):
    """One broker. A method that cannot be sure raises; only `place` and `replace` answer Unknown instead."""

    async def place(self, order: Order) -> Answer:
        """Send an order once. A lost connection does not raise: the answer is Unknown."""
        ...

    async def replace(self, amend: Amend) -> Answer:
        """Replace the open quantity of an order by a new order, once. A lost connection does not raise."""
        ...

    async def cancel(self, ref: OrderRef) -> OrderState | None:
        """Cancel the open quantity of an order; return its new state, None if the broker lacks it."""
        ...

    async def order_state(self, ref: OrderRef) -> OrderState | None:
        """Ask about one order; return None when the broker has no such order."""
        ...

    async def fills_since(self, account: str, cursor: str) -> Sequence[Fill]:
        """Executions after the cursor, oldest first; an empty cursor means all."""
        ...

    async def snapshot(self, account: str) -> Mapping[str, Any]:
        """The account as `{"holdings": {symbol: quantity}, "cash": amount}`, numbers as text."""
        ...


class Brokers:
    """The adapters of this process, each created when it is first needed."""

    def __init__(self, db: Queries) -> None:
        self._db = db
        self._made: dict[str, Broker] = {}

    def of(self, name: str) -> Broker:
        if name not in self._made:
            if name not in ADAPTERS:
                raise UnknownBrokerError(
                    f"there is no adapter for broker {name}", hint=f"The adapters are {', '.join(ADAPTERS)}."
                )
            module, _, cls = ADAPTERS[name].partition(":")
            self._made[name] = getattr(import_module(module), cls)(self._db)
        return self._made[name]
