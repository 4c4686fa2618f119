"""L2 and L3: of two sessions that want the last share or the last cash, one gets it."""

import pytest

from tests.sql.laws.market_kit import INTENT, SELL_ROW, SYMBOL
from tests.sql.laws.reservations.costs import MOST
from workers.runtime.errors import NotEnoughCash, NotEnoughQuantity


def decision(side, quantity, price):
    return (INTENT, "demo", SYMBOL, side, quantity, price, "test", "manual", "MANUAL", None, "1 min")


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
