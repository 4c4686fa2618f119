"""A broker that forgets orders, and one that gets an order after we gave it up, with real workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.system import System

INTENT = "select create_intent('demo', '005930', 'BUY', 1, 10000, 'a test', p_ttl => '1 day')"
BROKER = "update trade.brokers set answer_timeout = {}, check_every = {}, lease = {}"
FORGET = (
    "delete from paper.orders where client_order_id = (select client_order_id from trade.orders where {})"
)


@pytest.fixture
def quick(trading: System) -> Iterator[System]:
    """A trading system whose broker must answer in 500 ms and is asked about live orders every second."""
    trading.admin.execute(BROKER.format("'500 ms'", "'1 s'", "'1 s'").encode())
    yield trading
    trading.admin.execute(BROKER.format("'5 s'", "'1 min'", "'10 s'").encode())
    trading.admin.execute("update risk.incidents set closed_at = now() where closed_at is null")


def resting(system: System) -> tuple[int, int]:
    """Place a buy far below the market; return the ids of intent and order once the broker accepted it."""
    with system.desk() as desk:
        found = desk.execute(INTENT).fetchone()
    assert found is not None
    (intent,) = found
    system.wait_for(
        "select status = 'SUBMITTED' from trade.orders where intent_id = %s", [intent], what="it to rest"
    )
    return intent, system.value("select order_id from trade.orders where intent_id = %s", [intent])


def forget(system: System, order: int) -> None:
    system.admin.execute(FORGET.format(f"order_id = {order}").encode())


def wait_for_the_end(system: System, order: int) -> None:
    system.wait_for(
        "select closed_at is not null from trade.orders where order_id = %s",
        [order],
        what="it to be given up",
    )


@pytest.mark.parametrize("asked_to_cancel", [True, False])
def test_an_order_that_the_broker_forgot_ends_and_frees_its_cash(
    quick: System, asked_to_cancel: bool
) -> None:
    intent, order = resting(quick)
    forget(quick, order)

    if asked_to_cancel:
        with quick.desk() as desk:
            desk.execute("select cancel_intent(%s, 'a test')", [intent])

    wait_for_the_end(quick, order)
    ended = quick.rows(
        "select status, reserved_cash, closed_reason from trade.order_intents where intent_id = %s", [intent]
    )
    assert ended == [("CANCELLED", 0, "the broker no longer has it")]
    reported = (
        "select count(*) from risk.incidents where kind = 'lost_order' and subject = %s and closed_at is null"
    )
    assert quick.value(reported, [f"order {order}"]) == 1


def test_an_order_that_arrives_at_the_broker_after_we_gave_it_up_is_cancelled_there(quick: System) -> None:
    _, order = resting(quick)
    forget(quick, order)
    wait_for_the_end(quick, order)
    client_order_id = quick.value("select client_order_id from trade.orders where order_id = %s", [order])

    with quick.login("aegis_w_execution") as late:
        late.execute(
            "select * from paper_place(%s, 'demo', '005930', 'BUY', 'LIMIT', 1, 10000)", [client_order_id]
        )
        late.execute("select order_accepted(%s, 1, %s)", [order, f"late {order}"])

    quick.wait_for(
        "select status = 'CANCELLED' from paper.orders where client_order_id = %s",
        [client_order_id],
        what="the stray to be cancelled",
    )
    quick.wait_for(
        "select stray_since is null and broker_ended_at is not null from trade.orders where order_id = %s",
        [order],
        what="the broker to be rid of it",
    )
    open_now = "select count(*) from risk.incidents where kind = 'stray_order' and closed_at is null"
    assert quick.value(open_now) == 0
