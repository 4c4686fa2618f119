"""L1: a mode that cannot be known denies, and nobody removes a mode or rewrites its history."""

import pytest

from tests.sql.laws.market_kit import Kit, refusal, refuses_truncate
from tests.sql.laws.modes.modes_kit import halt

# -- when the mode is unknown ------------------------------------------------------------------------------


@pytest.mark.parametrize("scoped", [False, True])
@pytest.mark.parametrize(
    "damage",
    [
        "delete from risk.system_mode",
        "update risk.system_mode set mode = 'PANIC'",
        "delete from risk.mode_rules",
        "delete from risk.modes",
    ],
)
def test_a_mode_that_cannot_be_known_denies(kit: Kit, damage, scoped):
    kit.buy(1)
    if scoped:
        kit.db.execute(
            "insert into risk.scoped_modes (scope, name, mode, reason)"
            " values ('broker', 'paper', 'NORMAL', 'x')"
        )
    with kit.triggers_off() as db:
        db.execute(damage.encode())

    assert refusal(lambda: kit.buy(1)) == "TRM01"
    assert refusal(lambda: kit.insert_intent()) == "TRM01"
    assert kit.claim() == []


@pytest.mark.parametrize("table", ["risk.system_mode", "risk.scoped_modes", "risk.mode_history"])
def test_a_mode_and_its_history_cannot_be_removed(kit, table):
    kit.db.execute(
        "insert into risk.scoped_modes (scope, name, mode, reason) values ('account', 'demo', 'SAFE', 'test')"
    )

    assert refusal(lambda: kit.db.execute(f"delete from {table}")) == "TRL02"
    assert refuses_truncate(kit.db, table)


def test_history_of_modes_cannot_be_rewritten(kit):
    halt(kit)

    assert refusal(lambda: kit.db.execute("update risk.mode_history set reason = 'nicer'")) == "TRL02"


def test_who_changes_a_mode_cannot_say_it_was_another(kit):
    kit.db.execute("update risk.system_mode set mode = 'HALT', reason = 'x', changed_by = 'aegis_desk'")

    (row,) = kit.rows("desk", "select * from mode_history")
    assert row.changed_by == kit.db.info.user


# -- after a halt ------------------------------------------------------------------------------------------


def test_there_is_one_system_mode_and_nothing_in_the_gate(kit):
    insert = "insert into risk.system_mode (singleton, mode, reason) values (%s, 'NORMAL', 'another')"

    assert refusal(lambda: kit.db.execute(insert, [True])) == "23505"
    assert refusal(lambda: kit.db.execute(insert, [False])) == "23514"
    assert refusal(lambda: kit.db.execute("insert into risk.gate values (true)")) == "23514"
