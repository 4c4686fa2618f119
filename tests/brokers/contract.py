"""What every broker adapter must do, as tests: inherit from BrokerContract and give it a bench.

    class TestMyBroker(BrokerContract):
        @pytest.fixture
        def bench(self) -> Bench:
            return MyBench()

A bench (bench.py) holds the adapter and the broker's own side, usually a simulator of its protocol.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.brokers.bench import Bench, never_raises, outcome
from tests.brokers.exchange import Fault
from workers.brokers import Accepted, Capabilities, Fill, Refusal, Total, Unknown

each_fault = pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())


class BrokerContract:
    """The tests."""

    async def test_it_says_what_it_can(self, bench: Bench) -> None:
        assert isinstance(bench.broker.can, Capabilities)

    # -- place ---------------------------------------------------------------------------------------------

    async def test_an_order_is_placed_once(self, bench: Bench) -> None:
        answer = await never_raises(bench.broker.place(bench.order()))

        assert isinstance(answer, Accepted)
        assert isinstance(answer.broker_order_id, str)
        assert await bench.count_orders() == 1

    async def test_the_same_client_order_id_twice_is_one_order(self, bench: Bench) -> None:
        if not bench.broker.can.client_order_ids:
            pytest.skip("the broker does not know our ids")
        order = bench.order()
        ref = await bench.placed(order)

        again = await never_raises(bench.broker.place(order))

        assert not isinstance(again, Accepted) or again.broker_order_id == ref.broker_order_id
        assert await bench.count_orders() == 1

    async def test_what_the_broker_refuses_is_a_refusal(self, bench: Bench) -> None:
        answer = await never_raises(bench.broker.place(bench.order(symbol=bench.unknown_symbol)))

        assert isinstance(answer, Refusal)
        assert (answer.code != "", answer.transient) == (True, False)
        assert await bench.count_orders() == 0

    @each_fault
    async def test_a_send_without_an_answer_is_unknown(self, bench: Bench, fault: Fault) -> None:
        bench.fail_next(fault)

        answer = await never_raises(bench.broker.place(bench.order()))

        assert isinstance(answer, Unknown)
        assert await bench.count_orders() <= 1

    async def test_an_order_whose_answer_was_lost_is_found(self, bench: Bench) -> None:
        order = bench.order()
        bench.fail_next(Fault.LOST_ANSWER)
        await never_raises(bench.broker.place(order))

        if bench.broker.can.client_order_ids:
            assert (await bench.state(bench.ref(order))).status == "OPEN"
        else:
            assert isinstance(await outcome(bench.broker.order_state(bench.ref(order))), Exception)

    # -- ask -----------------------------------------------------------------------------------------------

    async def test_an_order_the_broker_never_had_is_none(self, bench: Bench) -> None:
        never_sent = bench.ref(bench.order(), "12345678")

        assert await bench.broker.order_state(never_sent) is None
        assert await bench.broker.cancel(never_sent) is None

    async def test_the_state_follows_the_order(self, bench: Bench) -> None:
        order = bench.order()
        ref = await bench.placed(order)
        states = [await bench.state(ref)]
        for quantity in (4, 6):
            await bench.execute(order, Decimal(quantity))
            await bench.broker.refresh()
            states.append(await bench.state(ref))

        assert [(s.status, s.filled_qty) for s in states] == [("OPEN", 0), ("OPEN", 4), ("FILLED", 10)]
        assert {s.broker_order_id for s in states} == {ref.broker_order_id}
        assert {type(s.filled_qty) for s in states} == {Decimal}

    @each_fault
    async def test_a_state_that_is_not_certain_raises(self, bench: Bench, fault: Fault) -> None:
        ref = await bench.placed(bench.order())

        bench.fail_next(fault)

        assert isinstance(await outcome(bench.broker.order_state(ref)), Exception)

    # -- cancel --------------------------------------------------------------------------------------------

    async def test_a_cancel_ends_what_is_open_and_may_be_repeated(self, bench: Bench) -> None:
        order = bench.order()
        ref = await bench.placed(order)
        await bench.execute(order, Decimal(4))
        await bench.broker.refresh()

        for _ in range(2):
            state = await bench.broker.cancel(ref)
            assert state is not None
            assert state.filled_qty == 4
        state = await bench.state(ref)

        assert (state.status, state.filled_qty) == ("CANCELLED", 4)

    @each_fault
    async def test_a_cancel_without_an_answer_raises(self, bench: Bench, fault: Fault) -> None:
        ref = await bench.placed(bench.order())

        bench.fail_next(fault)

        assert isinstance(await outcome(bench.broker.cancel(ref)), Exception)

    # -- replace -------------------------------------------------------------------------------------------

    async def test_a_replacement_is_a_new_order_for_what_was_open(self, bench: Bench) -> None:
        self._needs_replace(bench)
        order = bench.order()
        ref = await bench.placed(order)
        await bench.execute(order, Decimal(4))
        await bench.broker.refresh()

        answer = await never_raises(bench.broker.replace(bench.amend(order, str(ref.broker_order_id))))

        assert isinstance(answer, Accepted)
        assert answer.broker_order_id != ref.broker_order_id
        assert answer.quantity in (None, 6)
        assert await bench.count_orders() == 2
        assert (await bench.state(ref)).status != "OPEN"

    @each_fault
    async def test_a_replace_without_an_answer_is_unknown(self, bench: Bench, fault: Fault) -> None:
        self._needs_replace(bench)
        order = bench.order()
        ref = await bench.placed(order)
        bench.fail_next(fault)

        answer = await never_raises(bench.broker.replace(bench.amend(order, str(ref.broker_order_id))))

        assert isinstance(answer, Unknown)

    async def test_an_order_that_ended_is_not_replaced(self, bench: Bench) -> None:
        self._needs_replace(bench)
        order = bench.order()
        ref = await bench.placed(order)
        await bench.broker.cancel(ref)

        answer = await never_raises(bench.broker.replace(bench.amend(order, str(ref.broker_order_id))))

        assert isinstance(answer, Refusal)
        assert await bench.count_orders() == 1

    async def test_who_cannot_replace_refuses_and_leaves_the_order(self, bench: Bench) -> None:
        if bench.broker.can.replace:
            pytest.skip("the broker replaces orders")
        order = bench.order()
        ref = await bench.placed(order)

        answer = await never_raises(bench.broker.replace(bench.amend(order, str(ref.broker_order_id))))

        assert isinstance(answer, Refusal)
        assert (await bench.state(ref)).status == "OPEN"

    def _needs_replace(self, bench: Bench) -> None:
        if not bench.broker.can.replace:
            pytest.skip("the broker replaces no orders")

    # -- fills ---------------------------------------------------------------------------------------------

    async def _three_executions(self, bench: Bench) -> None:
        """Two orders, of 10 and of 2, filled in turn: 3, 2, 7."""
        first, second = bench.order(10), bench.order(2, bench.other_symbol)
        await bench.placed(first)
        await bench.placed(second)
        for order, quantity in ((first, 3), (second, 2), (first, 7)):
            await bench.execute(order, Decimal(quantity))
            await bench.broker.refresh()

    async def test_an_empty_cursor_means_all_fills_oldest_first(self, bench: Bench) -> None:
        assert await bench.read() == []

        await self._three_executions(bench)

        quantities = [fill.quantity for fill in await bench.read()]
        assert quantities == ([3, 2, 7] if bench.broker.can.execution_ids else [2, 10])

    async def test_a_cursor_goes_on_after_its_fill_exactly_once(self, bench: Bench) -> None:
        await self._three_executions(bench)
        fills = await bench.read()

        for place, fill in enumerate(fills):
            assert await bench.read(fill.cursor) == fills[place + 1 :]

    async def test_a_fill_names_its_order_as_placing_did(self, bench: Bench) -> None:
        order = bench.order()
        ref = await bench.placed(order)
        await bench.execute(order, Decimal(4))

        (fill,) = await bench.read()

        assert isinstance(fill, Fill if bench.broker.can.execution_ids else Total)
        assert fill.broker_order_id == ref.broker_order_id
        assert fill.client_order_id in (None, order.client_order_id)

    async def test_money_is_decimal_and_times_have_a_zone(self, bench: Bench) -> None:
        await self._three_executions(bench)

        for fill in await bench.read():
            money = [fill.quantity, fill.price if isinstance(fill, Fill) else fill.notional]
            money += [cost for cost in (fill.fee, fill.tax) if cost is not None]
            assert {type(amount) for amount in money} == {Decimal}
            assert fill.filled_at.utcoffset() is not None

    @each_fault
    async def test_a_list_that_could_not_be_read_is_not_empty(self, bench: Bench, fault: Fault) -> None:
        order = bench.order()
        await bench.placed(order)
        await bench.execute(order, Decimal(4))
        await bench.broker.refresh()

        bench.fail_next(fault)

        answer = await outcome(bench.broker.fills_since(bench.account, ""))
        assert isinstance(answer, Exception) or len(answer) == 1
        assert len(await bench.read()) == 1

    # -- snapshot ------------------------------------------------------------------------------------------

    async def test_a_snapshot_has_holdings_and_cash_as_text(self, bench: Bench) -> None:
        before = await bench.broker.snapshot(bench.account)
        await self._three_executions(bench)

        after = await bench.broker.snapshot(bench.account)

        held = {symbol: quantity for symbol, quantity in after["holdings"].items() if Decimal(quantity)}
        assert {symbol: Decimal(quantity) for symbol, quantity in held.items()} == {
            bench.symbol: 10,
            bench.other_symbol: 2,
        }
        assert {type(number) for number in [*held.values(), before["cash"], after["cash"]]} == {str}
        assert Decimal(after["cash"]) < Decimal(before["cash"])

    @each_fault
    async def test_a_snapshot_that_could_not_be_read_raises(self, bench: Bench, fault: Fault) -> None:
        bench.fail_next(fault)

        assert isinstance(await outcome(bench.broker.snapshot(bench.account)), Exception)
