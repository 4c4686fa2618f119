"""The broker's holdings are the truth: a difference seen twice is corrected by rows that record it."""

from decimal import Decimal

import pytest
from psycopg.types.json import Jsonb

from tests.sql.laws.market_kit import OTHER, SYMBOL, refusal

RECONCILE = "select reconcile('demo', %s, %s)"


def mark(kit):
    return kit.call("reconcile", "select holdings_mark('demo')")


def look(kit, holdings, cash=None, seen=None):
    """Compare once with what the broker holds; the mark is read before the broker is asked."""
    snapshot = {"holdings": {symbol: str(qty) for symbol, qty in holdings.items()}}
    if cash is not None:
        snapshot["cash"] = str(cash)
    return kit.call("reconcile", RECONCILE, seen or mark(kit), Jsonb(snapshot))


def correct(kit, holdings, cash=None):
    assert [look(kit, holdings, cash) for _ in range(2)] == ["DIFFERS", "CORRECTED"]
    assert kit.audit() == []


def corrections(kit):
    rows = kit.rows(
        kit.db, "select owner, quantity, price, reason from trade.reconciliations order by reconciliation_id"
    )
    return [(row.owner, row.quantity, row.price) for row in rows]


def held(kit, symbol=SYMBOL):
    """Quantity of a symbol that each owner holds."""
    query = "select owner, qty from positions where symbol = %s order by owner"
    return {row.owner: row.qty for row in kit.rows("desk", query, symbol)}


# -- the same difference twice -----------------------------------------------------------------------------


def test_what_is_seen_once_is_an_incident_and_changes_nothing(kit):
    kit.hold(10)

    assert look(kit, {SYMBOL: 8}) == "DIFFERS"

    assert held(kit) == {"manual": 10}
    assert corrections(kit) == []
    assert kit.incidents() == [("disagreement", True)]
    (run,) = kit.rows("desk", "select differences from reconciliations where answer = 'DIFFERS'")
    assert run.differences == [{"item": SYMBOL, "ours": 10, "theirs": 8}]


def test_what_is_seen_twice_is_put_right_and_the_incident_ends_with_the_next_agreement(kit):
    kit.hold(10)

    correct(kit, {SYMBOL: 8})

    assert held(kit) == {"manual": 8}
    assert kit.incidents() == [("disagreement", True)]
    assert look(kit, {SYMBOL: 8}) == "AGREES"
    assert kit.incidents() == [("disagreement", False)]


def test_two_looks_that_differ_from_each_other_prove_nothing(kit):
    kit.hold(10)

    assert [look(kit, {SYMBOL: qty}) for qty in (8, 7, 8, 8)] == ["DIFFERS"] * 3 + ["CORRECTED"]

    assert held(kit) == {"manual": 8}


def test_a_look_that_agrees_starts_the_count_again(kit):
    kit.hold(10)

    answers = [look(kit, {SYMBOL: qty}) for qty in (8, 10, 8)]

    assert answers == ["DIFFERS", "AGREES", "DIFFERS"]
    assert held(kit) == {"manual": 10}


def test_a_difference_that_outlived_a_change_is_looked_at_twice_again(kit):
    kit.hold(10)
    assert look(kit, {SYMBOL: 8}) == "DIFFERS"
    kit.move_cash(5)
    kit.move_cash(-3)

    assert look(kit, {SYMBOL: 8}) == "DIFFERS"
    assert look(kit, {SYMBOL: 8}) == "CORRECTED"


def test_a_difference_of_one_account_is_no_look_at_another(kit):
    kit.add_account("second")
    kit.hold(10)
    look(kit, {SYMBOL: 8})
    second = kit.call("reconcile", "select holdings_mark('second')")
    query = "select reconcile('second', %s, %s)"
    assert kit.call("reconcile", query, second, Jsonb({"holdings": {SYMBOL: 8}})) == "DIFFERS"

    assert look(kit, {SYMBOL: 8}) == "CORRECTED"
    assert held(kit) == {"manual": 8}


@pytest.mark.parametrize(
    "moved",
    [
        lambda kit: kit.hold(1),
        lambda kit: kit.move_cash(1),
        lambda kit: kit.live_order("BUY", 1, 70_000),
    ],
    ids=["a fill", "cash", "an order"],
)
@pytest.mark.parametrize("theirs", [8, 10])
def test_what_moved_while_the_broker_was_asked_proves_nothing(kit, moved, theirs):
    kit.hold(10)
    seen = mark(kit)
    moved(kit)

    assert look(kit, {SYMBOL: theirs}, seen=seen) == "CHANGED"

    assert kit.incidents() == []


def test_while_an_order_is_in_flight_a_difference_proves_nothing_and_an_agreement_does(kit):
    kit.hold(10)
    order = kit.live_order("BUY", 5, 70_000)

    assert [look(kit, {SYMBOL: 15}) for _ in range(3)] == ["WAITS"] * 3
    assert look(kit, {SYMBOL: 10}) == "AGREES"

    assert kit.incidents() == []
    assert corrections(kit) == []
    kit.fill(order, 5, 70_000)
    assert look(kit, {SYMBOL: 15}) == "AGREES"


