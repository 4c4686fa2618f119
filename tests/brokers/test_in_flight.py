"""Execution waits for no answer: an order at a broker that is slow or silent delays no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.brokers.floor import Floor, Hire
from tests.brokers.template import TemplateBroker
from workers import execution as module
from workers.brokers import Accepted, Answer, Broker, Order
from workers.brokers.paper import PaperBroker
from workers.execution import Execution

CORNER = """
insert into trade.brokers (broker, is_real) values ('corner', false);
insert into trade.accounts (account, broker, broker_account, venue, currency)
values ('slow', 'corner', '1', 'SIM', 'KRW');
insert into trade.balances (account_id, cash)
select a.account_id, 1000000 from trade.accounts as a where a.account = 'slow';
update trade.accounts
set reconciled_at = bus.clock(), reconciled_run = (select n.run_number from bus.instance as n)
"""
STATUS = """
select a.account, o.status
from trade.orders as o
join trade.accounts as a using (account_id)
order by o.order_id
"""


class Slow(TemplateBroker):
    """Answers to orders when the test says so."""

    def __init__(self) -> None:
        super().__init__(None)
        self.answers: list[asyncio.Future[Answer]] = []

    async def place(self, order: Order) -> Answer:
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]

    async def fills_since(self, account: str, cursor: str) -> list[Any]:
        return []


class Both:
    """The paper broker, and a slow one for every other name."""

    def __init__(self, db: Any, slow: Broker) -> None:
        self._paper, self._slow = PaperBroker(db), slow

    def of(self, name: str) -> Broker:
        return self._paper if name == "paper" else self._slow


@pytest.fixture
async def live(floor: Floor, hire: Hire) -> tuple[Execution, Slow]:
    """Execution as in a process, with an account at the paper broker and one at a slow broker."""
    await floor.open_account("mine", "paper", deposit=1_000_000)
    floor.db.execute(CORNER.encode())
    worker, slow = await hire(Execution), Slow()
    worker.lockstep, worker.brokers = False, Both(worker.db, slow)
    return worker, slow


async def until(worker: Execution, fact: Callable[[], bool]) -> None:
    """Drain whenever the worker is woken, as its loop does, until the fact is true."""
    async with asyncio.timeout(20):
        while not fact():
            worker.wake.clear()
            while await worker.drain():
                pass
            if not fact():
                await worker.wake.wait()


def answered(slow: Slow, count: int) -> Callable[[], bool]:
    return lambda: len(slow.answers) == count


async def test_a_silent_broker_delays_no_order_of_another(floor: Floor, live: tuple[Execution, Slow]) -> None:
    worker, slow = live
    floor.buy("slow", 1, 70_000)
    await until(worker, answered(slow, 1))

    intent = floor.buy("mine", 1, 70_100)
    await until(worker, lambda: floor.rows("select intent_id from api.fills") == [(intent,)])

    assert floor.rows(STATUS) == [("slow", "SENDING"), ("mine", "FILLED")]
    slow.answers[0].set_result(Accepted("C1", None))
    await until(worker, lambda: floor.rows(STATUS)[0] == ("slow", "SUBMITTED"))


async def test_no_more_is_claimed_than_may_wait_for_an_answer(
    floor: Floor, live: tuple[Execution, Slow], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, slow = live
    monkeypatch.setattr(module, "IN_FLIGHT", 2)
    for _ in range(3):
        floor.buy("slow", 1, 70_000)

    await until(worker, answered(slow, 2))
    assert await worker.drain() == 0
    assert len(floor.rows(STATUS)) == 2

    slow.answers[0].set_result(Accepted("C1", None))
    await until(worker, answered(slow, 3))


async def test_a_failure_to_record_is_raised_by_the_next_drain(
    floor: Floor, live: tuple[Execution, Slow], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, slow = live

    async def fail(*_: object) -> None:
        raise RuntimeError("cannot record")

    monkeypatch.setattr(worker, "_record", fail)
    floor.buy("slow", 1, 70_000)
    await until(worker, answered(slow, 1))
    worker.wake.clear()
    slow.answers[0].set_result(Accepted("C1", None))
    await asyncio.wait_for(worker.wake.wait(), 20)

    with pytest.raises(RuntimeError, match="cannot record"):
        await worker.drain()
    await worker.drain()


async def test_an_answer_that_comes_after_the_stop_request_is_recorded(
    floor: Floor, live: tuple[Execution, Slow]
) -> None:
    worker, slow = live
    floor.buy("slow", 1, 70_000)
    await until(worker, answered(slow, 1))

    worker.request_stop()
    releasing: Awaitable[None] = asyncio.ensure_future(worker.release())
    await asyncio.sleep(0)
    slow.answers[0].set_result(Accepted("C1", None))
    await asyncio.wait_for(releasing, 20)

    assert floor.rows(STATUS) == [("slow", "SUBMITTED")]
