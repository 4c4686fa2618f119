"""Races of a reconciliation with a fill, and of an approval with its expiry."""

from __future__ import annotations

from psycopg.types.json import Jsonb

from tests.prove.race import Query, Race, fill, said
from tests.sql.laws.market_kit import SYMBOL, Kit


def reconcile(kit: Kit, held: int) -> tuple[str, Query]:
    fingerprint = kit.call("reconcile", "select holdings_fingerprint('demo')")
    query = "select reconcile('demo', %s, %s)"
    return "reconcile", (query, fingerprint, Jsonb({"holdings": {SYMBOL: held}}))


def test_a_reconciliation_that_a_fill_overtakes_proves_nothing(race: Race, old: bool) -> None:
    kit, order = race.kit, race.kit.live_order("BUY", 10, 70_000)

    _, two = race.run(fill(kit, order, 10), reconcile(kit, 10), old)

    assert two == ("yes", [("CHANGED",)])
    assert kit.position().qty == 10
    assert kit.call(kit.db, "select count(*) from trade.reconciliations") == 0
    assert kit.audit() == []


def test_a_fill_while_a_reconciliation_corrects(race: Race, old: bool) -> None:
    kit = race.kit
    order = kit.live_order("BUY", 10, 70_000)
    kit.call("execution", "select order_cancelled(%s, %s, 0)", order.order_id, order.fence)
    assert said(kit.at("reconcile"), reconcile(kit, 10)[1]) == ("yes", [("DIFFERS",)])

    one, two = race.run(reconcile(kit, 10), fill(kit, order, 10), old)

    # Both are recorded; the next two reconciliations find the excess and correct it.
    assert (one[1], two) == ([("CORRECTED",)], ("yes", [("RECORDED",)]))
    assert kit.position().qty == 20
    assert [said(kit.at("reconcile"), reconcile(kit, 10)[1])[1][0][0] for _ in range(2)] == [
        "DIFFERS",
        "CORRECTED",
    ]
    assert kit.position().qty == 10
    assert kit.audit() == []


def pending(kit: Kit) -> int:
    """A sell that waits for approval and whose time to live is over."""
    kit.hold(10)
    kit.call("desk", "select halt('race')")
    intent_id = kit.sell(1)
    kit.advance(days=2)
    return intent_id


def approve(intent_id: int) -> tuple[str, Query]:
    return "desk", ("select approve(%s, 'race')", intent_id)


EXPIRE = "risk", ("select expire_due()",)


def test_an_approval_while_its_time_runs_out(race: Race, old: bool) -> None:
    intent_id = pending(race.kit)

    _, two = race.run(EXPIRE, approve(intent_id), old)

    assert two == ("no", "TRL01")
    assert race.kit.intent_row(intent_id).status == "EXPIRED"
    assert race.kit.audit() == []


def test_its_time_runs_out_while_it_is_approved(race: Race, old: bool) -> None:
    """The approval comes first and restarts the time to live."""
    intent_id = pending(race.kit)

    _, two = race.run(approve(intent_id), EXPIRE, old)

    assert two == ("yes", [(0,)])
    assert race.kit.intent_row(intent_id).status == "NEW"
    assert race.kit.audit() == []