def test_a_difference_that_waits_for_an_order_longer_than_a_minute_is_reported(kit):
    kit.hold(10)
    kit.live_order("SELL", 5, 90_000)
    assert look(kit, {SYMBOL: 8}) == "WAITS"
    kit.advance(seconds=60)
    assert look(kit, {SYMBOL: 8}) == "WAITS"
    assert kit.incidents() == []

    kit.advance(seconds=1)
    assert look(kit, {SYMBOL: 8}) == "WAITS"

    assert kit.incidents() == [("disagreement", True)]
    assert held(kit) == {"manual": 10}
    waits = kit.rows("desk", "select differences from reconciliations where answer = 'WAITS'")
    assert [row.differences for row in waits] == [[{"item": SYMBOL, "ours": 10, "theirs": 8}]]
    look(kit, {SYMBOL: 10})
    assert kit.incidents() == [("disagreement", False)]


def test_a_difference_that_waits_is_waited_for_again_when_it_changes(kit):
    kit.hold(10)
    kit.live_order("SELL", 5, 90_000)
    look(kit, {SYMBOL: 8})
    kit.advance(seconds=61)

    assert look(kit, {SYMBOL: 7}) == "WAITS"

    assert kit.incidents() == []


def test_a_difference_waits_only_where_an_order_is_in_flight(kit):
    kit.hold(10)
    kit.live_order("SELL", 5, 90_000)
    theirs = {SYMBOL: 8, OTHER: 3}
    cash = kit.balance().cash + 5

    assert [look(kit, theirs, cash) for _ in range(2)] == ["DIFFERS", "CORRECTED"]

    assert (held(kit), held(kit, OTHER)) == ({"manual": 10}, {"manual": 3})
    assert kit.balance().cash == cash - 5, "an order may have moved it"
    assert look(kit, theirs, cash) == "WAITS"
    assert kit.audit() == []


@pytest.mark.parametrize(
    "snapshot",
    [
        {},
        {"holdings": None},
        {"holdings": [SYMBOL]},
        *({"holdings": {SYMBOL: odd}} for odd in (None, "", "ten", "NaN", "Infinity", "-1", True, [10])),
        *({"holdings": {SYMBOL: 10}, "cash": odd} for odd in ("", "much", "NaN", "-Infinity", False)),
    ],
    ids=str,
)
def test_a_snapshot_that_cannot_be_read_is_reported_and_proves_nothing(kit, snapshot):
    kit.hold(10)
    kit.advance(seconds=1)
    kit.call("supervisor", "select begin_run()")
    before = kit.balance()

    assert kit.call("reconcile", RECONCILE, mark(kit), Jsonb(snapshot)) == "UNREADABLE"

    assert kit.incidents() == [("unreadable_snapshot", True)]
    assert (held(kit), kit.balance()) == ({"manual": 10}, before)
    assert not kit.look("select is_open from api.accounts").is_open
    assert look(kit, {SYMBOL: 10}) == "AGREES"
    assert kit.incidents() == [("unreadable_snapshot", False)]
    assert kit.audit() == []


@pytest.mark.parametrize("ten", [10, 10.0, "10", "10.", "1e1", "1.0E+1"])
def test_a_number_is_read_however_it_is_written(kit, ten):
    kit.hold(10)
    snapshot = {"holdings": {SYMBOL: ten, OTHER: "0E-8"}, "cash": None}

    assert kit.call("reconcile", RECONCILE, mark(kit), Jsonb(snapshot)) == "AGREES"


# -- which owner gets the difference -----------------------------------------------------------------------


