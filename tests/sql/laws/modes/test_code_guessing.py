"""The override code: a try counts even if rolled back, each is recorded, and nobody waits for a guesser."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.sql.laws.market_kit import refusal
from tests.sql.laws.modes.codes import ADOPT, CHANGE, RESUME, RIGHT, VIEW


def attempts(kit):
    return [(a.attempt_id, a.outcome) for a in kit.rows("desk", "select * from override_attempts order by 1")]


def tries(kit):
    return kit.call("desk", "select tries from override_code")


def guess_and_roll_back(conn, query, code):
    conn.execute("begin")
    answer = conn.execute(query, [code]).fetchone()
    conn.execute("rollback")
    return answer


# -- guessing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", [RESUME, CHANGE])
def test_rolling_back_buys_no_more_than_five_tries_each_quarter_of_an_hour(halted, query):
    kit, guesser = halted, halted.connect("desk")

    for period in range(1, 4):
        answers = [guess_and_roll_back(guesser, query, f"{n:04}") for n in range(12)]

        assert [a[1].startswith("wrong override code") for a in answers] == [True] * 5 + [False] * 7
        assert tries(kit) == 5 * period
        kit.advance(minutes=15, seconds=1)


def test_a_savepoint_buys_no_more_tries_either(halted):
    guesser = halted.connect("desk")
    guesser.execute("begin")

    for _ in range(12):
        guesser.execute("savepoint here")
        guesser.execute(RESUME, ["wrong"])
        guesser.execute("rollback to here")

    assert tries(halted) == 5
    assert "locked" in guesser.execute(RESUME, [RIGHT]).fetchone()[1]


def test_the_view_counts_tries_as_the_function_does(halted):
    guesser = halted.connect("desk")
    for _ in range(7):
        guesser.execute("begin")
        assert guesser.execute(VIEW, ["wrong"]).rowcount == 0
        guesser.execute("rollback")

    assert tries(halted) == 5


def test_adopting_counts_tries_too(halted):
    halted.db.execute("update bus.instance set is_foreign = true")
    guesser = halted.connect("desk")

    for _ in range(7):
        guess_and_roll_back(guesser, ADOPT, "wrong")

    assert tries(halted) == 5


@pytest.mark.parametrize("after_a_lock", [False, True])
def test_sixteen_sessions_at_once_have_five_tries_together(halted, after_a_lock):
    kit = halted
    if after_a_lock:
        for _ in range(5):
            kit.rows("desk", RESUME, "wrong")
        kit.advance(minutes=16)
    before = tries(kit)
    sessions = [kit.connect("desk") for _ in range(16)]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda s: [guess_and_roll_back(s, RESUME, "no") for _ in range(3)], sessions))

    looked_at = [a for several in answers for a in several if a[1].startswith("wrong override code")]
    assert (len(looked_at), tries(kit) - before) == (5, 5)


def test_two_tries_at_the_same_moment_are_two(halted):
    """Both attempts stop where an attempt takes its number: after reading the count, before writing it."""
    kit = halted
    first, second = kit.connect("desk"), kit.connect("desk")
    kit.db.execute("select pg_advisory_lock(risk.attempt_lock_class(), 1)")

    answers = [kit.background(first, RESUME, "no")]
    kit.wait_for_lock(first)
    answers.append(kit.background(second, RESUME, "no"))
    kit.wait_for_lock(second)
    kit.db.execute("select pg_advisory_unlock(risk.attempt_lock_class(), 1)")

    assert [answer.result(20)[0][0] for answer in answers] == [False, False]
    assert tries(kit) == 2


def test_the_end_of_a_lock_is_not_reached_by_rolling_back_what_ended_it(halted):
    """The first attempt after a lock counts as one, and still counts if it is rolled back."""
    for _ in range(5):
        halted.rows("desk", RESUME, "wrong")
    halted.advance(minutes=16)
    guess_and_roll_back(halted.connect("desk"), RESUME, "wrong")

    (answer,) = halted.rows("desk", RESUME, "wrong")

    assert "3 more" in answer.message


def test_a_session_that_is_cancelled_while_its_code_is_looked_at_has_tried(halted):
    halted.db.execute("update risk.override_codes set rounds = 200000000")
    guesser = halted.connect("desk")
    guesser.execute("set statement_timeout = '1s'")

    assert refusal(lambda: guesser.execute(RESUME, ["wrong"])) == "57014"

    assert tries(halted) == 1


# -- every attempt is recorded -----------------------------------------------------------------------------


def test_each_try_is_a_record(halted):
    halted.rows("desk", RESUME, "wrong")
    halted.rows("desk", RESUME, RIGHT)

    assert attempts(halted) == [(1, "WRONG"), (2, "ACCEPTED")]
    assert halted.call("desk", "select count(*) from override_attempts where login = 'aegis_desk'") == 2


def test_a_try_that_was_rolled_back_is_recorded_by_the_clock(halted):
    guesser = halted.connect("desk")
    for _ in range(3):
        guess_and_roll_back(guesser, CHANGE, "wrong")

    halted.call("risk", "select run_due_jobs()")

    assert attempts(halted) == [(n, "ROLLED_BACK") for n in (1, 2, 3)]
    assert [(e.change, e.data["first"], e.data["last"]) for e in halted.events("refusal")] == [
        ("TRA01", 1, 3)
    ]
    assert ("code_guessing", True) in halted.incidents()
    halted.call("risk", "select run_due_jobs()")
    assert len(halted.events("refusal")) == 1, "noticed once"


def test_a_try_that_was_rolled_back_is_recorded_by_the_next_try(halted):
    guess_and_roll_back(halted.connect("desk"), RESUME, "wrong")

    halted.rows("desk", RESUME, RIGHT)

    assert attempts(halted) == [(1, "ROLLED_BACK"), (2, "ACCEPTED")]


def test_a_try_under_way_is_not_taken_for_one_that_was_rolled_back(halted):
    slow = halted.connect("desk")
    slow.execute("begin")
    slow.execute(RESUME, ["wrong"])
    halted.at("risk").execute("set lock_timeout = '5s'")  # the scheduled job must not wait for it either

    halted.call("risk", "select run_due_jobs()")
    slow.execute("commit")
    halted.call("risk", "select run_due_jobs()")

    assert attempts(halted) == [(1, "WRONG")]


def test_the_record_of_tries_is_only_added_to(halted):
    halted.rows("desk", RESUME, "wrong")

    for query in (
        "delete from risk.override_attempts",
        "update risk.override_attempts set outcome = 'ACCEPTED'",
    ):
        assert refusal(lambda q=query: halted.db.execute(q)) == "TRL02"
    assert refusal(lambda: halted.db.execute("truncate risk.override_attempts")) == "TRL02"


# -- nobody waits for a guesser ----------------------------------------------------------------------------


@pytest.mark.parametrize("query", [RESUME, CHANGE, VIEW])
def test_a_halt_and_another_try_do_not_wait_for_a_wrong_code_in_an_open_transaction(halted, query):
    guesser = halted.connect("desk")
    guesser.execute("begin")
    guesser.execute(query, ["wrong"])
    desk = halted.connect("desk")
    desk.execute("set lock_timeout = '100ms'")

    desk.execute("select halt('now')")

    assert desk.execute(RESUME, [RIGHT]).fetchone()[0]


@pytest.mark.parametrize("query", [RESUME, ADOPT])
def test_a_halt_does_not_wait_while_a_code_is_looked_at(halted, query):
    kit = halted
    kit.db.execute("update risk.override_codes set rounds = 200000000")
    kit.db.execute("update bus.instance set is_foreign = %s", [query == ADOPT])
    slow = kit.connect("desk")
    looking = kit.background(slow, query, RIGHT)
    kit.wait_until("select tries = 1 from api.override_code")
    desk = kit.connect("desk")
    desk.execute("set lock_timeout = '100ms'")

    desk.execute("select halt('now')")

    kit.db.execute("select pg_cancel_backend(%s)", [slow.info.backend_pid])
    assert refusal(looking.result) == "57014"


def test_a_halt_that_comes_while_a_code_is_looked_at_stands(halted):
    """The right code resumes from the halt its owner saw, not from a later one."""
    kit = halted
    kit.db.execute("begin")
    kit.db.execute("select from risk.override_codes for update")
    late = kit.connect("desk")
    looking = kit.background(late, RESUME, RIGHT)
    kit.wait_until(
        "select count(*) from pg_stat_activity where pid = %s and wait_event_type = 'Lock'",
        late.info.backend_pid,
    )

    kit.call("desk", "select halt('a second reason')")
    kit.db.execute("commit")

    ((resumed, message),) = looking.result()
    assert not resumed
    assert "meanwhile" in message
    assert kit.call("desk", "select reason from system_mode") == "a second reason"
