"""Each batch of prices is asked whether it has work for execution; the answer must be right both ways."""

import pytest

from tests.sql.laws.exits.exits_kit import fire
from tests.sql.laws.market_kit import OTHER, SYMBOL


def reached(kit, *symbols):
    return kit.call("feed", "select prices_reach(%s::text[])", list(symbols or (SYMBOL,)))


@pytest.mark.parametrize(
    ("bid", "expected"), [(67_900, True), (68_000, False), (74_100, False), (74_200, True)]
)
def test_a_bid_at_or_beyond_a_trigger_is_reached(kit, held, bid, expected):
    kit.quote(bid, bid + 100)

    assert reached(kit) is expected


def test_only_the_symbols_asked_about_count(kit, held):
    kit.quote(60_000, 60_100)

    assert reached(kit, OTHER) is False
    assert reached(kit, OTHER, SYMBOL) is True


def test_what_has_fired_is_not_reached_again(kit, held):
    kit.quote(60_000, 60_100)
    assert fire(kit) == 1

    kit.quote(59_000, 59_100)

    assert reached(kit) is False


def test_what_cannot_be_sold_now_is_not_reached(kit, held):
    kit.quote(60_000, 59_000)

    assert reached(kit) is False


def test_a_resting_sell_whose_stop_is_reached_is_found(kit, held):
    kit.sell(10, 75_000, owner="momo", intent_type="EXIT")
    kit.quote(70_000, 70_100)
    assert reached(kit) is False

    kit.quote(67_900, 68_000)

    assert reached(kit) is True
    assert fire(kit) == 1
    assert reached(kit) is False


def test_the_prices_of_the_same_statement_count(kit, held):
    query = """
    select prices_reach('{005930}')
    from ingest_quotes('sim', '{005930}', array[%s::timestamptz], '{99}', '{60000}', '{1}', '{60100}', '{1}')
    """
    assert kit.call("feed", query, kit.now) is True
