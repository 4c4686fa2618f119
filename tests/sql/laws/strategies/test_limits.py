"""Limits count live intents, whoever created them, and hold against many sessions at once."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.sql.laws.market_kit import ACCOUNT, CASH, OTHER, SYMBOL, Connection, Kit

PROPOSE = "select propose(%s, 'BUY', %s, %s::numeric)"
SHARE = Decimal("0.3")  # set by add_account


def propose(kit: Kit, strategy: Connection, symbol: str, quantity: int, kind: str = "ENTRY") -> int:
    return int(kit.call(strategy, PROPOSE, symbol, kind, quantity))


def route(kit: Kit) -> int:
    return int(kit.call("router", "select route_picks(100)"))


def promised(kit: Kit, symbol: str = SYMBOL) -> Decimal:
    """What live buys of a symbol may still cost, excluding fees."""
    return Decimal(
        kit.call(
            kit.db,
            "select coalesce(sum((quantity - filled_qty) * worst_price), 0) from trade.order_intents"
            " join market.instruments using (instrument_id)"
            " where symbol = %s and side = 'BUY' and closed_at is null",
            symbol,
        )
    )


def codes(kit: Kit) -> list[str]:
    return [row.code for row in kit.rows("desk", "select code from picks order by pick_id")]


def test_two_strategies_of_one_batch_share_the_share_of_a_symbol(kit: Kit) -> None:
    for name in ("first", "second"):
        propose(kit, kit.add_strategy(name, budget=10**12), SYMBOL, 100_000)

    route(kit)

    assert 0 < promised(kit) <= SHARE * CASH
    assert codes(kit) == ["ok", "TRI01"]
    assert kit.audit() == []


def test_the_share_counts_what_is_held_what_is_live_by_hand_and_the_unfilled_rest(kit: Kit) -> None:
    kit.hold(100, 70_000)
    order = kit.live_order("BUY", 200, 70_000)
    kit.fill(order, 50, 70_000)
    propose(kit, kit.add_strategy(budget=10**12), SYMBOL, 100_000)

    route(kit)

    worst = Decimal(70_400)
    free = SHARE * CASH - 150 * worst - 150 * 70_000
    assert kit.intent_row(3).quantity == free // worst


def test_a_cancelled_buy_gives_its_share_back(kit: Kit) -> None:
    intent_id = kit.buy(400, 70_000)
    strategy = kit.add_strategy(budget=10**12)
    kit.call("desk", "select cancel_intent(%s, 'test')", intent_id)
    propose(kit, strategy, SYMBOL, 400)

    route(kit)

    assert codes(kit) == ["ok"]
    assert kit.intent_row(2).quantity == 400


def test_the_share_of_another_symbol_is_its_own(kit: Kit) -> None:
    kit.buy(400, 70_000)
    propose(kit, kit.add_strategy(budget=10**12), OTHER, 400)

    route(kit)

    assert codes(kit) == ["ok"]


@pytest.fixture
def many(kit: Kit) -> list[str]:
    """Eight symbols, and a limit of five entries per day."""
    symbols = [f"S{number}" for number in range(8)]
    for symbol in symbols:
        kit.add_symbol(symbol)
        kit.quote(100, 101, symbol=symbol)
    kit.db.execute("insert into risk.limits values ('max_entries_per_day', 1, 5)")
    return symbols


def test_the_entries_of_a_day_count_those_on_their_way(kit: Kit, many: list[str]) -> None:
    kit.hold(1, 101, symbol=many[0])
    kit.buy(1, 101, symbol=many[1])
    strategy = kit.add_strategy(symbols=many)
    for symbol in many[2:]:
        propose(kit, strategy, symbol, 1)

    route(kit)

    assert codes(kit) == ["ok", "ok", "ok", "TRX01", "TRX01", "TRX01"]


def test_an_entry_that_ended_unfilled_is_none(kit: Kit, many: list[str]) -> None:
    strategy = kit.add_strategy(symbols=many)
    for symbol in many[:5]:
        propose(kit, strategy, symbol, 1)
    route(kit)
    kit.call("desk", "select cancel_intent(1, 'test')")
    for symbol in many[5:7]:
        propose(kit, strategy, symbol, 1)

    route(kit)

    assert codes(kit) == ["ok"] * 6 + ["TRX01"]


def test_limits_hold_against_sixteen_routers_at_once(kit: Kit, many: list[str]) -> None:
    strategies = [kit.add_strategy(f"s{n}", budget=10**12, symbols=[SYMBOL, *many]) for n in range(4)]
    for strategy in strategies:
        propose(kit, strategy, SYMBOL, 100_000)
    for n, symbol in enumerate(many):
        propose(kit, strategies[n % 4], symbol, 1)
    routers = [kit.connect("router") for _ in range(16)]

    with kit.connect("owner") as holder, holder.transaction():
        holder.execute("select from trade.balances for no key update")
        routed = [kit.background(router, "select route_picks(1)") for router in routers]
        kit.wait_until(
            "select count(*) >= 12 from pg_stat_activity where wait_event_type = 'Lock' and usename = %s",
            "aegis_w_router",
        )
    # On a slow machine some give up the account after 600 ms: their picks wait for the next call.
    answered = sum(done.result(20)[0][0] for done in routed)
    assert answered + kit.call("router", "select route_picks(12)") == 12

    assert promised(kit) <= SHARE * CASH
    assert kit.call(kit.db, "select count(*) from trade.order_intents where closed_at is null") == 5
    assert kit.audit() == []


def test_a_router_and_a_person_at_once_do_not_pass_the_share_together(kit: Kit) -> None:
    propose(kit, kit.add_strategy(budget=10**12), SYMBOL, 100_000)
    desk, router = kit.connect("desk"), kit.connect("router")

    with desk.transaction():
        kit.buy(400, 70_000, by=desk)
        routed = kit.background(router, "select route_picks(1)")
        kit.wait_for_lock(router)
    assert routed.result(20) == [(1,)]

    assert promised(kit) <= SHARE * CASH


def test_a_person_passes_the_limits_by_hand(kit: Kit) -> None:
    """As the comment on risk.limits says: the limits apply to what strategies propose."""
    assert kit.buy(1_000, 70_000)

    assert promised(kit) > SHARE * CASH
    assert kit.call(kit.db, "select obj_description('risk.limits'::regclass) like '%%by hand passes them%%'")
    assert kit.call("desk", "select value from limits where account = %s", ACCOUNT) == SHARE
