"""A sell awaiting approval in HALT is priced when it is released, and then lives its requested lifetime."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.sql.laws.market_kit import refusal
from workers.runtime.errors import Refused

APPROVE = "select approve(%s, 'get out')"
LEFT = "select expires_at - %s from trade.order_intents where intent_id = %s"
SECOND = dt.timedelta(seconds=1)


def halt(kit):
    kit.call("desk", "select halt('test')")


def left(kit, intent_id):
    return kit.call(kit.db, LEFT, kit.now, intent_id)


@pytest.fixture
def stop(kit):
    """A stop that triggered at 60,000 during a halt and waits for approval."""
    kit.add_strategy()
    kit.hold(10, owner="momo")
    halt(kit)
    kit.quote(60_000, 60_100)
    assert kit.call("exits", "select fire_exits()") == 1
    return kit.rows("desk", "select * from approvals")[0].intent_id


@pytest.mark.parametrize(("bid", "worst"), [(55_000, 53_400), (66_000, 64_100)])
def test_an_approved_stop_is_priced_at_the_approval(kit, stop, bid, worst):
    kit.advance(seconds=60)
    kit.quote(bid, bid + 100)

    kit.call("desk", APPROVE, stop)

    (order,) = kit.claim()
    assert order.limit_price == worst == kit.intent_row(stop).worst_price
    assert order.limit_price <= bid


def test_an_approved_stop_lives_as_long_as_any_exit(kit, stop):
    assert left(kit, stop) == dt.timedelta(days=1)
    kit.advance(seconds=60)
    kit.quote(60_000, 60_100)

    kit.call("desk", APPROVE, stop)

    assert left(kit, stop) == 10 * SECOND


def test_an_approved_stop_that_was_not_filled_fires_again(kit, stop):
    kit.advance(seconds=60)
    kit.quote(60_000, 60_100)
    kit.call("desk", APPROVE, stop)
    (order,) = kit.claim()
    kit.accept(order)
    kit.advance(seconds=11)
    kit.quote(58_000, 58_100)

    kit.call("exits", "select expire_due()")
    (cancel,) = kit.rows("execution", "select * from claim_cancels(%s, 10)", kit.worker())
    kit.call("execution", "select order_cancelled(%s, %s, 0)", cancel.order_id, cancel.fence)

    assert kit.intent_row(stop).status == "EXPIRED"
    assert kit.call("exits", "select fire_exits()") == 1
    (again,) = kit.rows("desk", "select * from approvals")
    assert again.worst_price < 58_000
    assert kit.audit() == []


def test_without_a_fresh_price_nothing_is_approved(kit, stop):
    kit.advance(seconds=60)

    with pytest.raises(Refused) as refused:
        kit.call("desk", APPROVE, stop)

    assert refused.value.sqlstate == "TRP01"
    assert "prices" in (refused.value.hint or "")
    assert kit.intent_row(stop).status == "PENDING_APPROVAL"


@pytest.mark.parametrize("intent_type", ["MANUAL", "FLATTEN"])
def test_a_sale_by_hand_without_a_limit_is_priced_at_the_approval_too(kit, intent_type):
    kit.hold(10)
    halt(kit)
    waiting = kit.sell(10, None, intent_type=intent_type, ttl="5 min")
    kit.advance(seconds=60)
    kit.quote(55_000, 55_100)

    kit.call("desk", APPROVE, waiting)

    assert 50_000 < kit.intent_row(waiting).worst_price <= 55_000
    assert left(kit, waiting) == 300 * SECOND


def test_a_sale_by_hand_keeps_its_limit_and_needs_no_price(kit):
    kit.hold(10)
    halt(kit)
    waiting = kit.sell(10, 61_000, ttl="5 min")
    kit.advance(seconds=60)

    kit.call("desk", APPROVE, waiting)

    assert kit.intent_row(waiting).worst_price == 61_000
    assert left(kit, waiting) == 300 * SECOND


def test_a_sell_that_a_halt_puts_up_for_approval_waits_as_long_as_a_person_needs(kit):
    kit.hold(10)
    waiting = kit.sell(10, None, ttl="5 s")
    halt(kit)

    kit.call("risk", "select enforce_modes()")
    kit.advance(minutes=10)
    kit.call("risk", "select expire_due()")

    assert kit.intent_row(waiting).status == "PENDING_APPROVAL"
    kit.quote(66_000, 66_100)
    kit.call("desk", APPROVE, waiting)
    assert left(kit, waiting) == 5 * SECOND


def test_a_sell_that_needs_no_approval_any_more_is_priced_then(kit):
    kit.set_code()
    kit.hold(10)
    kit.hold(5, symbol="000660")
    halt(kit)
    priced, unpriced = kit.sell(10, None), kit.sell(5, None, symbol="000660")
    kit.advance(seconds=60)
    assert kit.rows("desk", "select * from resume('again', '1234')")[0].resumed
    kit.quote(55_000, 55_100)

    kit.call("risk", "select enforce_modes()")

    assert kit.intent_row(priced).status == "NEW"
    assert kit.intent_row(priced).worst_price <= 55_000
    assert kit.intent_row(unpriced).status == "PENDING_APPROVAL", "it waits for a price, and lets others go"
    assert ("failed_item", True) not in kit.incidents()
    kit.quote(50_000, 50_100, symbol="000660")
    kit.call("risk", "select enforce_modes()")
    assert kit.intent_row(unpriced).status == "NEW"


REPRICE = "update trade.order_intents set worst_price = %s where intent_id = %s"


@pytest.mark.parametrize("price", [50_000, 69_000])
def test_only_the_end_of_the_wait_changes_a_price(kit, stop, price):
    assert refusal(lambda: kit.db.execute(REPRICE, [price, stop])) == "TRL02"
    kit.call("desk", APPROVE, stop)
    assert refusal(lambda: kit.db.execute(REPRICE, [price, stop])) == "TRL02"


def test_a_price_that_a_person_chose_is_changed_by_no_approval(kit):
    kit.hold(10)
    halt(kit)
    waiting = kit.sell(10, 61_000)
    approve = "update trade.order_intents set status = 'NEW', approved_by = 'me', approved_at = created_at"
    for change in ("worst_price = 50000, limit_price = 50000", "worst_price = 50000, limit_price = null"):
        query = f"{approve}, {change} where intent_id = %s"
        assert refusal(lambda q=query: kit.db.execute(q, [waiting])) == "TRL02"
    query = "update trade.order_intents set limit_price = null where intent_id = %s"
    assert refusal(lambda: kit.db.execute(query, [waiting])) == "TRL02"


def test_how_long_it_was_asked_to_live_never_changes(kit, stop):
    query = "update trade.order_intents set ttl = '1 day' where intent_id = %s"

    assert refusal(lambda: kit.db.execute(query, [stop])) == "TRL02"


def test_a_real_account_is_priced_by_live_prices_only(kit, stop):
    kit.db.execute("update trade.brokers set is_real = true")

    assert refusal(lambda: kit.call("desk", APPROVE, stop)) == "TRP01"
