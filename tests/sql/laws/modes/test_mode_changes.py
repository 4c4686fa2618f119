"""L1: a change of mode has a reason and is kept; SAFE never weakens HALT, and only the code leaves it."""

import pytest

from tests.sql.laws.market_kit import refusal
from tests.sql.laws.modes.modes_kit import halt, mode, resume
from workers.runtime.errors import NotAllowed, TradingHalted


def test_updating_the_view_in_psql_halts(kit):
    count = kit.at("desk").execute("update system_mode set mode = 'HALT', reason = 'from psql'").rowcount

    assert count == 1
    (row,) = kit.rows("desk", "select * from system_mode")
    assert (row.mode, row.reason, row.changed_by) == ("HALT", "from psql", "aegis_desk")
    with pytest.raises(TradingHalted):
        kit.buy(1)


UPDATE = "update system_mode set mode = %s, reason = %s"
SCOPED = """
    insert into risk.scoped_modes (scope, name, mode, reason) values ('broker', 'paper', 'SAFE', %s)
    on conflict (scope, name) do update set mode = excluded.mode, reason = excluded.reason
"""


@pytest.mark.parametrize("to_mode", ["NORMAL", "SAFE", "HALT"])
def test_the_same_mode_for_another_reason_keeps_both(kit, to_mode):
    desk = kit.connect("desk")
    for reason in ("first", "second"):
        assert desk.execute(UPDATE, [to_mode, reason]).rowcount == 1

    assert kit.call("desk", "select reason from system_mode") == "second"
    assert [h.reason for h in kit.rows("desk", "select * from mode_history order by 1")][-2:] == [
        "first",
        "second",
    ]
    assert [e.data["reason"] for e in kit.events("mode")][-2:] == ["first", "second"]


def test_the_same_mode_of_a_broker_for_another_reason_keeps_both(kit):
    for reason in ("first", "second"):
        kit.db.execute(SCOPED, [reason])

    assert [e.data["reason"] for e in kit.events("mode")] == ["first", "second"]


def test_a_halt_by_the_view_is_never_left_out(kit, patient_halt):
    """A HALT through the view is never skipped as unchanged: the row may have changed since it was read."""
    kit.set_code()
    desk = kit.connect("desk")
    desk.execute(UPDATE, ["HALT", "test"])
    resuming = kit.connect("desk")
    resuming.execute("begin")
    resuming.execute("select resume('again', '1234')")
    waiting = kit.pool.submit(lambda: desk.execute(UPDATE, ["HALT", "test"]).rowcount)
    kit.wait_for_lock(desk)

    resuming.execute("commit")

    assert waiting.result() == 1
    assert mode(kit) == "HALT"


def test_safe_does_not_weaken_a_mode_nobody_knows(kit):
    with kit.triggers_off() as db:
        db.execute("update risk.system_mode set mode = 'PANIC'")

    assert refusal(lambda: kit.call("desk", "select safe('less')")) == "TRI04"


def test_updating_the_view_leaves_halt_only_with_the_code(kit):
    kit.set_code()
    halt(kit)
    update = "update system_mode set mode = 'NORMAL', reason = 'again'"

    assert kit.at("desk").execute(update).rowcount == 0
    assert kit.at("desk").execute(f"{update}, code = '9999'").rowcount == 0
    assert mode(kit) == "HALT"
    assert kit.at("desk").execute(f"{update}, code = '1234'").rowcount == 1
    assert mode(kit) == "NORMAL"


def test_the_view_cannot_be_sent_to_an_unknown_mode(kit):
    assert (
        refusal(lambda: kit.at("desk").execute("update system_mode set mode = 'PANIC', reason = 'x'"))
        == "TRI01"
    )


def test_a_change_of_mode_needs_a_reason(kit):
    for query in ("select halt(' ')", "select halt(null)", "select safe('')"):
        assert refusal(lambda q=query: kit.at("desk").execute(q)) == "TRI01"
    assert mode(kit) == "NORMAL"


def test_without_a_code_nobody_leaves_halt(kit):
    halt(kit)

    answer = resume(kit, "1234")

    assert not answer.resumed
    assert mode(kit) == "HALT"


def test_a_wrong_code_is_refused_and_remembered(kit):
    kit.set_code()
    halt(kit)

    answer = resume(kit, "1235")

    assert not answer.resumed
    assert "4 more" in answer.message
    assert mode(kit) == "HALT"
    assert [e.change for e in kit.events("refusal")] == ["TRA01"]


def test_five_wrong_codes_lock_even_the_right_one_for_15_minutes(kit):
    kit.set_code()
    halt(kit)
    for code in ("1", "22", "", None, "12345"):
        assert not resume(kit, code).resumed

    assert "locked" in resume(kit, "1234").message
    kit.advance(minutes=14, seconds=59)
    assert not resume(kit, "1234").resumed
    kit.advance(minutes=0, seconds=2)
    assert resume(kit, "1234").resumed


def test_a_wrong_code_is_remembered_though_its_transaction_is_rolled_back(kit):
    kit.set_code()
    halt(kit)
    guesser = kit.connect("desk")
    for code in ("1", "22", "333", "4444", "55555"):
        guesser.execute("begin")
        guesser.execute("select * from resume('again', %s)", [code])
        guesser.execute("rollback")

    assert not resume(kit, "1234").resumed


def test_the_right_code_forgets_the_wrong_ones(kit):
    kit.set_code()
    halt(kit)
    for code in "abcd":
        resume(kit, code)
    assert resume(kit, "1234").resumed
    halt(kit)

    assert "4 more" in resume(kit, "a").message


def test_a_code_is_changed_only_by_who_knows_it(kit):
    kit.set_code()

    (answer,) = kit.rows("desk", "select * from set_override_code('rose-5678', '0000')")

    assert not answer.changed
    halt(kit)
    assert not resume(kit, "rose-5678").resumed
    assert resume(kit, "1234").resumed


def test_safe_does_not_weaken_a_halt(kit):
    halt(kit)

    with pytest.raises(NotAllowed):
        kit.call("desk", "select safe('less')")

    assert mode(kit) == "HALT"


def test_leaving_safe_needs_no_code(kit):
    kit.call("desk", "select safe('test')")

    assert resume(kit, None).resumed
