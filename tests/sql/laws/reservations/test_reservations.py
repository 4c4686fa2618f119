"""L2 and L3: nothing is sold or spent twice, and each reservation is released exactly once."""

from decimal import Decimal

import pytest

from tests.sql.laws.market_kit import INTENT, OTHER, SELL_ROW, SYMBOL, refusal, refuses_truncate
from workers.runtime.errors import NotEnoughCash, NotEnoughQuantity

CHECK = "23514"
FEE = Decimal("0.00015")
MOST = 1428  # the most shares at 70,000 that 100,000,000 can pay, fees included


def cost(quantity, price=70_000):
    return quantity * price * (1 + FEE)


def decision(side, quantity, price):
    return (INTENT, "demo", SYMBOL, side, quantity, price, "test", "manual", "MANUAL", None, "1 min")


# -- races for the last shares or cash ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "quantity", "price", "refused"),
    [("SELL", 1, 60_000, NotEnoughQuantity), ("BUY", MOST, 70_000, NotEnoughCash)],
)
def test_of_two_sessions_that_want_the_last_of_it_one_waits_and_is_refused(
    kit, side, quantity, price, refused
):
    if side == "SELL":
        kit.hold(1)
    first, second = kit.connect("desk"), kit.connect("desk")
    with first.transaction():
        kit.call(first, *decision(side, quantity, price))
        late = kit.background(second, *decision(side, quantity, price))
        kit.wait_for_lock(second)

    with pytest.raises(refused):
        late.result(20)

    assert kit.call(kit.db, "select count(*) from trade.order_intents where closed_at is null") == 1
    assert kit.audit() == []


@pytest.mark.parametrize(("side", "quantity", "price"), [("SELL", 1, 60_000), ("BUY", MOST, 70_000)])
def test_who_waited_for_the_last_of_it_gets_it_when_the_other_gives_up(kit, side, quantity, price):
    if side == "SELL":
        kit.hold(1)
    first, second = kit.connect("desk"), kit.connect("desk")
    with first.transaction(force_rollback=True):
        kit.call(first, *decision(side, quantity, price))
        late = kit.background(second, *decision(side, quantity, price))
        kit.wait_for_lock(second)

    ((intent_id,),) = late.result(20)

    assert kit.intent_row(intent_id).status == "NEW"
    assert kit.audit() == []


@pytest.mark.parametrize("side", ["SELL", "BUY"])
def test_direct_inserts_race_for_the_last_of_it_too(kit, side):
    row = SELL_ROW | {"quantity": 5, "reserved_qty": 5}
    if side == "BUY":
        row = {"quantity": MOST, "reserved_cash": MOST * 70_000}
        kit.move_cash(MOST * 70_000 - 100_000_000)
    else:
        kit.hold(5)
    first, second = kit.connect("superuser"), kit.connect("superuser")
    with first.transaction():
        kit.insert_intent(first, **row)
        late = kit.pool.submit(kit.insert_intent, second, **row)
        kit.wait_for_lock(second)

    with pytest.raises((NotEnoughQuantity, NotEnoughCash)):
        late.result(20)

    assert kit.audit() == []


# -- more than is available --------------------------------------------------------------------------------


def test_more_than_is_held_cannot_be_sold(kit):
    kit.hold(10)
    kit.sell(6)

    with pytest.raises(NotEnoughQuantity, match="cannot sell 5: 4 of 005930 is free"):
        kit.sell(5)

    assert kit.position().locked_qty == 6


def test_more_than_is_free_cannot_be_spent(kit):
    kit.buy(MOST)

    with pytest.raises(NotEnoughCash):
        kit.buy(1)

    assert kit.balance().locked_cash == cost(MOST)


def test_what_was_never_held_cannot_be_sold(kit):
    with pytest.raises(NotEnoughQuantity):
        kit.sell(1)


