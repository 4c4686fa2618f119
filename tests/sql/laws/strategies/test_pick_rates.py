"""No strategy delays another: its waiting picks are limited, and the router takes turns."""

from __future__ import annotations

import pytest

from tests.sql.laws.market_kit import OTHER, SYMBOL, Connection, Kit
from workers.runtime.errors import KeyReused, LimitExceeded

PROPOSE = "select propose(%s, 'BUY', 'ENTRY', 1, p_idempotency_key => %s)"
FLOOD = "select count(propose(%s, 'BUY', 'ENTRY', 1)) from generate_series(1, %s)"


def flood(kit: Kit, strategy: Connection, count: int) -> int:
    return int(kit.call(strategy, FLOOD, SYMBOL, count))


def test_the_hundred_and_first_waiting_pick_is_refused(kit: Kit) -> None:
    strategy = kit.add_strategy()
    assert flood(kit, strategy, 100) == 100

    with pytest.raises(LimitExceeded):
        flood(kit, strategy, 1)

    kit.call("router", "select route_picks(1)")
    assert flood(kit, strategy, 1) == 1


def test_one_strategys_flood_refuses_nobody_elses_pick(kit: Kit) -> None:
    strategy, other = kit.add_strategy(), kit.add_strategy("other")
    flood(kit, strategy, 100)

    assert kit.call(other, PROPOSE, OTHER, None)


def test_a_pick_that_is_known_takes_nobodys_place(kit: Kit) -> None:
    strategy = kit.add_strategy()
    first = kit.call(strategy, PROPOSE, SYMBOL, "K")
    flood(kit, strategy, 99)

    assert kit.call(strategy, PROPOSE, SYMBOL, "K") == first
    with pytest.raises(KeyReused):
        kit.call(strategy, PROPOSE, OTHER, "K")
    again = (
        "select count(propose(%s, 'BUY', 'ENTRY', 1, p_idempotency_key => 'K')) from generate_series(1, 700)"
    )
    kit.call(strategy, again, SYMBOL)
    kit.call("router", "select route_picks(100)")
    assert flood(kit, strategy, 1) == 1


def test_six_hundred_picks_a_minute_and_no_more(kit: Kit) -> None:
    strategy = kit.add_strategy()
    made = 0
    for _ in range(6):
        made += flood(kit, strategy, 100)
        kit.call("router", "select route_picks(100)")
    with pytest.raises(LimitExceeded):
        flood(kit, strategy, 1)

    kit.advance(seconds=1)

    assert made == 600
    assert flood(kit, strategy, 10) == 10
    with pytest.raises(LimitExceeded):
        flood(kit, strategy, 1)


def test_a_rolled_back_pick_costs_nothing(kit: Kit) -> None:
    strategy = kit.add_strategy()
    for _ in range(10):
        with strategy.transaction(force_rollback=True):
            flood(kit, strategy, 100)

    assert flood(kit, strategy, 100) == 100


def test_sessions_at_once_have_one_count(kit: Kit) -> None:
    first = kit.add_strategy()
    second = kit.connect("aegis_s_momo")
    with first.transaction():
        flood(kit, first, 60)
        late = kit.background(second, FLOOD, SYMBOL, 60)
        kit.wait_for_lock(second)

    with pytest.raises(LimitExceeded):
        late.result(20)
    assert kit.call("desk", "select count(*) from picks") == 60


def test_an_open_transaction_of_a_strategy_keeps_the_desk_from_nothing(kit: Kit) -> None:
    strategy = kit.add_strategy()
    with strategy.transaction():
        flood(kit, strategy, 1)

        kit.at("desk").execute("set lock_timeout = '2 s'")
        assert kit.call("desk", "select stop_strategy('momo')") == "STOPPED"


def test_the_router_takes_turns(kit: Kit) -> None:
    strategies = [kit.add_strategy(name) for name in ("first", "second", "third")]
    for strategy, count in zip(strategies, (50, 3, 1), strict=True):
        flood(kit, strategy, count)

    kit.call("router", "select route_picks(7)")

    rows = kit.rows(
        kit.db, "select strategy, count(*) from strategy.picks where status <> 'NEW' group by 1 order by 1"
    )
    assert [tuple(row) for row in rows] == [("first", 3), ("second", 3), ("third", 1)]


def test_a_second_router_takes_what_the_first_did_not(kit: Kit) -> None:
    flood(kit, kit.add_strategy(), 5)
    with kit.connect("owner") as first, first.transaction():
        first.execute("select from strategy.picks where pick_id <= 3 for no key update")

        assert kit.call("router", "select route_picks(10)") == 2
