"""The interface of every broker adapter: a protocol, and answers that state only what is certain.

Placing an order has three outcomes, not two: accepted, refused, or unknown.  An adapter that is not sure
answers unknown, and SQL decides what follows.  Money and quantities stay `Decimal`.

The adapter of broker `kis` is the module `kis` of this package; its `ADAPTER` is a class, or a function,
that takes the database and returns a `Broker`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Protocol

from workers.runtime.database import Queries
from workers.runtime.errors import AegisError

NAME = re.compile(r"[a-z][a-z0-9_]*")  # as in trade.brokers: the name becomes part of an import


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
    answer_timeout: timedelta


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
    answer_timeout: timedelta


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


@dataclass(frozen=True, slots=True)
class Total:
    """What an order has been filled in all, as `api.record_cumulative` takes it; SQL books what is new of it.

    `notional` is quantity times price over all executions, 0 while the broker has not reported it.  `fee` and
    `tax` are None while it has not.  `cursor` is as in `Fill`.
    """

    broker_order_id: str
    client_order_id: str | None
    quantity: Decimal
    notional: Decimal
    fee: Decimal | None
    tax: Decimal | None
    filled_at: datetime
    cursor: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a broker can do, and what follows for its adapter."""

    replace: bool
    """The broker replaces an order in one request, and the new order has a number of its own.  If False,
    `replace` answers a Refusal and sends nothing: SQL then has the order cancelled."""

    client_order_ids: bool
    """The broker keeps our `client_order_id` and finds an order by it.  If False, `order_state` raises when
    `broker_order_id` is None, since side, quantity and time, by which to look for the order, are not in an
    OrderRef.  The order stays in doubt until a person has looked at the broker (`aegis declare-lost`)."""

    execution_ids: bool
    """The broker gives every execution an id, which `Fill` carries.  If False, `fills_since` returns a Total
    for each order that has changed after the cursor."""

    streams: bool
    """The broker sends executions by itself.  The adapter then begins to listen in its first `refresh`, and
    reads from the broker's lists what a broken connection has missed: `fills_since` leaves nothing out."""


class Broker(Protocol):
    """One broker. A method that cannot be sure raises; only `place` and `replace` answer Unknown instead."""

    can: Capabilities

    async def place(self, order: Order) -> Answer:
        """Send an order once. A lost connection does not raise: the answer is Unknown."""
        ...

    async def replace(self, amend: Amend) -> Answer:
        """Replace the open quantity of an order by a new order, once. A lost connection does not raise."""
        ...

    async def refresh(self) -> None:
        """Called once before the fills of the broker's accounts are read.

        A simulated broker matches here; a real one may ask once for all its accounts.  Most do nothing.
        """
        ...

    async def cancel(self, ref: OrderRef) -> OrderState | None:
        """Cancel the open quantity of an order; return its new state, None if the broker lacks it."""
        ...

    async def order_state(self, ref: OrderRef) -> OrderState | None:
        """Ask about one order; return None when the broker has no such order."""
        ...

    async def fills_since(self, account: str, cursor: str) -> Sequence[Fill | Total]:
        """Executions (or totals) after the cursor, oldest first; an empty cursor means all.

        It may return only the oldest of them; an empty list means that there are no more.  A cursor is the
        adapter's own text of at most 4,000 bytes.
        """
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
        """The adapter of this name; raise UnknownBrokerError if this package has none."""
        if name not in self._made:
            self._made[name] = _adapter(name)(self._db)
        return self._made[name]


def _adapter(name: str) -> Callable[[Queries], Broker]:
    """What creates the adapter of this name."""
    found = sorted(module.name for module in iter_modules(__path__) if NAME.fullmatch(module.name))
    if name not in found:  # asked for first, so that an ImportError is of what the adapter itself imports
        raise UnknownBrokerError(
            f"there is no adapter for broker {name}", hint=f"The adapters are {', '.join(found)}."
        )
    module = import_module(f"{__name__}.{name}")
    if not hasattr(module, "ADAPTER"):
        raise UnknownBrokerError(
            f"the module {module.__name__} names no adapter", hint="Add ADAPTER = its class to the module."
        )
    adapter: Callable[[Queries], Broker] = module.ADAPTER
    return adapter
