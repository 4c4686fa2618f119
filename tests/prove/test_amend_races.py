"""Races of a stop, an amend and the fill of what rests at the broker."""

from __future__ import annotations

from typing import Any

import pytest

from tests.prove.race import Query, Race, fill
from tests.sql.laws.market_kit import Kit


@pytest.fixture
def resting(kit: Kit) -> Any:
    """A strategy's resting take-profit order, after the price has fallen through the stop."""
    kit.add_strategy()
    kit.hold(10, owner="momo")
    order = kit.live_order("SELL", 10, 74_000, owner="momo", intent_type="EXIT")
    kit.quote(60_000, 60_100)
    return order


FIRE = "exits", ("select fire_exits()",)


def amend(kit: Kit) -> tuple[str, Query]:
    query = "select order_id, quantity from claim_amends(%s, 10)"
    return "execution", (query, kit.worker())


def test_a_stop_escalates_what_rests_while_it_is_filled(race: Race, old: bool, resting: Any) -> None:
    kit = race.kit

    _, two = race.run(FIRE, fill(kit, resting, 10, 74_000), old)

    assert two == ("yes", [("RECORDED",)])
    assert kit.rows("execution", "select * from claim_amends(%s, 10)", kit.worker()) == []
    assert kit.position("momo").qty == 0
    assert kit.audit() == []


def test_what_rests_is_filled_while_a_stop_comes(race: Race, old: bool, resting: Any) -> None:
    kit = race.kit

    _, two = race.run(fill(kit, resting, 10, 74_000), FIRE, old)

    assert two == ("yes", [(0,)])
    assert kit.position("momo").locked_qty == 0
    assert kit.audit() == []


@pytest.mark.parametrize("part", [4, 10])
def test_an_amend_while_its_parent_is_filled(race: Race, old: bool, resting: Any, part: int) -> None:
    kit = race.kit
    kit.call("exits", "select fire_exits()")

    one, two = race.run(amend(kit), fill(kit, resting, part, 74_000), old)

    ((child_id, quantity),) = one[1]
    assert (quantity, two) == (10, ("yes", [("RECORDED",)]))
    kit.call("execution", "select order_accepted(%s, 1, 'child', %s::numeric)", child_id, 10 - part)
    child = kit.order(child_id)
    assert child.cancel_requested_at is not None if part == 10 else child.quantity == 10 - part
    assert kit.position("momo").qty == 10 - part
    assert kit.audit() == []


def test_a_fill_of_the_parent_while_its_amend_is_accepted(race: Race, old: bool, resting: Any) -> None:
    kit = race.kit
    kit.call("exits", "select fire_exits()")
    ((child_id, _),) = kit.rows("execution", *amend(kit)[1])
    accepted = "execution", ("select order_accepted(%s, 1, 'child', 6)", child_id)

    _, two = race.run(accepted, fill(kit, resting, 4, 74_000), old)

    assert two == ("yes", [("RECORDED",)])
    statuses = kit.rows(
        kit.db, "select status, quantity, filled_qty from trade.orders order by order_id desc"
    )
    assert [tuple(row) for row in statuses[:2]] == [("SUBMITTED", 6, 0), ("REPLACED", 10, 4)]
    assert kit.audit() == []
