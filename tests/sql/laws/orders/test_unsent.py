"""Orders that are claimed but never sent: an incident reports it, with the likely cause."""

from __future__ import annotations

import pytest


def unsend(kit):
    kit.buy(1)
    order = kit.claim_one()
    kit.call("execution", "select unsend(%s, %s)", order.order_id, order.fence)
    kit.db.execute(
        "update trade.order_intents set not_before = bus.clock() + interval '30 s' where status = 'NEW'"
    )


def is_open(kit):
    return kit.call(
        kit.db,
        "select exists (select from risk.incidents where kind = 'orders_unsent' and closed_at is null)",
    )


def test_the_third_in_a_row_is_an_incident(kit):
    unsend(kit)
    unsend(kit)
    assert not is_open(kit)

    unsend(kit)

    assert is_open(kit)
    detail = kit.look("select detail from risk.incidents where kind = 'orders_unsent'").detail
    assert detail["message"].startswith("the last 3 orders were claimed and not sent within ")


@pytest.mark.parametrize(("jit", "cause"), [("on", "jit is on"), ("off", "the claim itself takes that long")])
def test_it_names_the_likely_cause(kit, jit, cause):
    kit.at("execution").execute(f"set jit = {jit}")
    for _ in range(3):
        unsend(kit)

    assert kit.look("select detail from risk.incidents").detail["likely"].startswith(cause)


def test_one_that_leaves_in_between_is_none(kit):
    for _ in range(2):
        unsend(kit)
        unsend(kit)
        kit.live_order("BUY", 1, 60_000)

    assert not is_open(kit)


def test_it_ends_when_orders_leave_again(kit):
    for _ in range(4):
        unsend(kit)
    kit.open_account()
    assert is_open(kit), "an agreement alone ends nothing"

    kit.live_order("BUY", 1, 60_000)
    kit.open_account()

    assert not is_open(kit)
