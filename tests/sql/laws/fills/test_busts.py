"""A venue busts an execution: new rows undo it, exactly once and completely."""

from decimal import Decimal

import pytest

from tests.sql.laws.market_kit import OTHER, SYMBOL, refusal, refuses_truncate

BUST = f"select bust_fill('demo', '{SYMBOL}', %s, %s, 'clearly wrong')"
DAY = "2026-03-02"


def bust(kit, fill_id, day=DAY, by="execution"):
    return kit.call(by, BUST, fill_id, day)


def holding(kit, owner="manual"):
    """Everything that a fill changes and a bust must restore."""
    position, balance = kit.position(owner), kit.balance()
    held = (position.qty, position.avg_price, position.realized_pnl, position.opened_at is not None)
    return (*held, balance.cash, balance.locked_cash)


def kept_exact(kit):
    """Check that cash equals starting cash plus realized profit less the cost of the position."""
    position = kit.position()
    assert kit.balance().cash == 100_000_000 + position.realized_pnl - position.cost
    assert kit.audit() == []


def trade(kit, side, quantity, price, fill_id, **costs):
    order = kit.live_order(side, quantity, 80_000 if side == "BUY" else 60_000)
    assert kit.fill(order, quantity, price, fill_id=fill_id, **costs) == "RECORDED"
    return order


@pytest.fixture
def held(kit):
    """Ten shares bought at 70,000."""
    trade(kit, "BUY", 10, 70_000, "first", fee=105)


# -- no trade in between: as if the fill had never happened ------------------------------------------------


def test_a_bust_of_the_only_buy_leaves_nothing(kit):
    trade(kit, "BUY", 10, 70_000, "F", fee="105.5", tax=3)

    assert bust(kit, "F") == "BUSTED"

    assert holding(kit) == (0, 0, 0, False, 100_000_000, 0)
    kept_exact(kit)


@pytest.mark.parametrize(
    ("side", "quantity", "price", "costs"),
    [
        ("BUY", 10, 72_000, {"fee": "108.25"}),
        ("BUY", 30, 68_000, {"fee": -20}),
        ("SELL", 4, 71_300, {"fee": "42.78", "tax": "427.8"}),
        ("SELL", 10, 66_000, {"fee": 99, "tax": 990}),
    ],
    ids=["buy", "buy with a rebate", "sell", "sell of all"],
)
def test_a_bust_with_nothing_in_between_gives_back_what_was(kit, held, side, quantity, price, costs):
    before = holding(kit)
    trade(kit, side, quantity, price, "F", **costs)
    assert holding(kit) != before

    assert bust(kit, "F") == "BUSTED"

    assert holding(kit) == before
    kept_exact(kit)


def test_a_bust_of_a_commission_in_kind_gives_that_back_too(kit, held):
    before = holding(kit)
    order = kit.live_order("SELL", 4, 60_000)
    query = "select record_fill('demo', %s, null, 'F', 4, 71000, 0, 0, %s, p_fee_qty => 1)"
    kit.call("execution", query, order.client_order_id, kit.now)
    assert kit.position().qty == 5

    bust(kit, "F")

    assert holding(kit) == before
    kept_exact(kit)


def test_one_of_several_fills_of_an_order_is_busted_alone(kit):
    order = kit.live_order("BUY", 10, 80_000)
    kit.fill(order, 4, 70_000, fill_id="F1", fee=1)
    kit.fill(order, 6, 75_000, fill_id="F2", fee=2)

    bust(kit, "F2")

    assert holding(kit) == (4, 70_000, -1, True, 100_000_000 - 280_000 - 1, 0)
    kept_exact(kit)


# -- trades in between -------------------------------------------------------------------------------------


def test_a_bust_of_a_buy_that_was_partly_sold_moves_profit_into_what_is_left(kit):
    trade(kit, "BUY", 20, 70_000, "first")
    trade(kit, "BUY", 10, 73_000, "F")
    trade(kit, "SELL", 15, 72_000, "sold")
    assert (kit.position().avg_price, kit.position().realized_pnl) == (71_000, 15_000)

    bust(kit, "F")

    # 20 bought at 70,000, 15 sold at 72,000: the 5 left took 320,000 net; 15,000 is already booked profit.
    assert holding(kit)[:3] == (5, 67_000, 15_000)
    assert kit.balance().cash == 100_000_000 - 320_000
    kept_exact(kit)


def test_what_cannot_leave_at_its_own_price_leaves_at_the_average_and_the_rest_is_loss_or_profit(kit):
    trade(kit, "BUY", 10, 50_000, "first")
    trade(kit, "BUY", 10, 90_000, "F")
    trade(kit, "SELL", 8, 70_000, "sold")

    bust(kit, "F")

    # 12 were left at 70,000. Ten leave at that price; the other 20,000 paid for each comes back as profit.
    assert holding(kit)[:3] == (2, 70_000, 200_000)
    kept_exact(kit)


def test_a_bust_of_a_buy_that_is_sold_already_is_adopted_and_reported(kit):
    trade(kit, "BUY", 10, 70_000, "F")
    trade(kit, "SELL", 6, 71_000, "sold")

    assert bust(kit, "F") == "BUSTED"

    assert kit.position().qty == 0
    rows = kit.rows(kit.db, "select quantity, reason from trade.reconciliations order by reconciliation_id")
    assert [(row.quantity, row.reason) for row in rows] == [
        (6, "sold more than was known"),
        (-10, "bust: clearly wrong"),
    ]
    assert kit.incidents() == [("oversold", True)]
    assert kit.balance().cash == 100_000_000 + 6 * 71_000
    assert kit.audit() == []


