"""An intent made by a person: once for each key, in whole lots, where and when its venue trades."""

import pytest

from tests.sql.laws.market_kit import INTENT, SYMBOL, refusal
from workers.runtime.errors import BadInput, KeyReused, MarketClosed, NotFound


def test_the_same_key_is_the_same_intent_and_reserves_once(kit):
    first = kit.buy(10, key="K")

    assert kit.buy(10, key="K") == first
    assert kit.balance().locked_cash == 700_105
    with pytest.raises(KeyReused):
        kit.buy(11, key="K")
    with pytest.raises(KeyReused):
        kit.buy(10, 69_900, key="K")


def test_a_key_still_belongs_to_an_intent_that_ended(kit):
    first = kit.buy(10, key="K")
    kit.call("desk", "select cancel_intent(%s, 'test')", first)

    assert kit.buy(10, key="K") == first
    assert kit.balance().locked_cash == 0


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_the_same_key_at_once_is_the_same_intent(kit, side):
    kit.hold(20)
    first, second = kit.connect("desk"), kit.connect("desk")
    args = (INTENT, "demo", SYMBOL, side, 10, 70_000, "test", "manual", "MANUAL", "K", "1 min")
    with first.transaction():
        number = kit.call(first, *args)
        late = kit.background(second, *args)
        kit.wait_for_lock(second)

    assert late.result(20) == [(number,)]
    assert kit.audit() == []


def test_a_quantity_is_cut_to_whole_lots(kit):
    kit.add_symbol("LOT", lot=10)

    assert kit.intent_row(kit.buy(29, symbol="LOT")).quantity == 20
    with pytest.raises(BadInput):
        kit.buy(9, symbol="LOT")


def test_an_account_trades_only_its_venue(kit):
    kit.add_symbol("BTC", venue="BINANCE", tick_table="0.1")

    with pytest.raises(NotFound):
        kit.buy(1, symbol="BTC")


def test_nobody_trades_while_the_venue_is_closed(kit):
    kit.hold(10)
    kit.db.execute("insert into market.sessions values ('SIM', '2026-03-02', false, 'holiday')")

    with pytest.raises(MarketClosed):
        kit.buy(1)
    with pytest.raises(MarketClosed):
        kit.sell(1)


def test_what_is_not_active_can_be_sold_and_not_bought(kit):
    kit.hold(10)
    kit.db.execute("update market.instruments set is_active = false")

    with pytest.raises(BadInput):
        kit.buy(1)
    assert kit.sell(1)


def test_an_owner_nobody_knows_is_refused(kit):
    with pytest.raises(NotFound):
        kit.buy(1, owner="stranger")


def test_a_key_written_by_hand_is_used_once(kit):
    kit.insert_intent(idempotency_key="K")

    assert refusal(lambda: kit.insert_intent(idempotency_key="K")) == "23505"
