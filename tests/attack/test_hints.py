"""A notification is never obeyed (L12): whatever a strategy sends, workers do what the tables show."""

from __future__ import annotations

import threading
import time

import pytest

from tests.e2e.system import CODE, Connection, System

CHANNELS = (
    *(
        "command",
        "quotes",
        "prices_reached",
        "new_intent",
        "new_pick",
        "order_work",
        "system_mode",
        "strategy_changed",
    ),
    *("alert", "event", "no_such_channel"),
)
PAYLOADS = ("drain", "", "go on", '{"mode": "HALT"}', "x" * 7900, "\x01\t\n\x7f", "'; drop table x --")
DRAINS = """
select name, (detail ->> 'drains')::integer from api.workers
where is_alive and login ^@ 'aegis_w_' and name not in ('reconcile', 'supervisor')
"""
WAITED = """
select extract(epoch from max(claimed_at - created_at))::float8 from trade.order_intents
where reason = 'flood' and attempts = 1
"""
INTENTS = 8
POLL = 1.0  # seconds: the delay that a lost notification can cost
BUSY = 1.0  # seconds allowed for a slow machine


def test_no_payload_on_any_channel_stops_anybody(trading: System, hostile: Connection) -> None:
    for channel in CHANNELS:
        for payload in PAYLOADS:
            hostile.execute("select pg_notify(%s, %s)", [channel, payload])
    before = dict(trading.rows(DRAINS))

    def all_went_on() -> bool:
        now = dict(trading.rows(DRAINS))
        return all(now.get(name, 0) > drains for name, drains in before.items())

    hostile.execute("notify command, 'drain'")
    trading.wait_until(all_went_on, within=10, what="every worker to drain again")


@pytest.fixture
def flood(trading: System, hostile: Connection) -> threading.Event:
    """Send notifications as fast as one session can until the test ends; then wait for the thread to end."""
    stop = threading.Event()

    def send() -> None:
        number = 0
        while not stop.is_set():
            channel, payload = CHANNELS[number % len(CHANNELS)], PAYLOADS[number % len(PAYLOADS)]
            hostile.execute("select pg_notify(%s, %s)", [channel, payload])
            number += 1

    thread = threading.Thread(target=send)
    thread.start()
    yield stop
    stop.set()
    thread.join()


def test_an_intent_is_claimed_during_a_flood_and_a_halt_commits(trading: System, flood: object) -> None:
    with trading.desk() as desk:
        for number in range(INTENTS):
            desk.execute(
                "select create_intent('demo', '000660', 'BUY', 1, 1000, 'flood', p_idempotency_key => %s)",
                [f"flood {number}"],
            )
            trading.wait_for(
                "select count(*) = 0 from api.intents where reason = 'flood' and status = 'NEW'", within=10
            )
        began = time.monotonic()
        desk.execute("select halt('flood')")
        halted = time.monotonic() - began
        desk.execute("select resume('flood', %s)", [CODE])

    assert trading.value(WAITED) < POLL + BUSY
    assert halted < 0.3 + BUSY
