"""The broker's holdings are the truth: a difference is corrected by rows that record it."""

from decimal import Decimal

import pytest

from tests.sql.laws.accounts.accounts_kit import correct, corrections, held, look
from tests.sql.laws.market_kit import OTHER, SYMBOL

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
