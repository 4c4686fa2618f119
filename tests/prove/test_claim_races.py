"""Races of claimers, of an answer with its lease, and of a doubt with a claim."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.prove.race import Race, fill, outcome_of
from tests.sql.laws.market_kit import Kit


def test_two_claimers(race: Race, old: bool) -> None:
    kit = race.kit
    kit.buy(1)
    claim = "execution", ("select quantity from claim_intents(%s, 10)", kit.worker())

    one, two = race.run(claim, claim, old)

    assert (one[1], two) == ([(Decimal(1),)], ("yes", []))
    assert kit.call(kit.db, "select count(*) from trade.orders") == 1
    assert kit.audit() == []


def in_doubt(kit: Kit) -> Any:
    """An order in doubt whose lease has expired."""
    kit.buy(1)
    order = kit.claim_one()
    kit.call("execution", "select order_unknown(%s, %s, 'timeout')", order.order_id, order.fence)
    kit.advance(minutes=1)
    return order


def test_an_answer_while_its_lease_is_taken_over(race: Race, old: bool) -> None:
    kit, order = race.kit, in_doubt(race.kit)
    take = "execution", ("select order_id, fence from claim_doubts(%s, 10)", kit.worker())
    answer = "execution", ("select order_accepted(%s, %s, 'B1')", order.order_id, order.fence)

    one, two = race.run(take, answer, old)

    assert (len(one[1]), two) == (1, ("no", "TRL03"))
    assert kit.order(order.order_id).status == "IN_DOUBT"
    assert kit.audit() == []


def test_a_lease_is_taken_over_while_its_answer_comes(race: Race, old: bool) -> None:
    kit, order = race.kit, in_doubt(race.kit)
    take = "execution", ("select order_id, fence from claim_doubts(%s, 10)", kit.worker())
    answer = "execution", ("select order_accepted(%s, %s, 'B1')", order.order_id, order.fence)

    _, two = race.run(answer, take, old)

    assert two == ("yes", [])
    assert kit.order(order.order_id).status == "SUBMITTED"
    assert kit.audit() == []


def test_a_doubt_opens_while_another_order_of_its_side_is_claimed(race: Race, old: bool) -> None:
    """The claim that came first is sent; the next one waits until the doubt is resolved."""
    kit = race.kit
    kit.buy(1)
    order = kit.claim_one()
    kit.buy(2)
    claim = "execution", ("select quantity from claim_intents(%s, 10)", kit.worker())
    unknown = "execution", ("select order_unknown(%s, %s, 'x')", order.order_id, order.fence)

    one, _ = race.run(claim, unknown, old)

    assert one[1] == [(Decimal(2),)]
    kit.buy(3)
    assert kit.claim() == []
    assert kit.audit() == []


def test_old_snapshots_are_refused_and_not_believed(kit: Kit) -> None:
    """A fill whose order the snapshot cannot see must not become an incident."""
    late = kit.connect("execution")
    late.execute("set default_transaction_isolation = 'repeatable read'")
    with late.transaction(force_rollback=True):
        late.execute("select next_due()")
        order = kit.live_order("BUY", 1, 70_000)
        answer = outcome_of(late, fill(kit, order, 1)[1])

    assert answer == ("no", "TRM02")
    assert kit.incidents() == []
