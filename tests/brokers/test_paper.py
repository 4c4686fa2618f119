"""The paper broker keeps the contract, in the database it lives in."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from tests.brokers.bench import Bench
from tests.brokers.contract import BrokerContract
from tests.brokers.exchange import Fault
from tests.brokers.floor import Connect, Floor
from workers.brokers import Amend, Order
from workers.brokers.paper import PaperBroker

UNREADABLE = {"fetchrow": {}, "fetch": [{}], "fetchval": "<html>", "execute": None}


class Wire:
    """The database as the adapter sees it, where the next query may fail like a request to a broker."""

    def __init__(self, db: Any) -> None:
        self.db = db
        self.fault: Fault | None = None

    def __getattr__(self, method: str) -> Any:
        async def ask(query: str, *args: Any) -> Any:
            fault, self.fault = self.fault, None
            if fault is Fault.LOST_REQUEST:
                raise ConnectionError("connection reset")
            if fault is Fault.SERVER_ERROR:
                raise asyncpg.InternalServerError("out of order")
            answer = await getattr(self.db, method)(query, *args)
            if fault is Fault.LOST_ANSWER:
                raise ConnectionError("connection reset")
            if fault is Fault.TIMEOUT:
                raise TimeoutError
            return UNREADABLE[method] if fault is Fault.GARBAGE else answer

        return ask


class PaperBench(Bench):
    """The adapter, and the floor whose prices make the paper broker fill orders."""

    def __init__(self, floor: Floor, wire: Wire) -> None:
        super().__init__()
        self._floor = floor
        self._wire = wire
        self.broker = PaperBroker(wire)

    async def count_orders(self) -> int:
        ((count,),) = self._floor.rows("select count(*) from paper.orders")
        return int(count)

    async def execute(self, order: Order | Amend, quantity: Decimal) -> None:
        """Quote the order's limit for just this quantity."""
        limit = int(order.limit_price)
        self._floor.quote(order.symbol, limit - 100, limit, int(quantity))

    def fail_next(self, fault: Fault) -> None:
        self._wire.fault = fault


class TestPaper(BrokerContract):
    @pytest.fixture
    async def bench(self, floor: Floor, connect: Connect) -> Bench:
        await floor.open_account("demo", "paper", deposit=10_000_000)
        return PaperBench(floor, Wire(await connect("aegis_w_execution")))
