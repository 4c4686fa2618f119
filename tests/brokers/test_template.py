"""The template keeps the contract, and so do its like for brokers that can do less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from tests.brokers.bench import Bench
from tests.brokers.contract import BrokerContract
from tests.brokers.exchange import Exchange, Fault
from tests.brokers.template import TemplateBroker
from workers.brokers import Amend, Answer, Order, OrderRef, OrderState, Refusal, Total


class TemplateBench(Bench):
    """An adapter like the template, and the exchange in memory."""

    def __init__(self, adapter: type[TemplateBroker] = TemplateBroker) -> None:
        super().__init__()
        self.exchange = Exchange((self.symbol, self.other_symbol))
        self.broker = adapter(None, self.exchange)  # type: ignore[arg-type]

    async def count_orders(self) -> int:
        return len(self.exchange.orders)

    async def execute(self, order: Order | Amend, quantity: Decimal) -> None:
        self.exchange.execute(order.client_order_id, quantity)

    def fail_next(self, fault: Fault) -> None:
        self.exchange.fail_next(fault)


class WithoutReplace(TemplateBroker):
    """For a broker that replaces no orders."""

    can = replace(TemplateBroker.can, replace=False)

    async def replace(self, amend: Amend) -> Answer:
        return Refusal("CANNOT_REPLACE", "this broker replaces no orders")


class WithoutClientIds(TemplateBroker):
    """For a broker that knows an order only by the number it gave it."""

    can = replace(TemplateBroker.can, client_order_ids=False)

    async def _state(self, call: str, ref: OrderRef) -> OrderState | None:
        if ref.broker_order_id is None:
            raise LookupError(f"the broker's number of order {ref.order_id} is not known")
        return await super()._state(call, replace(ref, client_order_id=ref.broker_order_id))


class WithTotals(TemplateBroker):
    """For a broker that reports what an order has been filled in all, not each execution."""

    can = replace(TemplateBroker.can, execution_ids=False)

    async def fills_since(  # type: ignore[override]
        self, account: str, cursor: str
    ) -> Sequence[Total]:
        return [
            Total(
                broker_order_id=total["order"],
                client_order_id=None,
                quantity=Decimal(total["quantity"]),
                notional=Decimal(total["notional"]),
                fee=Decimal(total["fee"]),
                tax=None,
                filled_at=datetime.fromisoformat(total["at"]),
                cursor=total["seq"],
            )
            for total in await self._read("totals", account=account, after=cursor or "0")
        ]


class TestTemplate(BrokerContract):
    @pytest.fixture(params=[TemplateBroker, WithoutReplace, WithoutClientIds, WithTotals])
    def bench(self, request: pytest.FixtureRequest) -> Bench:
        return TemplateBench(request.param)
