"""Committed money changes are on disk, whatever synchronous_commit a login or the server sets."""

from __future__ import annotations

import pytest

from tests.sql.laws.market_kit import OTHER


def says(call):
    """Station and call that record a broker's answer to the order."""
    return "execution", lambda kit, order: kit.call(
        "execution", f"select {call}", order.order_id, order.fence
    )


def asks(query):
    """Station and call for a statement by a person."""
    return "desk", lambda kit, _order: kit.at("desk").execute(query)


CALLS = {
    "claim_intents": ("execution", lambda kit, _order: kit.claim()),
    "order_accepted": says("order_accepted(%s, %s, 'B')"),
    "order_rejected": says("order_rejected(%s, %s, 'X', 'no', false)"),
    "order_unknown": says("order_unknown(%s, %s, 'x')"),
    "unsend": says("unsend(%s, %s)"),
    "record_fill": ("execution", lambda kit, order: kit.fill(order, 1, 70_000)),
    "create_intent": ("desk", lambda kit, _order: kit.buy(1)),
    "record_cash": ("desk", lambda kit, _order: kit.move_cash(5)),
    "halt": asks("select halt('x')"),
    "safe": asks("select safe('x')"),
    "update system_mode": asks("update system_mode set mode = 'HALT', reason = 'x'"),
    "a change by hand": (
        "superuser",
        lambda kit, _order: kit.at("superuser").execute("update trade.order_intents set reason = 'x'"),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_its_transaction_waits_for_the_disk(kit, name):
    kit.buy(1)
    order = kit.claim_one()
    kit.buy(1, symbol=OTHER)
    station, act = CALLS[name]
    conn = kit.at(station)
    conn.execute("set synchronous_commit = off")

    with conn.transaction():
        act(kit, order)
        assert kit.call(conn, "show synchronous_commit") == "on"

    assert kit.call(conn, "show synchronous_commit") == "off", "the session is the login's own"


def test_what_is_stricter_is_kept(kit):
    conn = kit.at("desk")
    conn.execute("set synchronous_commit = remote_apply")

    with conn.transaction():
        kit.buy(1)
        assert kit.call(conn, "show synchronous_commit") == "remote_apply"


def test_prices_do_not_wait_for_the_disk(kit):
    conn = kit.at("feed")
    conn.execute("set synchronous_commit = off")

    with conn.transaction():
        kit.quote(70_010, 70_110)
        assert kit.call(conn, "show synchronous_commit") == "off"


def test_a_replay_does_not_either(kit):
    kit.db.execute("update bus.instance set kind = 'replay'")
    conn = kit.at("desk")
    conn.execute("set synchronous_commit = off")

    with conn.transaction():
        kit.buy(1)
        assert kit.call(conn, "show synchronous_commit") == "off"
