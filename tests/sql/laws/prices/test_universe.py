"""Valid instruments and tick tables: symbols as venues list them, and numbers that are amounts."""

import pytest

from tests.sql.laws.market_kit import refusal

ADD = "select add_instrument('SIM', %s, %s, 'KRW', 'KRX', %s::numeric, %s::numeric)"
TICKS = "select add_tick_table(%s, %s::numeric[], %s::numeric[])"
REAL = (
    *("005930", "BRK.B", "BTC/USDT:USDT", "ES=F", "^GSPC", "M&M", "ES1!", "@ES#", "BRK$A", "0700.HK"),
    *("币安人生USDT", "ÅKER", "삼성"),
)
ODD = (
    *("", " ", "BRK B", "A,B", "A'B", 'A"B', "A\\B", "A\nB", "A\n", "{A}", "A%sB"),
    *("A\u200b", "A\u2028", "\u3000", "\u202eA", "A" * 41),
)
NO_AMOUNT = ("NaN", "Infinity", "-1", "1e-19", "1e18", "1" * 5000, None)


def test_symbols_as_venues_list_them_are_taken(kit):
    for symbol in REAL:
        kit.call("desk", ADD, symbol, symbol, 1, 0)

    assert {row[0] for row in kit.db.execute("select symbol from market.instruments")} >= set(REAL)


def test_a_symbol_that_would_break_a_list_or_a_line_is_refused_and_the_rule_is_named(kit):
    for symbol in ODD:
        with pytest.raises(Exception, match=r"(?s)the symbol .* cannot be taken") as error:
            kit.call("desk", ADD, symbol, "x", 1, 0)
        assert error.value.sqlstate == "TRI01"
        assert "1 to 40 letters" in error.value.hint


def test_lot_and_least_notional_are_amounts(kit):
    for bad in ("0", *NO_AMOUNT):
        assert refusal(lambda bad=bad: kit.call("desk", ADD, "X", "X", bad, 0)) == "TRI01", bad
    for bad in NO_AMOUNT:
        assert refusal(lambda bad=bad: kit.call("desk", ADD, "X", "X", 1, bad)) == "TRI01", bad


def test_any_tick_table_comes_through_the_door(kit):
    assert kit.call("desk", TICKS, "FINE-1e-12", "{0}", "{0.000000000001}") == 1
    assert kit.call("desk", TICKS, "HK", "{0,0.25,0.5,10}", "{0.001,0.005,0.01,0.02}") == 4
    assert kit.call("desk", TICKS, "HK", "{0,1}", "{0.001,0.01}") == 2, "the bands are replaced"

    assert kit.call("desk", "select add_instrument('SIM', 'X', 'X', 'KRW', 'FINE-1e-12')")
    assert kit.call(kit.db, "select market.round_to_tick('HK', 1.009, 'BUY')::text") == "1.00"
    assert [event.data["tick_table"] for event in kit.events("tick_table")] == ["FINE-1e-12", "HK", "HK"]


NO_TABLES = (
    (None, "{0}", "{1}"),
    ("", "{0}", "{1}"),
    ("a b", "{0}", "{1}"),
    ("x" * 41, "{0}", "{1}"),
    ("T", None, None),
    ("T", "{}", "{}"),
    ("T", "{0}", None),
    ("T", "{0,10}", "{1}"),
    ("T", "{0}", "{1,2}"),
    ("T", "{null}", "{1}"),
    ("T", "{0}", "{null}"),
    ("T", "{0}", "{NaN}"),
    ("T", "{0}", "{Infinity}"),
    ("T", "{0}", "{0}"),
    ("T", "{0}", "{-1}"),
    ("T", "{-1,0}", "{1,1}"),
    ("T", "{0}", "{1e-19}"),
    ("T", "{NaN,0}", "{1,1}"),
    ("T", "{1}", "{1}"),
    ("T", "{0,0}", "{1,2}"),
    ("T", "{0,10}", "{1,3}"),
    ("T", "{{0,10},{20,30}}", "{{1,1},{1,0}}"),
)


def test_a_tick_table_that_makes_no_grid_is_refused(kit):
    for table in NO_TABLES:
        assert refusal(lambda table=table: kit.call("desk", TICKS, *table)) == "TRI01", table
    assert kit.db.execute("select from market.tick_sizes where tick_table = 'T'").fetchall() == []


@pytest.mark.parametrize(
    "change",
    [
        "update market.instruments set lot_size = 'NaN'",
        "update market.instruments set min_notional = 'Infinity'",
        "update market.tick_sizes set tick_size = 'NaN'",
        "update market.tick_sizes set price_from = 'Infinity' where price_from = 500000",
        "update market.tick_sizes set tick_table = 'a,b'",
    ],
)
def test_no_writer_makes_a_step_that_is_no_number(kit, change):
    assert refusal(lambda: kit.db.execute(change)) == "23514"
