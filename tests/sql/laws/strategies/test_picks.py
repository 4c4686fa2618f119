"""Picks: what a strategy may propose, and how often it is routed."""

import pytest

from tests.sql.laws.market_kit import OTHER, SYMBOL, refusal
from tests.sql.laws.strategies.strategies_kit import PROPOSE, propose, route
from workers.runtime.errors import BadInput, KeyReused, NotAllowed

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
