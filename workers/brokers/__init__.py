"""What every broker is to the workers: a protocol, and answers that say only what is certain.

Placing an order has three outcomes and never two: accepted, refused, or unknown.  An adapter that is not
sure says unknown; what follows from it is decided in SQL.  Money and quantities stay `Decimal`.
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
    """There is no adapter of that name."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order to send: the row of `api.claim_intents`. `send_within` counts from the claim."""

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
    """An order the broker may know: the row of `api.claim_cancels`, `claim_doubts`, `claim_checks`."""

    order_id: int
    fence: int
    client_order_id: str
    broker_order_id: str | None
    broker: str
    account: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Amend:
    """An order that shall take the place of another: the row of `api.claim_amends`."""

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
    """The broker has the order under its own number; for an amend also the quantity that was left."""

    broker_order_id: str
    quantity: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The broker certainly does not have the order; transient if the same order may be fine in a moment."""

    code: str
    message: str
    transient: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether the broker has the order."""

    detail: str


Answer = Accepted | Refusal | Unknown


@dataclass(frozen=True, slots=True)
class OrderState:
    """What the broker says of an order; status is OPEN, FILLED, CANCELLED or REJECTED."""

    broker_order_id: str
    status: str
    filled_qty: Decimal
    message: str = ""


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution, as `api.record_fill` takes it.

    `fee` and `tax` are in the account's currency and None while the broker has not told them: told again with
    them they are booked then, like another price or more `fee_qty`, a commission in the instrument itself.
    `cursor` is how far the broker's list has been read when this one is recorded.
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
    """One broker. A method that cannot be sure raises; only `place` must answer Unknown itself."""

    async def place(self, order: Order) -> Answer:
        """Send an order once. Never raises for a lost connection: that is Unknown."""
        ...

    async def replace(self, amend: Amend) -> Answer:
        """Replace what is open of an order by another, once. Never raises for a lost connection."""
        ...

    async def cancel(self, ref: OrderRef) -> OrderState | None:
        """Cancel what is open of an order; its state after that, None when the broker has no such order."""
        ...

    async def order_state(self, ref: OrderRef) -> OrderState | None:
        """A targeted question about one order; None when the broker has no such order."""
        ...

    async def fills_since(self, account: str, cursor: str) -> Sequence[Fill]:
        """Executions after the cursor, oldest first; '' for all there are."""
        ...

    async def snapshot(self, account: str) -> Mapping[str, Any]:
        """`{"holdings": {symbol: quantity}, "cash": amount}`, numbers as text."""
        ...


class Brokers:
    """The adapters of this process, each made when it is first needed."""

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
