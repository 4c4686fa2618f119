"""A bench: an adapter and the broker's own side, on which the contract tests it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.brokers.exchange import Fault
from workers.brokers import Accepted, Amend, Answer, Broker, Fill, Order, OrderRef, OrderState, Total

ENOUGH = 50  # parts in which a few fills may come
SECOND = timedelta(seconds=1)


class Bench(ABC):
    """An adapter, and the broker's side of it: to look at it, and to make it do something."""

    broker: Broker
    account = "demo"
    symbol, other_symbol, unknown_symbol = "005930", "000660", "NONE"
    price = Decimal(69_000)
    """A limit at which a buy rests until `execute`."""

    def __init__(self) -> None:
        self._sent = 0

    @abstractmethod
    async def count_orders(self) -> int:
        """How many orders the broker has ever had."""

    @abstractmethod
    async def execute(self, order: Order | Amend, quantity: Decimal) -> None:
        """Make the broker fill part of an order; the adapter may have to `refresh` to learn of it."""

    @abstractmethod
    def fail_next(self, fault: Fault) -> None:
        """Make the next request of the adapter fail."""

    def order(self, quantity: int = 10, symbol: str | None = None) -> Order:
        """A buy that rests, not sent yet."""
        self._sent += 1
        return Order(
            order_id=self._sent,
            fence=1,
            client_order_id=f"e1-{self._sent}",
            broker="any",
            account=self.account,
            symbol=symbol or self.symbol,
            side="BUY",
            order_type="LIMIT",
            quantity=Decimal(quantity),
            limit_price=self.price,
            send_before=datetime.now(UTC) + SECOND,
            send_within=SECOND,
            answer_timeout=SECOND,
        )

    def amend(self, parent: Order, number: str) -> Amend:
        """A request to replace an order of this number by one with another limit."""
        self._sent += 1
        return Amend(
            order_id=self._sent,
            fence=1,
            client_order_id=f"e1-{self._sent}",
            parent_client_order_id=parent.client_order_id,
            parent_broker_order_id=number,
            broker=parent.broker,
            account=parent.account,
            symbol=parent.symbol,
            side=parent.side,
            quantity=parent.quantity,
            limit_price=parent.limit_price - 100,
            send_within=SECOND,
            answer_timeout=SECOND,
        )

    def ref(self, order: Order | Amend, number: str | None = None) -> OrderRef:
        return OrderRef(1, 1, order.client_order_id, number, order.broker, order.account, order.symbol)

    async def placed(self, order: Order) -> OrderRef:
        """Place an order that must be accepted."""
        answer = await never_raises(self.broker.place(order))
        assert isinstance(answer, Accepted), answer
        return self.ref(order, answer.broker_order_id)

    async def state(self, ref: OrderRef) -> OrderState:
        state = await self.broker.order_state(ref)
        assert state is not None
        return state

    async def read(self, cursor: str = "") -> list[Fill | Total]:
        """All fills after a cursor, read as execution does it."""
        await self.broker.refresh()
        found: list[Fill | Total] = []
        for _ in range(ENOUGH):
            part = await self.broker.fills_since(self.account, cursor)
            if not part:
                return found
            found += part
            cursor = part[-1].cursor
        raise AssertionError(f"after {ENOUGH} parts there are still fills: the cursor does not move on")


async def never_raises(answer: Awaitable[Answer]) -> Answer:
    """The answer of `place` or `replace`."""
    try:
        return await answer
    except Exception as error:
        raise AssertionError(f"place and replace answer Unknown where others raise {error!r}") from error


async def outcome(work: Awaitable[Any]) -> Any:
    """What it returns, or the exception it raises."""
    try:
        return await work
    except Exception as error:
        return error
