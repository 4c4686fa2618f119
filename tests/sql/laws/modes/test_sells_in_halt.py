"""L1: SAFE lets sells through; in HALT they wait until a person approves them."""

import pytest

from tests.sql.laws.market_kit import SELL_ROW
from tests.sql.laws.modes.modes_kit import halt, resume
from workers.runtime.errors import ApprovalNeeded, IllegalMove, TradingHalted


def test_safe_lets_sells_through_and_denies_buys(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    kit.hold(10)
    kit.call("desk", "select safe('test')")
    kit.quote(60_000, 60_100)

    with pytest.raises(TradingHalted):
        kit.buy(1)
    assert kit.call("exits", "select fire_exits()") == 1
    assert kit.sell(5)
    assert [order.side for order in kit.claim()] == ["SELL", "SELL"]


@pytest.fixture
def pending(kit):
    """An exit that triggered during a halt and waits for approval."""
    kit.add_strategy()
    kit.hold(10, owner="momo")
    halt(kit)
    kit.quote(60_000, 60_100)
    assert kit.call("exits", "select fire_exits()") == 1
    (approval,) = kit.rows("desk", "select * from approvals")
    return approval.intent_id


def test_an_exit_waits_for_approval_while_halted(kit, pending):
    assert kit.intent_row(pending).status == "PENDING_APPROVAL"
    assert kit.position("momo").locked_qty == 10
    assert kit.claim() == []
    assert kit.call("exits", "select fire_exits()") == 0


@pytest.mark.parametrize("bid", [60_000, 69_000])
def test_when_trading_goes_on_a_waiting_exit_gives_way_to_one_at_todays_price(kit, pending, bid):
    kit.set_code()
    assert resume(kit, "1234").resumed
    kit.quote(bid, bid + 100)

    kit.call("router", "select enforce_modes()")

    assert kit.intent_row(pending).status == "CANCELLED"
    assert kit.call("exits", "select fire_exits()") == (1 if bid == 60_000 else 0)
    assert len(kit.claim()) == (1 if bid == 60_000 else 0)


def test_when_trading_goes_on_a_sell_by_hand_goes_out(kit):
    kit.hold(10)
    halt(kit)
    waiting = kit.sell(10)
    kit.set_code()
    assert resume(kit, "1234").resumed

    kit.call("router", "select enforce_modes()")

    assert kit.intent_row(waiting).status == "NEW"
    assert len(kit.claim()) == 1


def test_an_approved_exit_goes_out_though_halted(kit, pending):
    kit.call("desk", "select approve(%s, 'get out')", pending)

    (order,) = kit.claim()
    assert kit.order(order.order_id).intent_id == pending
    row = kit.intent_row(pending)
    assert (row.approved_by, row.status) == ("aegis_desk", "CLAIMED")
    assert kit.audit() == []


def test_an_approval_counts_once(kit, pending):
    kit.call("desk", "select approve(%s, 'get out')", pending)

    with pytest.raises(IllegalMove):
        kit.call("desk", "select approve(%s, 'again')", pending)


def test_a_rejected_exit_frees_its_shares_and_is_not_asked_again(kit, pending):
    kit.call("desk", "select reject(%s, 'keep it')", pending)

    assert kit.intent_row(pending).status == "REJECTED"
    assert kit.position("momo").locked_qty == 0
    assert kit.call("exits", "select fire_exits()") == 0


def test_a_buy_that_waited_for_approval_is_not_approved_into_a_halt(kit):
    intent_id = kit.insert_intent(status="PENDING_APPROVAL")
    halt(kit)

    with pytest.raises(TradingHalted):
        kit.call("desk", "select approve(%s, 'please')", intent_id)


@pytest.mark.parametrize("forged", [{}, {"approved_by": "me", "approved_at": "2026-03-02"}])
def test_a_sell_written_by_hand_while_halted_cannot_bring_its_own_approval(kit, forged):
    kit.hold(10)
    halt(kit)

    with pytest.raises(ApprovalNeeded):
        kit.insert_intent(**SELL_ROW, **forged)


def test_an_unapproved_order_written_by_hand_is_refused_while_halted(kit):
    kit.hold(10)
    intent_id = kit.insert_intent(**SELL_ROW)
    kit.db.execute("update trade.order_intents set status = 'CLAIMED' where intent_id = %s", [intent_id])
    halt(kit)

    with pytest.raises(ApprovalNeeded):
        kit.insert_order(intent_id, side="SELL")
