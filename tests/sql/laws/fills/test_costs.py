"""Trading costs: commissions in money or in kind, daily rates, taxes, remainders too small to sell."""

import datetime as dt
from decimal import Decimal

import pytest

FILL_IN_KIND = (
    "select record_fill('demo', %s, null, %s, %s::numeric, %s::numeric, 0, 0, %s, p_fee_qty => %s::numeric)"
)
COIN = "BTC"


@pytest.fixture
def coin(kit):
    """An instrument in lots of 0.001, quoted at 1,000,000, with a minimum order value of 5,000."""
    query = "select add_instrument('SIM', %s, 'Coin', 'KRW', '0.01', 0.001, 5000)"
    kit.call("desk", query, COIN)
    kit.quote(1_000_000, 1_000_100, symbol=COIN)
    return COIN


def fill_in_kind(kit, order, quantity, price, fee_qty, fill_id="K"):
    """Report a fill whose commission the broker took in the instrument."""
    args = (order.client_order_id, fill_id, quantity, price, kit.now, fee_qty)
    return kit.call("execution", FILL_IN_KIND, *args)


def trade_in_kind(kit, side, quantity, price, fee_qty, owner="manual"):
    kind = "MANUAL" if owner == "manual" else {"BUY": "ENTRY", "SELL": "EXIT"}[side]
    order = kit.live_order(side, quantity, price, symbol=COIN, owner=owner, intent_type=kind)
    assert fill_in_kind(kit, order, quantity, price, fee_qty, f"K{order.order_id}") == "RECORDED"
    assert kit.audit() == []
    return kit.position(owner, COIN)


# -- commissions in the instrument -------------------------------------------------------------------------


def test_a_buy_brings_less_by_a_commission_in_kind_and_each_unit_costs_more(kit, coin):
    position = trade_in_kind(kit, "BUY", 1, 1_000_000, "0.2")

    assert (position.qty, position.avg_price, position.realized_pnl) == (Decimal("0.8"), 1_250_000, 0)
    assert kit.balance().cash == 100_000_000 - 1_000_000


def test_a_sell_costs_more_by_a_commission_in_kind(kit, coin):
    trade_in_kind(kit, "BUY", 1, 1_000_000, 0)
    position = trade_in_kind(kit, "SELL", "0.5", 1_100_000, "0.1")

    assert (position.qty, position.avg_price) == (Decimal("0.4"), 1_000_000)
    assert position.realized_pnl == 550_000 - 600_000
    assert kit.balance().cash == 100_000_000 - 1_000_000 + 550_000


def test_a_round_trip_in_kind_earns_what_the_cash_earned(kit, coin):
    trade_in_kind(kit, "BUY", 1, 1_000_000, "0.2")
    position = trade_in_kind(kit, "SELL", "0.5", 1_600_000, "0.3")

    assert (position.qty, position.avg_price, position.opened_at) == (0, 0, None)
    assert position.realized_pnl == -200_000
    assert kit.balance().cash == 100_000_000 - 200_000


def test_an_order_is_filled_by_what_was_traded_and_not_by_what_arrived(kit, coin):
    trade_in_kind(kit, "BUY", 1, 1_000_000, "0.001")

    row = kit.intent_row(1)
    assert (row.status, row.filled_qty, row.reserved_cash) == ("FILLED", 1, 0)


def test_a_commission_in_kind_beyond_what_is_held_is_adopted_and_reported(kit, coin):
    trade_in_kind(kit, "BUY", 1, 1_000_000, 0)
    position = trade_in_kind(kit, "SELL", 1, 1_100_000, "0.001")

    assert position.qty == 0
    (row,) = kit.rows(kit.db, "select quantity, price from trade.reconciliations")
    assert (row.quantity, row.price) == (Decimal("0.001"), 1_100_000)
    assert kit.incidents() == [("oversold", True)]


