"""Picks: what strategies may propose, how three gates answer, and what limits the quantity."""

from decimal import Decimal

import pytest

from tests.sql.laws.market_kit import INTENT, OTHER, SYMBOL, refusal
from workers.runtime.errors import BadInput, KeyReused, MarketClosed, NotAllowed, NotFound

PROPOSE = "select propose(%s, %s, %s, %s::numeric, %s::numeric, 'test', %s)"


def propose(kit, conn, symbol=SYMBOL, side="BUY", kind="ENTRY", quantity=None, price=None, key=None):
    return kit.call(conn, PROPOSE, symbol, side, kind, quantity, price, key)


def route(kit):
    return kit.call("router", "select route_picks(100)")


def answer(kit, pick_id):
    """Status of a pick, with the code and the bound from its last gate."""
    row = kit.rows("desk", "select * from picks where pick_id = %s", pick_id)[0]
    detail = kit.look(
        "select detail from strategy.gate_results where pick_id = %s order by gate desc limit 1", pick_id
    )
    return row.status, row.code, detail.detail.get("bound_by")


def quantity(kit):
    return kit.call(kit.db, "select quantity from trade.order_intents order by 1 desc limit 1")


# -- what may be proposed ----------------------------------------------------------------------------------


def test_only_strategies_propose(kit):
    for station in ("desk", "router", "execution"):
        assert refusal(lambda s=station: propose(kit, s)) == "42501"


def test_a_strategy_proposes_only_its_own_symbols(kit):
    strategy = kit.add_strategy(symbols=[SYMBOL])

    with pytest.raises(NotAllowed):
        propose(kit, strategy, OTHER)


@pytest.mark.parametrize(
    "wrong",
    [
        {"side": "SELL"},
        {"kind": "EXIT"},
        {"kind": "BANANA"},
        {"side": "HOLD"},
        {"quantity": 0},
        {"quantity": -1},
        {"price": 0},
        {"price": -1},
    ],
    ids=str,
)
def test_a_pick_that_makes_no_sense_is_refused(kit, wrong):
    strategy = kit.add_strategy()

    with pytest.raises(BadInput):
        propose(kit, strategy, **wrong)


@pytest.mark.parametrize("wrong", [{"quantity": "NaN"}, {"quantity": "Infinity"}, {"price": "NaN"}], ids=str)
def test_a_pick_that_is_no_number_makes_no_intent_beyond_its_bounds(kit, wrong):
    strategy = kit.add_strategy()

    refusal(lambda: propose(kit, strategy, **wrong))
    route(kit)

    for row in kit.rows(kit.db, "select * from trade.order_intents"):
        assert row.reserved_cash <= 50_000_000
        assert row.worst_price < 80_000
    assert kit.audit() == []


def test_the_same_key_is_the_same_pick(kit):
    strategy = kit.add_strategy()

    first = propose(kit, strategy, key="K")

    assert propose(kit, strategy, key="K") == first
    with pytest.raises(KeyReused):
        propose(kit, strategy, key="K", quantity=5)
    assert route(kit) == 1


def test_the_same_key_at_once_is_the_same_pick(kit):
    strategy = kit.add_strategy()
    other = kit.connect("aegis_s_momo")
    with strategy.transaction():
        first = propose(kit, strategy, key="K")
        late = kit.background(other, PROPOSE, SYMBOL, "BUY", "ENTRY", None, None, "K")
        kit.wait_for_lock(other)

    assert late.result(20) == [(first,)]


def test_a_strategy_takes_back_only_its_own_picks(kit):
    mine, other = kit.add_strategy(), kit.add_strategy("other")
    pick = propose(kit, mine)

    assert not kit.call(other, "select cancel_pick(%s)", pick)
    assert kit.call(mine, "select cancel_pick(%s)", pick)
    assert not kit.call(mine, "select cancel_pick(%s)", pick)
    assert route(kit) == 0


def test_a_pick_is_not_routed_after_its_time(kit):
    pick = propose(kit, kit.add_strategy())
    kit.advance(seconds=30)

    assert route(kit) == 0
    kit.call("risk", "select expire_due()")
    assert kit.call("desk", "select status from picks where pick_id = %s", pick) == "EXPIRED"


def test_a_pick_is_answered_once_by_two_routers_at_once(kit):
    propose(kit, kit.add_strategy())
    first, second = kit.connect("router"), kit.connect("router")
    with first.transaction():
        assert kit.call(first, "select route_picks(10)") == 1
        assert kit.call(second, "select route_picks(10)") == 0

    assert kit.call(kit.db, "select count(*) from trade.order_intents") == 1


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


# -- decisions by hand -------------------------------------------------------------------------------------


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


# -- unknown values let nothing through --------------------------------------------------------------------


@pytest.mark.parametrize("symbols", [[SYMBOL, None], [None], [], [[SYMBOL, OTHER], [OTHER, SYMBOL]], None])
def test_a_strategy_gets_a_plain_list_of_symbols(kit, symbols):
    query = "select add_strategy('odd', 'x:Y', 'demo', %s::text[], 1000, 1000)"

    assert refusal(lambda: kit.call("desk", query, symbols)) == "TRI01"


@pytest.mark.parametrize(
    "symbols", ["array['005930', null]", "array[null::text]", "array[array['005930']]", "'{}'"]
)
def test_no_writer_leaves_a_hole_in_the_list_of_symbols(kit, symbols):
    kit.add_strategy()

    assert refusal(lambda: kit.db.execute(f"update strategy.strategies set symbols = {symbols}")) == "23514"


def test_a_null_in_the_list_lets_nothing_through(kit):
    """Even if the table did not keep it out."""
    momo = kit.add_strategy(symbols=[SYMBOL])
    kit.db.execute("alter table strategy.strategies drop constraint strategies_symbols_whole")
    kit.db.execute("update strategy.strategies set symbols = array['005930', null]")

    for symbol in (OTHER, None):
        assert refusal(lambda s=symbol: momo.execute("select propose(%s, 'BUY')", [s])) == "TRI04"
    momo.execute("select propose(%s, 'BUY')", [SYMBOL])


def test_a_bound_that_cannot_be_computed_lets_nothing_through(kit):
    momo = kit.add_strategy()
    kit.db.execute(
        "create or replace view trade.equities as"
        " select b.account_id, null::numeric as equity, false as is_flagged from trade.balances as b"
    )
    momo.execute("select propose(%s, 'BUY')", [SYMBOL])

    kit.call("router", "select route_picks(10)")

    (pick,) = kit.rows("desk", "select * from picks")
    assert pick.status == "REFUSED"


def test_an_owner_that_is_null_is_no_owner(kit):
    assert refusal(lambda: kit.buy(1, owner=None)) == "TRI02"