def test_what_came_from_outside_belongs_to_manual_at_the_price_of_now(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    kit.quote(71_000, 71_100)

    correct(kit, {SYMBOL: 15, OTHER: 3})

    assert held(kit) == {"manual": 5, "momo": 10}
    assert held(kit, OTHER) == {"manual": 3}
    assert corrections(kit) == [("manual", 3, 70_000), ("manual", 5, 71_000)]
    assert kit.position().avg_price == 71_000
    assert look(kit, {SYMBOL: 15, OTHER: 3}) == "AGREES"


def test_a_sale_by_hand_takes_from_manual_first_and_then_from_owners_by_name(kit):
    for name in ("beta", "alfa"):
        kit.add_strategy(name)
        kit.hold(10, owner=name)
    kit.hold(10)

    correct(kit, {SYMBOL: 26})
    assert held(kit) == {"alfa": 10, "beta": 10, "manual": 6}

    correct(kit, {SYMBOL: 13})
    assert held(kit) == {"alfa": 3, "beta": 10, "manual": 0}

    correct(kit, {})
    assert held(kit) == {"alfa": 0, "beta": 0, "manual": 0}
    assert [(owner, quantity) for owner, quantity, _ in corrections(kit)] == [
        ("manual", -4),
        ("manual", -6),
        ("alfa", -7),
        ("alfa", -3),
        ("beta", -10),
    ]


@pytest.mark.parametrize("theirs", [0, 1, 9, 10, 11, 19, 20, 21, 100])
def test_afterwards_the_owners_together_hold_what_the_broker_holds(kit, theirs):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    kit.hold(10)

    answers = [look(kit, {SYMBOL: theirs}) for _ in range(2)]

    assert answers == (["AGREES"] * 2 if theirs == 20 else ["DIFFERS", "CORRECTED"])
    assert sum(held(kit).values()) == theirs
    assert look(kit, {SYMBOL: theirs}) == "AGREES"
    assert kit.audit() == []


def test_a_sale_by_hand_with_its_money_is_profit_at_the_price_of_now(kit):
    kit.hold(10)
    kit.quote(71_000, 71_100)
    theirs = kit.balance().cash + 284_500

    correct(kit, {SYMBOL: 6}, cash=theirs)

    assert (kit.position().avg_price, kit.position().realized_pnl) == (70_000, 4 * 1_000)
    assert kit.balance().cash == theirs
    last = kit.look("select kind, amount, note from trade.cash_entries order by cash_entry_id desc")
    assert tuple(last) == ("correction", Decimal(284_500), "the broker holds another amount")


def test_a_position_that_is_gone_is_disarmed_and_one_that_shrank_stays_armed(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    query = "select is_armed from trade.position_exits"

    correct(kit, {SYMBOL: 4})
    assert kit.look(query).is_armed

    correct(kit, {})
    assert not kit.look(query).is_armed


def test_what_is_not_in_our_universe_is_reported_and_nothing_else(kit):
    kit.hold(10)
    look(kit, {SYMBOL: 10, "STRANGE": 7})
    look(kit, {SYMBOL: 10, "STRANGE": 7})

    assert kit.incidents() == [("unknown_holding", True)]
    assert corrections(kit) == []
    assert held(kit) == {"manual": 10}
    assert look(kit, {SYMBOL: 10, "STRANGE": 7}) == "AGREES"
    look(kit, {SYMBOL: 10})
    assert kit.incidents() == [("unknown_holding", False)]
    assert kit.audit() == []


def test_a_difference_counts_from_its_first_look_after_a_correction(kit):
    kit.hold(10)
    correct(kit, {SYMBOL: 8})

    assert look(kit, {SYMBOL: 6}) == "DIFFERS"
    assert held(kit) == {"manual": 8}


# -- cash --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["0.01", "-5000"])
def test_another_amount_of_cash_is_a_correction(kit, change):
    theirs = 100_000_000 + Decimal(change)

    assert look(kit, {}, cash=theirs) == "DIFFERS"
    assert kit.balance().cash == 100_000_000
    assert look(kit, {}, cash=theirs) == "CORRECTED"

    assert kit.balance().cash == theirs
    assert look(kit, {}, cash=theirs) == "AGREES"
    assert kit.audit() == []


def test_a_broker_that_does_not_tell_its_cash_is_believed_about_the_rest(kit):
    kit.move_cash(-1)

    assert look(kit, {}) == "AGREES"


# -- reservations that no longer fit -----------------------------------------------------------------------


def test_a_sale_by_hand_sheds_the_sells_that_have_become_too_many(kit):
    kit.hold(10)
    older, newer = kit.sell(6), kit.sell(4)

    correct(kit, {SYMBOL: 6})

    assert (kit.intent_row(older).status, kit.intent_row(newer).status) == ("NEW", "CANCELLED")
    position = kit.position()
    assert (position.qty, position.locked_qty, position.breach_qty) == (6, 6, 0)
    assert ("breach", False) in kit.incidents()


def test_a_sell_that_waits_for_approval_is_shed_too(kit):
    kit.hold(10)
    kit.call("desk", "select halt('test')")
    waiting = kit.sell(10)
    assert kit.intent_row(waiting).status == "PENDING_APPROVAL"

    correct(kit, {SYMBOL: 9})

    assert kit.intent_row(waiting).status == "CANCELLED"
    assert kit.position().breach_qty == 0


def test_cash_that_went_sheds_the_buys_it_was_promised_to(kit):
    older, newer = kit.buy(10), kit.buy(10)

    correct(kit, {}, cash=1_000_000)

    assert (kit.intent_row(older).status, kit.intent_row(newer).status) == ("NEW", "CANCELLED")
    assert kit.balance().breach_cash == 0
    assert ("breach", False) in kit.incidents()


# -- refusals ----------------------------------------------------------------------------------------------


def test_an_account_nobody_added_is_refused(kit):
    query = "select reconcile('nobody', '', '{}')"

    assert refusal(lambda: kit.call("reconcile", query)) == "TRI02"


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_snapshot_that_could_miss_an_order_in_flight_is_refused(kit, level):
    conn = kit.connect("reconcile")
    conn.execute(f"set default_transaction_isolation = '{level}'".encode())

    assert refusal(lambda: kit.call(conn, RECONCILE, mark(kit), Jsonb({"holdings": {}}))) == "TRM02"


def test_a_comparison_written_by_hand_says_what_came_of_it(kit):
    query = "insert into trade.reconciliation_runs (account_id, answer, mark) values (1, 'MAYBE', '')"

    assert refusal(lambda: kit.db.execute(query)) == "23514"