@pytest.mark.parametrize("fee_qty", [1, 2, -1, "NaN", "Infinity"])
def test_a_commission_in_kind_that_makes_no_sense_is_kept_as_an_incident(kit, coin, fee_qty):
    order = kit.live_order("BUY", 1, 1_000_000, symbol=COIN)

    assert fill_in_kind(kit, order, 1, 1_000_000, fee_qty) == "UNMATCHED"

    assert kit.incidents() == [("unmatched_fill", True)]
    assert kit.position(symbol=COIN) is None


# -- remainders too small to sell --------------------------------------------------------------------------


def dust(kit):
    return [tuple(row) for row in kit.rows("desk", "select symbol, owner, qty from dust")]


def armed(kit):
    return kit.look("select is_armed from api.positions where owner = 'momo'").is_armed


def route(kit, strategy, symbol):
    pick = kit.call(strategy, "select propose(%s, 'BUY')", symbol)
    kit.call("router", "select route_picks(10)")
    return kit.look("select status, code, message from api.picks where pick_id = %s", pick)


@pytest.mark.parametrize(
    ("sold", "fee_qty", "rest"),
    [("0.009", "0.0005", "0.0005"), ("0.006", 0, "0.004")],
    ids=["less than a lot", "less than the least notional"],
)
def test_a_rest_too_small_to_sell_is_dust(kit, coin, sold, fee_qty, rest):
    strategy = kit.add_strategy(symbols=[COIN])
    trade_in_kind(kit, "BUY", "0.01", 1_000_000, 0, "momo")
    assert (dust(kit), armed(kit)) == ([], True)
    assert route(kit, strategy, COIN).message == "the strategy already holds it"

    trade_in_kind(kit, "SELL", sold, 1_000_000, fee_qty, "momo")

    assert dust(kit) == [(COIN, "momo", Decimal(rest))]
    assert not armed(kit)
    kit.quote(500_000, 500_100, symbol=COIN)
    assert kit.call("exits", "select fire_exits()") == 0, "what cannot be sold is not protected"
    assert route(kit, strategy, COIN).status == "ROUTED", "it counts as closed"


def test_dust_that_is_bought_again_is_a_position_like_any_other(kit, coin):
    kit.add_strategy(symbols=[COIN])
    trade_in_kind(kit, "BUY", "0.01", 1_000_000, "0.0095", "momo")
    assert (dust(kit), armed(kit)) == ([(COIN, "momo", Decimal("0.0005"))], False)

    trade_in_kind(kit, "BUY", "0.01", 1_000_000, 0, "momo")

    assert (dust(kit), armed(kit)) == ([], True)


def test_dust_is_protected_again_as_soon_as_its_price_makes_it_enough(kit, coin):
    kit.add_strategy(symbols=[COIN])
    trade_in_kind(kit, "BUY", "0.01", 1_000_000, "0.006", "momo")  # target 2,650,000, stop 2,425,000
    assert (dust(kit), armed(kit)) == ([(COIN, "momo", Decimal("0.004"))], False)

    kit.quote(2_700_000, 2_700_100, symbol=COIN)

    assert (dust(kit), armed(kit)) == ([], True)
    assert kit.call("exits", "select fire_exits()") == 1
    assert kit.intent_row(2).reason == "TAKE_PROFIT"


def test_a_rest_beside_a_resting_sell_does_not_disarm_the_whole(kit, coin):
    kit.add_strategy(symbols=[COIN])
    trade_in_kind(kit, "BUY", "0.01", 1_000_000, 0, "momo")
    resting = kit.sell("0.009", 1_100_000, owner="momo", symbol=COIN, intent_type="EXIT")
    kit.quote(960_000, 960_100, symbol=COIN)
    kit.call("exits", "select fire_exits()")
    kit.call("desk", "select cancel_intent(%s, 'test')", resting)

    assert kit.call("exits", "select fire_exits()") == 1

    assert kit.intent_row(resting + 1).quantity == Decimal("0.01")


