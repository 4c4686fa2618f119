"""A fact from outside that is out of bounds is kept as an incident or in quarantine."""

from __future__ import annotations

import pytest
from psycopg.types.json import Jsonb

from tests.sql.laws.market_kit import SYMBOL, Kit

HUGE, TINY = "9" * 131_072, "0." + "0" * 16_381 + "1"


def test_a_fill_out_of_bounds_is_an_incident(kit: Kit) -> None:
    order = kit.live_order("BUY", 10, 70_000)

    for odd in (HUGE, TINY, "NaN", "Infinity"):
        assert kit.fill(order, odd, 70_000) == "UNMATCHED"
        assert kit.fill(order, 1, odd) == "UNMATCHED"
        assert kit.fill(order, 1, 70_000, fee=odd) == "UNMATCHED"

    assert set(kit.incidents()) == {("unmatched_fill", True)}
    assert kit.position() is None
    assert kit.fill(order, 10, 70_000) == "RECORDED"
    assert kit.audit() == []


def test_a_total_out_of_bounds_is_an_incident(kit: Kit) -> None:
    order = kit.live_order("BUY", 10, 70_000)
    query = "select record_cumulative('demo', %s, null, %s::numeric, %s::numeric, 0, 0, null)"

    for quantity, notional in ((HUGE, "1"), ("1", HUGE), (TINY, "1"), ("1", TINY)):
        assert kit.call("execution", query, order.client_order_id, quantity, notional) == "UNMATCHED"

    assert kit.call("execution", query, order.client_order_id, "10", "700000") == "RECORDED"


@pytest.mark.parametrize("odd", [HUGE, TINY], ids=["huge", "tiny"])
def test_a_price_out_of_bounds_is_quarantined(kit: Kit, odd: str) -> None:
    kit.hold(10)

    assert kit.quote(odd, odd) == (0, 0, 1)
    trade = "select quarantined from ingest_trades('sim', %s, %s, '{7}', %s::numeric[], '{1}')"
    assert kit.call("feed", trade, [SYMBOL], [kit.now], [odd]) == 1

    for kept in kit.rows(kit.db, "select data from market.quarantine"):
        assert len(str(kept.data)) < 1_000
    assert kit.rows("desk", "select equity from accounts")


def test_a_sequence_number_at_the_end_of_its_type_does_not_end_the_feed(kit: Kit) -> None:
    assert kit.quote(70_000, 70_100, seq=2**63 - 1) == (0, 0, 1)

    assert kit.call("feed", "select open_feed('sim', 'SIM', 'sim')") < 100


def test_a_snapshot_out_of_bounds_is_unreadable(kit: Kit) -> None:
    query = "select reconcile('demo', holdings_fingerprint('demo'), %s)"

    for odd in ("1e999", "1e-30", HUGE):
        for snapshot in ({"holdings": {SYMBOL: odd}}, {"holdings": {}, "cash": odd}):
            assert kit.call("reconcile", query, Jsonb(snapshot)) == "UNREADABLE"

    assert kit.incidents() == [("unreadable_snapshot", True)]


def test_an_order_number_too_long_to_keep_is_an_incident(kit: Kit) -> None:
    kit.buy(1)
    order = kit.claim_one()

    kit.accept(order, "".join(str(n) for n in range(10_000)))

    assert kit.incidents() == [("odd_order_number", True)]
    assert kit.order(order.order_id).status == "SUBMITTED"
    assert kit.order(order.order_id).broker_order_id is None


def test_a_quantity_that_an_amend_cannot_have_is_not_believed(kit: Kit) -> None:
    order = kit.live_order("SELL" if kit.hold(10) else "", 10, 80_000)
    kit.db.execute("update trade.orders set amend_at = %s, amend_price = 80000", [kit.now])
    amend = "select * from claim_amends(%s, 1)"
    (child,) = kit.rows("execution", amend, kit.worker())

    accepted = "select order_accepted(%s, %s, 'C', %s::numeric)"
    kit.call("execution", accepted, child.order_id, child.fence, TINY)

    assert kit.order(child.order_id).quantity == 10
    assert kit.order(order.order_id).status == "REPLACED"
