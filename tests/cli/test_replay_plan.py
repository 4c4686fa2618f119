"""What `aegis replay` reads in a recording before it starts: ticks, lots and what cannot be played."""

from decimal import Decimal

import pytest

from cli.replaying.plan import Wish
from tests.cli.replay_kit import row
from workers.feeds.recording import HEADER
from workers.runtime.errors import AegisError

TABLES = {
    "KRX": [(Decimal(0), Decimal(1)), (Decimal(2000), Decimal(5))],
    **{name: [(Decimal(0), Decimal(name))] for name in ("0.1", "0.01", "0.0001", "0.00000001")},
}


def planned(tmp_path, *rows, venue="BINANCE", tick=None, lot=None, sort=False):
    file = tmp_path / "day.csv"
    file.write_text("\n".join([HEADER, *rows]) + "\n")
    lot = None if lot is None else Decimal(lot)
    return Wish.of(file, [], [], "scalp", "50ms", venue, None, None, tick, lot, sort, False).plan(TABLES)[0]


def test_ticks_and_lots_are_the_steps_in_which_prices_and_sizes_move(tmp_path):
    plan = planned(
        tmp_path,
        row(0, "BTC", "61800.20", "2.500", "61800.30", "7"),
        row(1, "ETH", "10.05", "1", "10.06", "2"),
    )

    assert [(i.symbol, i.tick_table, i.lot_size) for i in plan.instruments] == [
        ("BTC", "0.1", "0.1"),
        ("ETH", "0.01", "1"),
    ]
    assert (plan.grids, plan.tick_tables) == ({}, {})


def test_a_tick_finer_than_any_table_gets_one_of_its_own(tmp_path):
    plan = planned(tmp_path, row(0, "PEPE", "0.0000000123", "1", "1.24e-8", "7"))

    assert [(i.symbol, i.tick_table) for i in plan.instruments] == [("PEPE", "0.0000000001")]
    assert plan.tick_tables == {"0.0000000001": Decimal("1e-10")}


def test_the_tails_of_floats_make_neither_ticks_nor_lots(tmp_path):
    plan = planned(tmp_path, row(0, "BTC", "7106.330000000001", "27.643747620000003", "7106.34", "1"))

    assert [(i.tick_table, i.lot_size) for i in plan.instruments] == [("0.01", "0.00000001")]
    assert plan.grids["BTC"].price("7106.330000000001") == "7106.33"


@pytest.mark.parametrize(("tick", "table"), [("0.01", "0.01"), ("0.05", "0.05"), ("KRX", "KRX")])
def test_tick_and_lot_can_be_named(tmp_path, tick, table):
    plan = planned(tmp_path, row(0, "X", "100", "1.55", "101", "2"), tick=tick, lot="0.1")

    assert [(i.tick_table, i.lot_size) for i in plan.instruments] == [(table, "0.1")]
    assert plan.tick_tables == ({} if table in TABLES else {"0.05": Decimal("0.05")})
    assert plan.grids["X"].size("1.55") == "1.5"


@pytest.mark.parametrize(
    ("rows", "how", "message"),
    [
        ([row(0, "X", "1.03", "1", "2", "2")], {"tick": "0.05"}, "1 rows .* off its tick:\n  line 2 has"),
        ([row(0, "X", "2001", "1", "2002", "2")], {"venue": "KRX"}, "off its tick"),
        ([row(0, "X", "1", "1", "2", "2")], {"tick": "coarse"}, "there is no tick table coarse"),
        ([row(n, "X", "1", "1", "2", "2") for n in (1, 0)], {}, "1 of 2 events .* first on line 3"),
        (["2024-01-01T00:00:00Z,X,,,,,1,1"], {}, "holds only trades: 1 trades and no quote"),
        (["bad"] * 12, {}, r"holds no event; 12 rows are malformed:\n(  line .*\n){9}  line 11 .*$"),
    ],
)  # fmt: skip
def test_a_recording_that_cannot_be_played_says_why_before_the_run(tmp_path, rows, how, message):
    with pytest.raises(AegisError, match=message) as error:
        planned(tmp_path, *rows, **how)
    assert error.value.hint
