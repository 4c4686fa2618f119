"""A difference from the broker's holdings counts when two looks see it and nothing moved in between."""

import pytest
from psycopg.types.json import Jsonb

from tests.sql.laws.accounts.accounts_kit import RECONCILE, correct, corrections, held, look, mark
from tests.sql.laws.market_kit import OTHER, SYMBOL, refusal

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
    second = kit.call("reconcile", "select holdings_fingerprint('second')")
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
    query = "insert into trade.reconciliation_runs (account_id, answer, fingerprint) values (1, 'MAYBE', '')"

    assert refusal(lambda: kit.db.execute(query)) == "23514"
