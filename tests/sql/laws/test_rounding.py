"""Test each row of docs/rounding.md with arbitrary numbers."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from tests.sql.laws.market_kit import refusal

EXACT = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TICKS = ["1", "5", "1000", "0.5", "0.3", "0.01", "0.00000001", "0.000000000001", "7"]

amounts = st.decimals("0.000001", "999999999", places=6)
long_amounts = st.decimals("0.000000000000000001", "99999", places=18)


def number(kit, query, *args):
    return kit.db.execute(query, args).fetchone()[0]


def parts(value, step):
    """Number of whole steps in a value."""
    return Fraction(value) // Fraction(step)


@EXACT
@given(steps=st.integers(0, 10**9), tick=st.sampled_from(TICKS), off=st.integers(-3, 3))
def test_a_limit_is_rounded_to_a_tick_and_never_to_the_worse(kit, steps, tick, off):
    """Even when the limit is only 1e-18 off a tick."""
    price = max(Decimal(tick) * steps + Decimal(off).scaleb(-18), Decimal("1e-18"))
    kit.db.execute("insert into market.tick_sizes values ('T', 0, 1) on conflict do nothing")
    kit.db.execute("update market.tick_sizes set tick_size = %s where tick_table = 'T'", [tick])

    down = number(kit, "select market.round_to_tick('T', %s, 'BUY')", price)
    up = number(kit, "select market.round_to_tick('T', %s, 'SELL')", price)

    whole = parts(price, tick)
    assert Fraction(down) == whole * Fraction(tick)
    assert Fraction(up) == (whole + (Fraction(price) != Fraction(down))) * Fraction(tick)


@EXACT
@given(quantity=st.integers(1, 10**6), cost=amounts, rate=st.decimals("0.0001", "0.9999", places=4))
def test_stop_and_target_are_rounded_away_from_the_trade(kit, quantity, cost, rate):
    if not kit.db.execute("select from strategy.strategies").fetchall():
        kit.db.execute("insert into trade.exit_profiles values ('any')")
        kit.db.execute(
            "insert into trade.exit_rules values ('any', 'STOP_LOSS', 0.5), ('any', 'TAKE_PROFIT', 0.5)"
        )
        kit.add_strategy(profile="any")
        kit.hold(1, owner="momo")
        kit.db.execute("update market.instruments set tick_table = '0.0001'")
    kit.db.execute("update trade.exit_rules set value = %s where profile = 'any'", [rate])
    kit.db.execute("update trade.positions set qty = %s, cost = %s", [quantity, cost])
    kit.db.execute("select trade.arm_exits(account_id, instrument_id, owner) from trade.positions")

    row = kit.look(
        "select p.avg_price, e.stop_price, e.take_price from trade.positions p, trade.position_exits e"
    )

    average, tick = Fraction(row.avg_price), Fraction("0.0001")
    stop, target = average * (1 - Fraction(rate)), average * (1 + Fraction(rate))
    assert Fraction(row.stop_price or 0) == stop // tick * tick <= stop
    assert Fraction(row.take_price) == -(-target // tick) * tick >= target
    assert row.stop_price is None or row.stop_price > 0


@EXACT
@given(quantity=long_amounts, lot=st.sampled_from(["1", "0.3", "0.001", "0.00000001", "7"]))
def test_a_quantity_is_cut_to_the_lot(kit, quantity, lot):
    kit.db.execute("update market.instruments set lot_size = %s, min_notional = 0", [lot])
    whole = parts(quantity, lot)

    enough = number(kit, "select market.is_enough(i, %s, 1) from market.instruments i limit 1", quantity)
    made = []
    refused = refusal(lambda: made.append(kit.buy(quantity, 1)))

    assert enough == (whole > 0)
    assert (refused == "TRI01") == (whole == 0)
    if made:
        assert Fraction(kit.intent_row(made[0]).quantity) == whole * Fraction(lot)


@EXACT
@given(
    lots=st.integers(1, 10**9),
    price=st.integers(1, 10**8),
    fee=st.decimals("0", "0.1", places=5),
    tax=st.decimals("0", "0.1", places=5),
)
def test_what_a_paper_order_costs_never_exceeds_what_was_reserved(kit, lots, price, fee, tax):
    quantity, price = Decimal(lots).scaleb(-8), Decimal(price).scaleb(-4)
    kit.db.execute("update market.instruments set lot_size = 0.00000001, tick_table = '0.0001'")
    kit.db.execute(
        "update market.fee_rates set maker_rate = 0, taker_rate = %s, buy_tax_rate = %s", [fee, tax]
    )
    kit.db.execute("update trade.balances set cash = 1e15, locked_cash = 0")
    kit.quote(price, price + 1, size=10_000)
    intent = kit.intent_row(kit.buy(quantity, price + 1))
    client = f"P{intent.intent_id}"
    kit.call(
        "execution",
        "select paper_place(%s, 'demo', '005930', 'BUY', 'LIMIT', %s, %s)",
        client,
        quantity,
        price + 1,
    )

    paid = kit.look(
        "select f.quantity * f.price + f.fee + f.tax as cash, f.fee, f.tax from paper.fills f"
        " join paper.orders o using (paper_order_id) where client_order_id = %s",
        client,
    )

    assert paid.cash <= intent.reserved_cash
    assert intent.reserved_cash - paid.cash < Decimal("0.00000002"), "and it costs no less than that"


@EXACT
@given(cost=long_amounts, lots=st.integers(1, 10**6), data=st.data())
def test_what_leaves_and_what_stays_are_together_the_whole_cost(kit, cost, lots, data):
    sold = data.draw(st.integers(0, lots))
    position = Jsonb({"qty": f"{Decimal(lots) / 1000}", "cost": f"{cost:f}"})
    query = "select trade.cost_of(jsonb_populate_record(null::trade.positions, %s), %s)"

    leaves = number(kit, query, position, Decimal(sold) / 1000)

    exact = Fraction(cost) * sold / lots
    assert 0 <= Fraction(leaves) - exact < Fraction(1, 10**18)
    assert sold < lots or leaves == cost


@EXACT
@given(notional=long_amounts, bought=st.integers(1, 10**6), data=st.data())
def test_of_money_reported_later_what_is_held_bears_no_more_than_its_part(kit, notional, bought, data):
    held = data.draw(st.integers(1, bought))
    query = (
        "select trade.cost_correction(jsonb_populate_record(null::trade.fills, %s),"
        " jsonb_populate_record(null::trade.positions, %s), %s, 0)"
    )
    at = kit.now.isoformat()
    fill = {"side": "BUY", "quantity": bought, "fee_qty": 0, "recorded_at": at}

    borne = number(kit, query, Jsonb(fill), Jsonb({"qty": held, "cost": "1e9", "opened_at": at}), notional)

    exact = Fraction(notional) * held / bought
    assert 0 <= exact - Fraction(borne) < Fraction(1, 10**18)


@EXACT
@given(quantity=st.integers(1, 10**9), cost=amounts)
def test_an_average_price_is_the_cost_by_the_quantity(kit, quantity, cost):
    if kit.position() is None:
        kit.hold(1)
    kit.db.execute("update trade.positions set qty = %s, cost = %s", [quantity, cost])

    exact = Fraction(cost) / quantity
    assert abs(Fraction(kit.position().avg_price) - exact) <= exact / 10**15


@pytest.mark.parametrize("money", [Decimal("10"), Decimal("70000.01"), Decimal("209999.999999")])
def test_a_total_books_the_money_that_was_reported(kit, money):
    """Buy three shares for an amount that is not divisible by three."""
    order = kit.live_order("BUY", 3, 70_000)
    before = kit.balance().cash

    query = "select record_cumulative('demo', %s, null, 3, %s::numeric, 0, 0, %s)"
    kit.call("execution", query, order.client_order_id, money, kit.now)

    assert before - kit.balance().cash == kit.position().cost == money


@EXACT
@given(
    cash=st.integers(1_000, 10**9),
    lost=st.integers(0, 10**9),
    gained=st.decimals("0.5", "2", places=6),
    flow=st.integers(-(10**9), 10**9),
)
def test_a_flow_changes_neither_drawdown_nor_the_rate_of_the_day(kit, cash, lost, gained, flow):
    if flow == 0 or cash + flow <= 0:
        return
    kit.db.execute("update trade.balances set cash = %s", [cash])
    kit.call(kit.db, "select api.measure_equity()")
    base = Decimal(cash) / gained
    kit.db.execute("update risk.account_equity set peak = %s, base = %s, growth = 1.01", [cash + lost, base])
    facts = "select equity, peak, base, growth from risk.account_equity"
    before, shown = kit.look(facts), kit.look("select * from api.performance")

    kit.move_cash(flow)

    after, now = kit.look(facts), kit.look("select * from api.performance")
    assert after.equity == after.base == before.equity + flow
    drawdowns = [1 - Fraction(row.equity) / Fraction(row.peak) for row in (before, after)]
    assert 0 <= drawdowns[1] - drawdowns[0] < Fraction(1, 10**15)
    rates = [Fraction(row.growth) * Fraction(row.equity) / Fraction(row.base) - 1 for row in (before, after)]
    assert abs(rates[1] - rates[0]) < Fraction(1, 10**14)
    assert abs(now.drawdown - shown.drawdown) <= Decimal("0.000001")
    assert (now.day_pnl, now.is_flagged) == (shown.day_pnl, False)
    # The division keeps at least 16 digits: a value within 1e-15 of a half may be rounded either way.
    assert abs(Fraction(shown.day_pnl_rate) - rates[0]) <= Fraction(1, 2 * 10**6) + Fraction(1, 10**15)