def test_a_bust_of_a_sell_after_another_buy_comes_back_at_what_it_left_with(kit, held):
    trade(kit, "SELL", 10, 71_000, "F")
    trade(kit, "BUY", 10, 74_000, "again")

    bust(kit, "F")

    assert holding(kit)[:3] == (20, 72_000, -105)
    kept_exact(kit)


def test_a_bust_under_a_live_sell_breaches_and_sheds(kit, held):
    trade(kit, "BUY", 5, 70_000, "F")
    older, newer = kit.sell(10), kit.sell(5)

    bust(kit, "F")

    assert (kit.intent_row(older).status, kit.intent_row(newer).status) == ("NEW", "CANCELLED")
    assert kit.position().breach_qty == 0
    assert kit.incidents() == [("breach", False)]
    kept_exact(kit)


def test_a_bust_arms_and_disarms_like_a_fill(kit):
    kit.add_strategy()
    order = kit.live_order("BUY", 10, 70_000, owner="momo", intent_type="ENTRY")
    kit.fill(order, 5, 70_000, fill_id="F1")
    kit.fill(order, 5, 60_000, fill_id="F2")
    query = "select stop_price, is_armed from trade.position_exits where owner = 'momo'"

    bust(kit, "F2")
    assert tuple(kit.look(query)) == (67_900, True)

    bust(kit, "F1")
    assert not kit.look(query).is_armed
    assert kit.audit() == []


def test_what_was_filled_stays_recorded(kit, held):
    bust(kit, "first")

    assert kit.intent_row(1).status == "FILLED"
    assert [event.change for event in kit.events("fill")] == ["BUY", "busted"]
    entries = kit.rows(kit.db, "select kind, amount from trade.cash_entries order by cash_entry_id offset 1")
    assert [tuple(row) for row in entries] == [
        ("fill", Decimal(-700_000)),
        ("fee", Decimal(-105)),
        ("correction", Decimal(700_105)),
    ]


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_costs_that_were_reported_later_go_with_it(kit, held, side):
    before = holding(kit)
    order = trade(kit, side, 4, 71_300, "F", fee=None, tax=None)
    assert kit.fill(order, 4, 71_300, fill_id="F", fee="42.78", tax="427.8") == "RESTATED"

    bust(kit, "F")

    assert holding(kit) == before
    kept_exact(kit)


def test_costs_of_what_was_busted_are_not_booked_any_more(kit, held):
    before = holding(kit)
    order = trade(kit, "SELL", 4, 71_300, "F", fee=None)
    bust(kit, "F")

    assert kit.fill(order, 4, 71_300, fill_id="F", fee="42.78") == "DUPLICATE"

    assert holding(kit) == before
    kept_exact(kit)


def test_thirds_come_back_to_the_last_digit(kit):
    """A third of 210,100 has no exact decimal; busting the sells restores the exact cost."""
    buy = kit.live_order("BUY", 3, 80_000)
    kit.fill(buy, 1, 70_000)
    kit.fill(buy, 2, 70_050)
    before = holding(kit)
    for fill_id in ("S1", "S2"):
        trade(kit, "SELL", 1, 71_000, fill_id)

    bust(kit, "S1")
    bust(kit, "S2")

    assert holding(kit) == before
    assert kit.position().cost == 210_100


# -- once --------------------------------------------------------------------------------------------------


def test_a_bust_reported_twice_counts_once(kit, held):
    assert (bust(kit, "first"), bust(kit, "first")) == ("BUSTED", "DUPLICATE")

    assert kit.balance().cash == 100_000_000
    kept_exact(kit)


def test_a_bust_reported_by_two_sessions_at_once_counts_once(kit, held):
    one, two = kit.connect("execution"), kit.connect("reconcile")
    with one.transaction():
        assert bust(kit, "first", by=one) == "BUSTED"
        late = kit.background(two, BUST, "first", DAY)
        kit.wait_for_lock(two)

    assert late.result(20) == [("DUPLICATE",)]
    kept_exact(kit)


@pytest.mark.parametrize(("fill_id", "day"), [("nobody's", DAY), ("first", "2026-03-01")])
def test_a_bust_of_what_we_do_not_know_is_kept_as_an_incident(kit, held, fill_id, day):
    before = holding(kit)

    assert bust(kit, fill_id, day) == "UNMATCHED"

    assert holding(kit) == before
    assert kit.incidents() == [("unmatched_fill", True)]
    assert kit.audit() == []


def test_a_number_that_two_symbols_share_is_busted_in_the_one_that_is_named(kit):
    for symbol in (OTHER, SYMBOL):
        order = kit.live_order("BUY", 10, 80_000, symbol=symbol)
        assert kit.fill(order, 10, 70_000, fill_id="same") == "RECORDED"

    query = "select bust_fill('demo', %s, 'same', %s, 'clearly wrong')"
    held = {}
    for symbol in (OTHER, SYMBOL):
        assert kit.call("execution", query, symbol, DAY) == "BUSTED"
        held[symbol] = kit.position(symbol=OTHER).qty, kit.position(symbol=SYMBOL).qty

    assert held == {OTHER: (0, 10), SYMBOL: (0, 0)}
    assert kit.audit() == []


def test_a_bust_is_only_added_to_and_of_one_fill(kit, held):
    bust(kit, "first")

    assert refuses_truncate(kit.db, "trade.busts")
    for statement in ("update trade.busts set reason = ''", "delete from trade.busts"):
        assert refusal(lambda s=statement: kit.db.execute(s.encode())) == "TRL02", statement
    again = "insert into trade.busts (fill_id, reconciliation_id, reason) values (1, 1, '')"
    assert refusal(lambda: kit.db.execute(again)) == "23505"
