"""L7: fills change cash, position and profit exactly, to the last digit."""

from decimal import Decimal

import pytest


def traded(kit, *trades):
    """Trade each (side, quantity, price, fee, tax) in turn; return the position."""
    for side, quantity, price, fee, tax in trades:
        order = kit.live_order(side, quantity, 80_000 if side == "BUY" else 60_000)
        assert kit.fill(order, quantity, price, fee=fee, tax=tax) == "RECORDED"
    assert kit.audit() == []
    return kit.position()


def test_a_round_trip_earns_the_difference_less_every_cost(kit):
    position = traded(kit, ("BUY", 10, 70_000, "105", 0), ("SELL", 10, 71_000, "106.5", "1065"))

    assert position.realized_pnl == 10 * 1_000 - Decimal("105") - Decimal("106.5") - Decimal("1065")
    assert kit.balance().cash == 100_000_000 + position.realized_pnl
    assert (position.qty, position.avg_price, position.opened_at) == (0, 0, None)


def test_the_average_price_is_weighted_and_leaves_costs_out(kit):
    position = traded(kit, ("BUY", 10, 70_000, "105", 0), ("BUY", 30, 72_000, "324", 0))

    assert position.avg_price == 71_500
    assert position.realized_pnl == Decimal("-429")


def test_a_partial_sale_leaves_the_average_price(kit):
    position = traded(
        kit, ("BUY", 10, 70_000, 0, 0), ("BUY", 30, 72_000, 0, 0), ("SELL", 15, 73_000, "164.25", "1642.5")
    )

    assert (position.qty, position.avg_price) == (25, 71_500)
    assert position.realized_pnl == 15 * 1_500 - Decimal("164.25") - Decimal("1642.5")


def test_an_average_that_does_not_come_out_even_loses_nothing(kit):
    position = traded(kit, ("BUY", 1, 70_000, 0, 0), ("BUY", 2, 70_100, 0, 0))

    assert position.cost == 210_200
    assert position.avg_price == pytest.approx(Decimal(210_200) / 3, rel=Decimal("1e-15"))


def test_thirds_are_sold_without_losing_a_digit(kit):
    """Sell one of three that cost 210,200: the rest's cost is truncated, yet both parts sum to the whole."""
    first = traded(kit, ("BUY", 1, 70_000, 0, 0), ("BUY", 2, 70_100, 0, 0), ("SELL", 1, 70_100, 0, 0))
    assert first.realized_pnl - first.cost == 70_100 - 210_200
    assert first.realized_pnl == pytest.approx(Decimal(100) / 3, rel=Decimal("1e-12"))

    last = traded(kit, ("SELL", 1, 70_100, 0, 0), ("SELL", 1, 70_100, 0, 0))

    assert (last.qty, last.cost, last.realized_pnl) == (0, 0, 100)


def test_all_of_what_does_not_come_out_even_leaves_nothing(kit):
    position = traded(kit, ("BUY", 1, 70_000, 0, 0), ("BUY", 2, 70_100, 0, 0), ("SELL", 3, 70_100, 0, 0))

    assert (position.qty, position.cost, position.realized_pnl) == (0, 0, 100)


def test_a_coin_of_a_millionth_is_exact_too(kit):
    query = "select add_instrument('SIM', 'PEPE', 'Coin', 'KRW', '0.00000001', 1, 0)"
    kit.call("desk", query)
    kit.quote("0.00001234", "0.00001235", symbol="PEPE")
    for fill_id, (side, quantity, price) in {
        "P1": ("BUY", 700_000_001, "0.00001234"),
        "P2": ("BUY", 299_999_999, "0.00001301"),
        "P3": ("SELL", 333_333_333, "0.00001299"),
    }.items():
        order = kit.live_order(side, quantity, "0.00001400" if side == "BUY" else "0.00001", symbol="PEPE")
        assert kit.fill(order, quantity, price, fill_id=fill_id) == "RECORDED"

    paid = 700_000_001 * Decimal("0.00001234") + 299_999_999 * Decimal("0.00001301")
    got = 333_333_333 * Decimal("0.00001299")
    position = kit.position(symbol="PEPE")
    assert position.realized_pnl - position.cost == got - paid
    assert kit.balance().cash == 100_000_000 + got - paid
    assert kit.audit() == []


def test_a_rebate_is_earned(kit):
    position = traded(kit, ("BUY", 10, 70_000, "-35", 0))

    assert position.realized_pnl == 35
    assert kit.balance().cash == 100_000_000 - 700_000 + 35


def test_a_position_bought_again_starts_at_its_new_price(kit):
    position = traded(kit, ("BUY", 10, 70_000, 0, 0), ("SELL", 10, 69_000, 0, 0), ("BUY", 5, 68_000, 0, 0))

    assert (position.qty, position.avg_price, position.realized_pnl) == (5, 68_000, -10_000)


def test_the_fills_of_a_position_add_up_to_its_profit(kit):
    position = traded(
        kit,
        ("BUY", 7, 70_000, "73.5", 0),
        ("BUY", 3, 70_300, "31.64", 0),
        ("SELL", 4, 70_900, "42.5", "425.4"),
        ("SELL", 6, 69_100, "62.2", "621.9"),
    )

    total = kit.call(kit.db, "select sum(realized_pnl) from trade.fills")
    assert total == position.realized_pnl
    assert kit.balance().cash == 100_000_000 + position.realized_pnl
