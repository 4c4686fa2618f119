"""Sent once (L6): whatever happens to execution during a send, the broker receives each order once."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.e2e.floor import Floor
from tests.e2e.system import System
from tests.workers.director import Director

NEVER_SENT = ("CANCELLED", "the broker never had it", False)
FILLED = ("FILLED", "filled", True)


@pytest.fixture
def director() -> Iterator[Director]:
    with Director() as director:
        yield director


@pytest.fixture
def floor(system: System, director: Director) -> Iterator[Floor]:
    floor = Floor(system, director)
    yield floor
    floor.close()


@pytest.mark.parametrize(
    ("step", "sent", "orders"),
    [
        ("execution.claimed", 0, [NEVER_SENT, FILLED]),
        ("execution.before_send", 0, [NEVER_SENT, FILLED]),
        ("execution.before_record", 1, [FILLED]),
        ("execution.fill_recorded", 1, [FILLED]),
    ],
)
def test_execution_may_be_killed_at_every_step_of_a_send(
    floor: Floor, director: Director, step: str, sent: int, orders: list[tuple[str, str, bool]]
) -> None:
    floor.execution()
    director.hold(step)
    intent = floor.intent()
    held = director.reached(step)
    while floor.system.value("select count(*) from trade.orders") == 0:  # skip claims that found no intent
        held.go()
        held = director.reached(step)
    assert floor.system.value("select count(*) from paper.orders") == sent

    os.kill(held.pid, signal.SIGKILL)
    director.release(step)
    floor.execution()

    floor.wait_for_status(intent, "FILLED")
    assert floor.orders(intent) == orders
    assert floor.system.value("select count(*) from trade.fills") == 1


def test_a_resting_order_whose_answer_was_lost_is_found_at_the_broker(
    floor: Floor, director: Director
) -> None:
    floor.execution()
    director.hold("execution.before_record")
    intent = floor.intent(limit=69_000)
    held = director.reached("execution.before_record")
    os.kill(held.pid, signal.SIGKILL)
    director.release("execution.before_record")

    floor.execution()

    floor.system.wait_for(
        "select status = 'SUBMITTED' from trade.orders where intent_id = %s", [intent], what="it to be found"
    )
    was_in_doubt = "select exists (select from bus.events where entity = 'order' and change = 'IN_DOUBT')"
    assert floor.system.value(was_in_doubt)
    floor.quote(68_900, 69_000)
    floor.quote(68_900, 68_950)
    floor.system.wait_until(lambda: _filled_at_a_falling_market(floor, intent), what="the fill")
    assert floor.orders(intent) == [FILLED]


def _filled_at_a_falling_market(floor: Floor, intent: int) -> bool:
    floor.quote(68_800, 68_900)
    return bool(
        floor.system.value("select status = 'FILLED' from trade.order_intents where intent_id = %s", [intent])
    )


def test_execution_stopped_past_its_deadline_sends_nothing(floor: Floor, director: Director) -> None:
    floor.execution()
    director.hold("execution.before_send")
    intent = floor.intent()
    held = director.reached("execution.before_send")

    os.kill(held.pid, signal.SIGSTOP)
    floor.system.wait_for("select bus.clock() > send_before from trade.orders", what="its deadline to pass")
    director.release("execution.before_send")
    held.go()
    os.kill(held.pid, signal.SIGCONT)

    floor.wait_for_status(intent, "FILLED")
    assert floor.orders(intent) == [("CANCELLED", "not sent in time", False), FILLED]


def test_execution_stopped_while_another_takes_over_sends_nothing(floor: Floor, director: Director) -> None:
    stopped = floor.execution()
    director.hold("execution.before_send")
    intent = floor.intent()
    held = director.reached("execution.before_send")
    os.kill(held.pid, signal.SIGSTOP)
    director.release("execution.before_send")

    other = floor.execution()
    floor.wait_for_status(intent, "FILLED")
    held.go()
    os.kill(held.pid, signal.SIGCONT)

    floor.system.wait_until(lambda: "was taken over: fence" in stopped.log.read_text(), what="the lost fence")
    assert floor.orders(intent) == [NEVER_SENT, FILLED]
    other.stop()
    again = floor.intent("SELL")
    floor.wait_for_status(again, "FILLED")  # by the process that was stopped