def test_what_is_dust_follows_the_price(kit, coin):
    trade_in_kind(kit, "BUY", "0.01", 1_000_000, "0.006")
    assert dust(kit) == [(COIN, "manual", Decimal("0.004"))]

    kit.quote(1_250_000, 1_250_100, symbol=COIN)

    assert dust(kit) == []


# -- daily rates -------------------------------------------------------------------------------------------


def rates(kit, day, maker, taker, buy_tax=0, sell_tax=0):
    query = "insert into market.fee_rates values ('SIM', %s, %s, %s, %s, %s)"
    kit.db.execute(query, [day, maker, taker, buy_tax, sell_tax])


def reserved(kit, intent_id):
    row = kit.intent_row(intent_id)
    assert row.reserved_cash == kit.intent_row(intent_id).quantity * row.worst_price * (1 + row.reserve_rate)
    return row.reserve_rate


def test_a_buy_reserves_the_rates_of_its_day(kit):
    rates(kit, dt.date(2026, 3, 3), "0.001", "0.002")
    rates(kit, dt.date(2026, 3, 4), "0", "0")
    kit.advance(hours=13, minutes=59)  # one minute before midnight in Seoul
    last_of_the_day = kit.buy(1, ttl="1 day")
    kit.advance(minutes=1)
    first_of_the_next = kit.buy(1)

    assert reserved(kit, last_of_the_day) == Decimal("0.00015")
    assert reserved(kit, first_of_the_next) == Decimal("0.002")


@pytest.mark.parametrize(
    ("row", "rate"),
    [
        (("0.001", "0.002", 0, "0.0015"), "0.002"),
        (("0.003", "0.002", 0, "0.0015"), "0.003"),
        (("-0.001", "0.002", "0.0001", 0), "0.0021"),
    ],
    ids=["taker", "maker", "tax on buys"],
)
def test_a_buy_reserves_the_dearer_commission_and_its_tax_but_not_that_of_the_sell(kit, row, rate):
    rates(kit, dt.date(2026, 3, 2), *row)

    assert reserved(kit, kit.buy(10)) == Decimal(rate)


def test_a_sell_reserves_no_cash_whatever_its_tax(kit):
    rates(kit, dt.date(2026, 3, 2), "0.001", "0.001", 0, "0.1")
    kit.hold(10)

    row = kit.intent_row(kit.sell(10))

    assert (row.reserved_cash, row.reserve_rate, kit.balance().locked_cash) == (0, 0, 0)


# -- exact to the last digit -------------------------------------------------------------------------------


def test_partial_buys_and_sells_with_commission_and_tax_add_up(kit):
    first = kit.live_order("BUY", 10, 70_000)
    kit.fill(first, 4, 69_900, fee="41.94")
    kit.fill(first, 6, 70_000, fee="63")
    assert kit.position().avg_price == 69_960

    half = kit.live_order("SELL", 5, 70_000)
    kit.fill(half, 2, 71_000, fee="21.3", tax="213")
    kit.fill(half, 3, 71_100, fee="31.995", tax="319.95")
    assert kit.position().avg_price == 69_960
    assert kit.position().realized_pnl == 5_500 - Decimal("104.94") - Decimal("53.295") - Decimal("532.95")

    kit.fill(kit.live_order("BUY", 5, 71_000), 5, 71_000, fee="53.25")
    assert kit.position().avg_price == 70_480

    kit.fill(kit.live_order("SELL", 10, 70_000), 10, 70_500, fee="105.75", tax="1057.5")

    commission, tax = Decimal("317.235"), Decimal("1590.45")
    assert kit.position().realized_pnl == 5_500 + 200 - commission - tax
    assert kit.balance().cash == 100_000_000 + kit.position().realized_pnl
    query = "select -sum(amount) as paid from trade.cash_entries where kind = %s"
    assert (kit.look(query, "fee").paid, kit.look(query, "tax").paid) == (commission, tax)
    assert kit.audit() == []