def test_the_shares_of_one_owner_cannot_be_sold_by_another(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")

    with pytest.raises(NotEnoughQuantity):
        kit.sell(1)


def test_the_shares_of_one_symbol_do_not_cover_another(kit):
    kit.hold(10)

    with pytest.raises(NotEnoughQuantity):
        kit.sell(1, symbol=OTHER)


@pytest.mark.parametrize("writer", ["superuser", "owner"])
def test_a_sell_written_by_hand_beyond_what_is_held_is_refused(kit, writer):
    kit.hold(10)
    row = SELL_ROW | {"quantity": 11, "reserved_qty": 11}

    assert refusal(lambda: kit.insert_intent(kit.connect(writer), **row)) == "TRQ01"


@pytest.mark.parametrize("writer", ["superuser", "owner"])
def test_a_buy_written_by_hand_beyond_the_cash_is_refused(kit, writer):
    row = {"quantity": 1429, "reserved_cash": 1429 * 70_000}

    assert refusal(lambda: kit.insert_intent(kit.connect(writer), **row)) == "TRC01"


@pytest.mark.parametrize("writer", ["superuser", "owner"])
@pytest.mark.parametrize(
    "update",
    [
        "trade.positions set locked_qty = qty + 1",
        "trade.positions set locked_qty = qty + 1, breach_qty = 1",
        "trade.positions set locked_qty = 7, qty = 6",
        "trade.positions set locked_qty = -1",
        "trade.positions set qty = -1, cost = 0, opened_at = null",
        "trade.balances set locked_cash = cash + 1",
        "trade.balances set locked_cash = cash + 1, breach_cash = 1",
        "trade.balances set locked_cash = 7, cash = 6",
        "trade.balances set locked_cash = -1",
    ],
)
def test_nobody_locks_more_than_there_is(kit, writer, update):
    kit.hold(10)

    assert refusal(lambda: kit.connect(writer).execute(f"update {update}".encode())) == CHECK


@pytest.mark.parametrize("table", ["trade.positions", "trade.balances"])
def test_holdings_are_never_removed(kit, table):
    kit.hold(1)

    assert refusal(lambda: kit.db.execute(f"delete from {table}")) == "TRL02"
    assert refuses_truncate(kit.db, table)


@pytest.mark.parametrize(
    "row",
    [
        {"quantity": 2, "reserved_cash": 70_000},
        {"reserved_cash": 69_999},
        {"reserved_cash": 0},
        {"reserved_cash": 70_000, "reserve_rate": "0.1"},
        {"reserved_qty": 1},
        {**SELL_ROW, "quantity": 2},
        {**SELL_ROW, "reserved_qty": 2},
        {**SELL_ROW, "reserved_cash": 1},
        {"filled_qty": 2, "reserved_cash": 0},
        {"quantity": 0, "reserved_cash": 0},
        {**SELL_ROW, "worst_price": 0},
        {"limit_price": 60_000},
        {"overfill_qty": -1},
        {"approved_by": "me"},
    ],
)
def test_an_intent_that_reserves_anything_but_its_rest_is_refused(kit, row):
    kit.hold(10)

    assert refusal(lambda: kit.insert_intent(**row)) == CHECK


@pytest.mark.parametrize(
    "update",
    [
        "status = 'CANCELLED', closed_at = now()",
        "status = 'CANCELLED', reserved_cash = 0",
        "reserved_cash = 0",
        "reserved_cash = 1",
        "reserved_cash = reserved_cash - 1",
        "status = 'FILLED', reserved_cash = 0, closed_at = now()",
        "status = 'CANCELLED', reserved_cash = 0, closed_at = now(), filled_qty = 2",
        "closed_at = now()",
        "status = 'CLAIMED', reserved_cash = 0, closed_at = now()",
    ],
)
def test_an_intent_ends_and_releases_together_or_not_at_all(kit, update):
    kit.insert_intent()

    assert refusal(lambda: kit.db.execute(f"update trade.order_intents set {update}".encode())) == CHECK


# -- how much is reserved, exactly -------------------------------------------------------------------------


def test_a_buy_reserves_its_worst_price_plus_fees(kit):
    intent_id = kit.buy(3, 70_000)

    assert kit.intent_row(intent_id).reserved_cash == Decimal("210031.5")
    assert kit.balance().locked_cash == Decimal("210031.5")


def test_a_buy_without_a_limit_reserves_the_ask_plus_the_venues_cap(kit):
    intent_id = kit.buy(1, None)

    row = kit.intent_row(intent_id)
    assert row.worst_price == 70_400  # 70,100 x 1.005 = 70,450.5, down to a tick of 100
    assert row.reserved_cash == cost(1, 70_400)


def test_each_fill_frees_what_it_was_reserved_for(kit):
    order = kit.live_order("BUY", 10, 70_000)

    kit.fill(order, 4, 69_000)

    assert kit.balance().locked_cash == cost(6)
    assert kit.balance().cash == 100_000_000 - 4 * 69_000
    kit.fill(order, 6, 70_000)
    assert kit.balance().locked_cash == 0
    assert kit.audit() == []


def test_what_is_locked_is_the_sum_of_what_live_intents_reserve(kit):
    kit.hold(100)
    sells = [kit.sell(quantity) for quantity in (10, 20, 30)]
    for quantity in (1, 2, 3):
        kit.buy(quantity)

    kit.call("desk", "select cancel_intent(%s, 'test')", sells[1])

    assert kit.position().locked_qty == 40
    assert kit.balance().locked_cash == cost(6)
    assert kit.audit() == []


# -- released once, however an intent ends -----------------------------------------------------------------


def cancel_waiting(kit, intent_id):
    kit.call("desk", "select cancel_intent(%s, 'test')", intent_id)
    kit.call("desk", "select cancel_intent(%s, 'again')", intent_id)


def expire_waiting(kit, intent_id):
    kit.advance(minutes=2)
    kit.call("risk", "select expire_due()")
    kit.call("risk", "select expire_due()")


def reject_pending(kit, intent_id):
    kit.db.execute(
        "update trade.order_intents set status = 'PENDING_APPROVAL' where intent_id = %s", [intent_id]
    )
    kit.call("desk", "select reject(%s, 'no')", intent_id)


def broker_rejects(kit, intent_id):
    order = kit.claim_one()
    for _ in range(2):
        kit.call("execution", "select order_rejected(%s, %s, 'X', 'no', false)", order.order_id, order.fence)


def broker_rejects_for_now_three_times(kit, intent_id):
    for _ in range(3):
        order = kit.claim_one()
        kit.call("execution", "select order_rejected(%s, %s, 'X', 'no', true)", order.order_id, order.fence)
        kit.advance(seconds=2)


def unsent_three_times(kit, intent_id):
    for _ in range(3):
        order = kit.claim_one()
        kit.call("execution", "select unsend(%s, %s)", order.order_id, order.fence)


def broker_never_had_it_three_times(kit, intent_id):
    for _ in range(3):
        order = kit.claim_one()
        kit.call("execution", "select order_unknown(%s, %s, 'timeout')", order.order_id, order.fence)
        kit.advance(seconds=7)
        assert (
            kit.call("execution", "select order_not_found(%s, %s)", order.order_id, order.fence)
            == "CANCELLED"
        )


def cancelled_at_the_broker(kit, intent_id):
    order = kit.claim_one()
    kit.accept(order)
    kit.call("desk", "select cancel_intent(%s, 'test')", intent_id)
    for _ in range(2):
        kit.call("execution", "select order_cancelled(%s, %s, 0)", order.order_id, order.fence)


def partly_filled_then_cancelled(kit, intent_id):
    order = kit.claim_one()
    kit.accept(order)
    kit.fill(order, 4, 70_000)
    kit.call("execution", "select order_cancelled(%s, %s, 4)", order.order_id, order.fence)


def filled_in_three(kit, intent_id):
    order = kit.claim_one()
    for quantity in (1, 2, 7):
        kit.fill(order, quantity, 70_000)
    kit.accept(order)


def overfilled(kit, intent_id):
    order = kit.claim_one()
    kit.accept(order)
    kit.fill(order, 12, 70_000)


WAYS_OUT = {
    cancel_waiting: "CANCELLED",
    expire_waiting: "EXPIRED",
    reject_pending: "REJECTED",
    broker_rejects: "REJECTED",
    broker_rejects_for_now_three_times: "CANCELLED",
    unsent_three_times: "CANCELLED",
    broker_never_had_it_three_times: "CANCELLED",
    cancelled_at_the_broker: "CANCELLED",
    partly_filled_then_cancelled: "CANCELLED",
    filled_in_three: "FILLED",
    overfilled: "FILLED",
}


@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize("way_out", WAYS_OUT, ids=lambda way: way.__name__)
def test_what_was_reserved_is_freed_once_however_an_intent_ends(kit, way_out, side):
    kit.hold(100)
    price = 70_000 if side == "BUY" else 60_000
    intent_id = kit.intent(side, 10, price)
    kit.intent(side, 7, price)  # another intent, whose reservation must stay

    way_out(kit, intent_id)

    row = kit.intent_row(intent_id)
    assert row.status == WAYS_OUT[way_out]
    assert (row.reserved_qty, row.reserved_cash) == (0, 0)
    bystander = 0 if way_out is expire_waiting else 7
    assert kit.position().locked_qty == (bystander if side == "SELL" else 0)
    assert kit.balance().locked_cash == (cost(bystander) if side == "BUY" else 0)
    assert kit.audit() == []
