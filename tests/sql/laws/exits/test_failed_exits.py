"""An exit that fails leaves its position armed; one that the broker refuses waits longer each time."""

import pytest

from tests.sql.laws.exits.exits_kit import fire, guard
from tests.sql.laws.market_kit import refusal

# -- when an exit fails ------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", ["rejected", "cancelled", "expired"])
def test_a_failed_exit_leaves_the_position_armed_and_fires_again(kit, held, failure):
    kit.quote(60_000, 60_100)
    fire(kit)
    if failure == "expired":
        kit.advance(seconds=10)
        kit.call("risk", "select expire_due()")
        kit.quote(60_000, 60_100)
    else:
        order = kit.claim_one()
        answer = {
            "rejected": "order_rejected(%s, %s, 'X', 'no', false)",
            "cancelled": "order_cancelled(%s, %s, 0)",
        }
        kit.call("execution", f"select {answer[failure]}", order.order_id, order.fence)
        kit.advance(seconds=61)  # longer than any pause after a failure
        kit.quote(60_000, 60_100)

    assert guard(kit).is_armed
    assert kit.position("momo").locked_qty == 0
    assert fire(kit) == 1
    assert kit.audit() == []


def test_the_rest_of_a_partly_filled_exit_fires_again(kit, held):
    kit.quote(60_000, 60_100)
    fire(kit)
    order = kit.claim_one()
    kit.fill(order, 4, 60_000)
    kit.call("execution", "select order_cancelled(%s, %s, 4)", order.order_id, order.fence)

    assert fire(kit) == 1
    assert kit.position("momo").locked_qty == 6


def test_a_flat_position_is_disarmed(kit, held):
    kit.quote(60_000, 60_100)
    fire(kit)
    order = kit.claim_one()
    kit.fill(order, 10, 60_000)

    assert not guard(kit).is_armed
    assert fire(kit) == 0


def test_a_refused_exit_says_why_once(kit, held):
    kit.quote(60_000, 60_100)
    kit.db.execute("update risk.mode_rules set verdict = 'DENY' where action = 'PROTECTIVE_SELL'")

    assert [fire(kit) for _ in range(3)] == [0, 0, 0]

    assert guard(kit).note.startswith("TRM01")
    assert len(kit.events("refusal")) == 1
    kit.db.execute("update risk.mode_rules set verdict = 'ALLOW' where action = 'PROTECTIVE_SELL'")
    assert fire(kit) == 1


# -- when the broker rejects it ----------------------------------------------------------------------------


def refuse(kit):
    order = kit.claim_one()
    kit.call(
        "execution",
        "select order_rejected(%s, %s, 'APBK0400', 'not sellable', false)",
        order.order_id,
        order.fence,
    )


def test_a_definitely_refused_exit_does_not_fire_in_a_loop(kit, held):
    kit.quote(60_000, 60_100)
    assert fire(kit) == 1
    refuse(kit)

    kit.quote(59_900, 60_000)
    assert fire(kit) == 0

    kit.advance(seconds=5)
    kit.quote(59_900, 60_000)
    assert fire(kit) == 1


def test_it_waits_twice_as_long_after_each_refusal_and_a_person_is_told(kit, held):
    for wait in (5, 10, 20):
        kit.quote(60_000, 60_100)
        assert fire(kit) == 1
        refuse(kit)
        kit.advance(seconds=wait - 1)
        kit.quote(60_000, 60_100)
        assert fire(kit) == 0
        kit.advance(seconds=1)

    assert [kind for kind, _ in kit.incidents()] == ["rejected_exit"]


def test_a_person_closes_an_incident_and_it_comes_back_when_it_is_seen_again(kit, held):
    kit.quote(60_000, 60_100)
    fire(kit)
    refuse(kit)
    incident = kit.call("desk", "select incident_id from incidents where closed_at is null")

    kit.call("desk", "select close_incident(%s, 'the broker was told')", incident)
    assert kit.call("desk", "select count(*) from incidents where closed_at is null") == 0

    kit.advance(seconds=5)
    kit.quote(60_000, 60_100)
    fire(kit)
    refuse(kit)
    assert kit.call("desk", "select count(*) from incidents where closed_at is null") == 1


def test_a_breach_is_not_closed_by_hand(kit):
    kit.live_order("BUY", 10, 70_000)
    kit.move_cash(-kit.balance().cash)
    breach = kit.call("desk", "select incident_id from incidents where closed_at is null")

    assert breach
    assert refusal(lambda: kit.call("desk", "select close_incident(%s, 'never mind')", breach)) == "TRI02"
