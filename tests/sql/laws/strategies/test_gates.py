"""The three gates: why a pick is refused, and what limits its quantity."""

from decimal import Decimal

import pytest

from tests.sql.laws.market_kit import OTHER
from tests.sql.laws.strategies.strategies_kit import answer, propose, quantity, route

# -- the gates ---------------------------------------------------------------------------------------------


def test_a_pick_that_passes_has_three_answers_and_an_intent(kit):
    pick = propose(kit, kit.add_strategy())

    route(kit)

    rows = kit.rows("desk", "select gate, passed, code from gate_results where pick_id = %s order by 1", pick)
    assert [tuple(row) for row in rows] == [(1, True, "ok"), (2, True, "ok"), (3, True, "ok")]
    assert kit.intent_row(1).pick_id == pick
    assert kit.intent_row(1).owner == "momo"


REFUSALS = {
    "a stopped strategy": (lambda kit: kit.call("desk", "select stop_strategy('momo')"), "TRI04"),
    "a halt": (lambda kit: kit.call("desk", "select halt('x')"), "TRM01"),
    "safe": (lambda kit: kit.call("desk", "select safe('x')"), "TRM01"),
    "a closed market": (
        lambda kit: kit.db.execute(
            "insert into market.sessions values ('SIM', '2026-03-02', false, 'holiday')"
        ),
        "TRS01",
    ),
    "an inactive symbol": (
        lambda kit: kit.db.execute("update market.instruments set is_active = false"),
        "TRI01",
    ),
    "a stale price": (lambda kit: kit.advance(seconds=6), "TRP01"),
    "entries of the day made": (
        lambda kit: kit.db.execute("insert into risk.limits values ('max_entries_per_day', 1, 0)"),
        "TRX01",
    ),
    "an intent still live": (lambda kit: kit.buy(1, owner="momo", intent_type="ENTRY"), "TRX01"),
    "held already": (lambda kit: kit.hold(1, owner="momo"), "TRX01"),
    "no budget left": (lambda kit: kit.db.execute("update strategy.strategies set budget = 1"), "TRI01"),
    "no cash left": (lambda kit: kit.move_cash(-100_000_000), "TRI01"),
    "a limit outside the limits of the day": (
        lambda kit: kit.db.execute(
            "update strategy.picks set limit_price = 1;"
            " update market.instruments set limit_low = 65000, limit_high = 75000"
        ),
        "TRP02",
    ),
}


@pytest.mark.parametrize(("spoil", "code"), REFUSALS.values(), ids=REFUSALS)
def test_a_pick_is_refused_with_its_reason(kit, spoil, code):
    pick = propose(kit, kit.add_strategy())
    spoil(kit)

    route(kit)

    status, found, _ = answer(kit, pick)
    assert (status, found) == ("REFUSED", code)
    assert kit.call(kit.db, "select count(*) from trade.order_intents where pick_id is not null") == 0


@pytest.mark.parametrize("kind", ["ADD", "PYRAMID"])
def test_only_what_is_held_is_added_to(kit, kind):
    strategy = kit.add_strategy()
    early = propose(kit, strategy, kind=kind)
    route(kit)
    kit.hold(1, owner="momo")
    late = propose(kit, strategy, kind=kind)
    route(kit)

    assert [answer(kit, pick)[:2] for pick in (early, late)] == [("REFUSED", "TRX01"), ("ROUTED", "ok")]


# -- quantity: the smallest of all bounds ------------------------------------------------------------------

WORST = Decimal(70_400)  # the ask plus half a percent, down to a tick
COST = WORST * Decimal("1.00015")
BOUNDS = {
    "requested": ({"quantity": 7}, None, 7),
    "order notional": ({}, None, int(5_000_000 // WORST)),
    "budget": ({}, "update strategy.strategies set budget = 1000000", int(1_000_000 // COST)),
    "buying power": (
        {"quantity": 10_000},
        "update risk.limits set value = 99; update strategy.strategies set budget = 1e12",
        int(100_000_000 // COST),
    ),
    "position share": (
        {"quantity": 10_000},
        "update strategy.strategies set budget = 1e12",
        int(30_000_000 // WORST),
    ),
}


@pytest.mark.parametrize(("asked", "sql", "expected"), BOUNDS.values(), ids=BOUNDS)
def test_the_tightest_bound_counts_and_is_recorded(kit, request, asked, sql, expected):
    pick = propose(kit, kit.add_strategy(), **asked)
    for statement in (sql or "select 1").split(";"):
        kit.db.execute(statement.encode())

    route(kit)

    assert answer(kit, pick) == ("ROUTED", "ok", request.node.callspec.id)
    assert quantity(kit) == expected


def test_a_budget_counts_what_is_held_and_what_is_reserved(kit):
    strategy = kit.add_strategy(budget=2_000_000, notional=50_000_000)
    kit.hold(10, 70_000, owner="momo")
    kit.buy(5, 70_000, owner="momo", intent_type="ENTRY", symbol=OTHER)
    kit.db.execute("update trade.order_intents set status = 'CLAIMED' where status = 'NEW'")
    pick = propose(kit, strategy, OTHER)
    kit.db.execute("update strategy.picks set instrument_id = 1, intent_type = 'ADD'")

    route(kit)

    rest = 2_000_000 - 700_000 - 350_000 * Decimal("1.00015")
    assert answer(kit, pick) == ("ROUTED", "ok", "budget")
    assert quantity(kit) == max(10, int(rest // COST))


def test_a_sell_is_bound_by_what_is_free(kit):
    strategy = kit.add_strategy()
    kit.hold(10, owner="momo")
    kit.sell(4, owner="momo")
    pick = propose(kit, strategy, side="SELL", kind="EXIT", quantity=10)

    route(kit)

    assert answer(kit, pick) == ("ROUTED", "ok", "free quantity")
    assert kit.position("momo").locked_qty == 10
    assert kit.audit() == []
