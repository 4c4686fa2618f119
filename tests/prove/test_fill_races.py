"""Races of sells, fills and cancels, at each isolation level and in each order."""

from __future__ import annotations

from tests.prove.race import Race, cancelled, fill, sell


def test_two_sells_of_the_last_share(race: Race, old: bool) -> None:
    race.kit.hold(1)

    one, two = race.run(sell(1), sell(1), old)

    assert (one[0], two) == ("yes", ("no", "TRQ01"))
    assert race.kit.position().locked_qty == 1
    assert race.kit.audit() == []


def test_a_fill_before_the_cancel(race: Race, old: bool) -> None:
    kit, order = race.kit, race.kit.live_order("BUY", 10, 70_000)

    _, two = race.run(fill(kit, order, 10), cancelled(order), old)

    assert two == ("yes", [("FILLED",)])
    assert kit.order(order.order_id).status == "FILLED"
    assert kit.position().qty == 10
    assert kit.audit() == []


def test_a_fill_of_a_part_before_the_cancel(race: Race, old: bool) -> None:
    kit, order = race.kit, race.kit.live_order("BUY", 10, 70_000)

    _, two = race.run(fill(kit, order, 4), cancelled(order), old)

    assert two == ("yes", [("CANCELLED",)])
    assert kit.order(order.order_id).status == "CANCELLED"
    assert (kit.position().qty, kit.balance().locked_cash) == (4, 0)
    assert kit.audit() == []


def test_a_fill_after_the_cancel(race: Race, old: bool) -> None:
    kit, order = race.kit, race.kit.live_order("BUY", 10, 70_000)

    _, two = race.run(cancelled(order), fill(kit, order, 10), old)

    assert two == ("yes", [("RECORDED",)])
    assert (kit.order(order.order_id).status, kit.order(order.order_id).filled_qty) == ("CANCELLED", 10)
    assert (kit.position().qty, kit.balance().cash) == (10, 100_000_000 - 700_000)
    assert kit.audit() == []


def test_a_fill_while_a_person_cancels(race: Race, old: bool) -> None:
    kit, order = race.kit, race.kit.live_order("BUY", 10, 70_000)
    intent_id = kit.order(order.order_id).intent_id
    cancel = "desk", ("select cancel_intent(%s, 'race')", intent_id)

    _, two = race.run(fill(kit, order, 10), cancel, old)

    assert two == ("yes", [("it had already ended",)])
    assert kit.audit() == []


def test_the_same_fill_twice_at_once(race: Race, old: bool) -> None:
    kit, order = race.kit, race.kit.live_order("BUY", 10, 70_000)

    one, two = race.run(fill(kit, order, 6), fill(kit, order, 6), old)

    assert (one[1], two) == ([("RECORDED",)], ("yes", [("DUPLICATE",)]))
    assert kit.position().qty == 6
    assert kit.audit() == []


def test_a_stream_and_a_poll_bring_the_same_total(race: Race, old: bool) -> None:
    kit, order = race.kit, race.kit.live_order("BUY", 10, 70_000)
    total = "execution", (
        "select record_cumulative('demo', %s, null, 6, 420000, 0, 0, %s)", order.client_order_id, kit.now,
    )  # fmt: skip

    one, two = race.run(total, total, old)

    assert (one[1], two) == ([("RECORDED",)], ("yes", [("DUPLICATE",)]))
    assert kit.position().qty == 6
    assert kit.audit() == []
