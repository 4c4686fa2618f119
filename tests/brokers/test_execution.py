"""What execution does with any broker: how long it waits, when it refreshes, what it books."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest

from tests.brokers.floor import Floor, Hire
from tests.brokers.template import TemplateBroker
from tests.brokers.test_template import WithTotals
from workers.brokers import (
    Amend,
    Answer,
    Broker,
    Fill,
    Order,
    OrderRef,
    OrderState,
    Unknown,
    UnknownBrokerError,
)
from workers.brokers.paper import PaperBroker
from workers.execution import Execution


class Only:
    """In place of all adapters: the same one, whatever the name."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def of(self, name: str) -> Broker:
        return self._broker


class Silent(TemplateBroker):
    """Never answers to an order, and notes how long it was waited for."""

    waited = 0.0

    async def place(self, order: Order) -> Answer:
        began = asyncio.get_running_loop().time()
        try:
            return await asyncio.Future()
        finally:
            self.waited = asyncio.get_running_loop().time() - began


async def test_the_row_of_a_broker_says_how_long_its_answer_is_waited_for(floor: Floor, hire: Hire) -> None:
    await floor.open_account("mine", "paper", deposit=1_000_000)
    floor.db.execute("update trade.brokers set answer_timeout = '50 ms'")
    execution, broker = await hire(Execution), Silent(None)
    execution.brokers = Only(broker)

    floor.buy("mine", 1, 70_000)
    await execution.drain()

    assert floor.rows("select status from api.orders") == [("IN_DOUBT",)]
    assert 0.04 < broker.waited < 2.5  # the default is 5 s
    ((detail,),) = floor.rows("select data ->> 'detail' from bus.events where change = 'unknown answer'")
    assert detail == "no answer within 0.05 s"


async def test_an_amend_carries_the_answer_timeout_too(floor: Floor, hire: Hire) -> None:
    await floor.open_account("mine", "paper", deposit=1_000_000)
    execution = await hire(Execution)
    floor.buy("mine", 1, 69_000)
    await execution.drain()
    floor.db.execute("update trade.brokers set answer_timeout = '50 ms'")
    floor.db.execute("update trade.orders set amend_at = bus.clock(), amend_price = 68900")
    seen = []

    class Noting(PaperBroker):
        async def replace(self, amend: Amend) -> Answer:
            seen.append(amend.answer_timeout)
            return await super().replace(amend)

    execution.brokers = Only(Noting(execution.db))
    await execution.drain()

    assert [timeout.total_seconds() for timeout in seen] == [0.05]


async def test_paper_orders_are_matched_though_no_fill_is_unread(floor: Floor, hire: Hire) -> None:
    await floor.open_account("mine", "paper", deposit=1_000_000)
    execution = await hire(Execution)
    intent = floor.buy("mine", 1, 69_000)
    await execution.drain()
    assert floor.rows("select status, filled_qty from paper.orders") == [("OPEN", 0)]

    floor.quote("005930", 68_900, 69_000)
    await execution.drain()

    assert floor.rows("select intent_id, quantity from api.fills") == [(intent, 1)]


async def test_a_broker_is_refreshed_once_before_the_fills_of_all_its_accounts(
    floor: Floor, hire: Hire
) -> None:
    said = []

    class Noting(TemplateBroker):
        async def refresh(self) -> None:
            said.append("refresh")

        async def fills_since(self, account: str, cursor: str) -> Sequence[Fill]:
            said.append(account)
            return []

    for account in ("mine", "yours"):
        await floor.open_account(account, "paper")
    floor.db.execute("update trade.brokers set fills_view = null")
    execution = await hire(Execution)
    execution.brokers = Only(Noting(None))

    await execution.drain()

    assert said == ["refresh", "mine", "yours"]


async def test_a_broker_that_cannot_refresh_stops_no_other(floor: Floor, hire: Hire) -> None:
    class Deaf(TemplateBroker):
        async def refresh(self) -> None:
            raise ConnectionError("the broker cannot be reached")

    floor.db.execute("insert into trade.brokers (broker, is_real) values ('deaf', false)")
    execution = await hire(Execution)
    paper, deaf = PaperBroker(execution.db), Deaf(None)
    execution.brokers = type("Both", (), {"of": lambda _, name: deaf if name == "deaf" else paper})()
    floor.desk.execute("select add_account('theirs', 'deaf', 'SIM', 'KRW')")  # comes first
    with pytest.raises(UnknownBrokerError):  # from reconcile, for the account that comes first
        await floor.open_account("mine", "paper", deposit=1_000_000)
    floor.buy("mine", 1, 70_100)

    with pytest.raises(ConnectionError, match="cannot be reached"):
        await execution.drain()

    assert floor.rows("select account, quantity from api.fills") == [("mine", 1)]


async def test_an_order_is_not_lost_before_the_fills_were_refreshed(floor: Floor, hire: Hire) -> None:
    """The broker has filled an order whose answer was lost, and has forgotten the order since."""

    class Polling(TemplateBroker):
        polled: Sequence[Fill] = ()

        async def place(self, order: Order) -> Answer:
            await super().place(order)
            self.exchange.execute(order.client_order_id, order.quantity)
            return Unknown("the connection was lost")

        async def order_state(self, ref: OrderRef) -> OrderState | None:
            return None

        async def refresh(self) -> None:
            self.polled = await super().fills_since("mine", "")

        async def fills_since(self, account: str, cursor: str) -> Sequence[Fill]:
            return [fill for fill in self.polled if not cursor]

    await floor.open_account("mine", "paper", deposit=1_000_000)
    execution = await hire(Execution)
    execution.brokers = Only(Polling(None))

    floor.buy("mine", 1, 70_000)
    await execution.drain()

    assert floor.rows("select status, filled_qty from api.orders") == [("FILLED", 1)]


async def test_of_totals_what_is_new_is_booked(floor: Floor, hire: Hire) -> None:
    await floor.open_account("mine", "paper", deposit=10_000_000)
    floor.db.execute("update trade.brokers set fills_view = null")
    execution, broker = await hire(Execution), WithTotals(None)
    execution.brokers = Only(broker)
    floor.buy("mine", 10, 70_000)
    await execution.drain()
    (client_id,) = broker.exchange.orders

    for quantity in (4, 6):
        broker.exchange.execute(client_id, Decimal(quantity))
        await execution.drain()
    await execution.drain()

    assert floor.rows("select quantity, price, fee, tax from api.fills order by fill_id") == [
        (4, 70_000, Decimal("1.5"), 0),
        (6, 70_000, Decimal("1.5"), 0),
    ]
    assert floor.rows("select status from api.orders") == [("FILLED",)]
