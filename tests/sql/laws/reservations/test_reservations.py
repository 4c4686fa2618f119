"""L2 and L3: nobody reserves more than there is, and every writer reserves exactly the rest."""

from decimal import Decimal

import pytest

from tests.sql.laws.market_kit import OTHER, SELL_ROW, refusal, refuses_truncate
from tests.sql.laws.reservations.costs import MOST, cost
from workers.runtime.errors import NotEnoughCash, NotEnoughQuantity

CHECK = "23514"


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
