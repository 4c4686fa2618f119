"""The override code: only a good one is taken, only who knows it changes it, and no log shows it."""

from __future__ import annotations

import pytest

from cli.running.demo import CODE_LETTERS
from tests.sql.laws.market_kit import refusal
from tests.sql.laws.modes.codes import CHANGE, RESUME, RIGHT

# -- setting the code --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", [None, "", "1234", "0123456", "12345678901", "aaaaaaaaaaaa", "abababababab", "x" * 300]
)
def test_a_code_that_is_easy_to_guess_is_not_taken(kit, code):
    (answer,) = kit.rows("desk", "select * from set_override_code(%s)", code)

    assert not answer.changed
    assert "an override code" in answer.message
    assert not kit.rows("desk", "select * from override_code")


@pytest.mark.parametrize("code", ["YTZX-AR93", "tulip-4711", "correct horse", "90125730184627"])
def test_a_good_code_is_taken_and_hashed_slowly(kit, code):
    (answer,) = kit.rows("desk", "select * from set_override_code(%s)", code)
    kit.call("desk", "select halt('test')")

    assert answer.changed
    assert kit.look("select rounds from risk.override_codes").rounds >= 100_000
    assert kit.rows("desk", RESUME, code)[0].resumed


def test_a_million_guesses_take_a_day_and_one_no_longer_than_a_person_waits(kit):
    """Take the best of three timings, since the machine may be busy."""
    kit.db.execute(
        "create function pg_temp.measure() returns interval language plpgsql as $$"
        " declare t timestamptz := clock_timestamp(); begin"
        " perform risk.code_digest('salt', t::text, 100000); return clock_timestamp() - t; end $$"
    )

    best = min(kit.call(kit.db, "select pg_temp.measure()").total_seconds() for _ in range(3))

    assert 0.01 < best < 0.5


def test_the_demos_own_codes_are_good_ones(kit):
    code = CODE_LETTERS[:4] + "-" + CODE_LETTERS[4:8]

    assert kit.call(kit.db, "select risk.code_weakness(%s)", code) is None


def test_the_first_code_is_set_once(kit):
    first, second = kit.connect("desk"), kit.connect("desk")
    first.execute("begin")
    first.execute("select * from set_override_code('mine-4711')")
    waiting = kit.background(second, "select changed, message from set_override_code('yours-4711')")
    kit.wait_for_lock(second)
    first.execute("commit")

    ((changed, message),) = waiting.result()

    assert not changed
    assert "meanwhile" in message


def test_a_code_is_changed_by_one_who_knows_it_and_not_by_two_at_once(halted):
    first, second = halted.connect("desk"), halted.connect("desk")
    first.execute("begin")
    first.execute("select * from set_override_code('mine-4711', %s)", [RIGHT])
    waiting = halted.background(second, "select changed from set_override_code('yours-4711', %s)", RIGHT)
    halted.wait_for_lock(second)
    first.execute("commit")

    waiting.result()

    assert not halted.rows("desk", RESUME, "yours-4711")[0].resumed
    assert halted.rows("desk", RESUME, "mine-4711")[0].resumed


def test_a_code_that_was_changed_meanwhile_is_not_changed_again(halted):
    """The code changes between the check of the current one and the write of the new one."""
    kit = halted
    kit.db.execute("begin")
    kit.db.execute("insert into risk.override_attempts (attempt_id, outcome) values (1, 'WRONG')")
    late = kit.connect("desk")
    changing = kit.background(late, CHANGE, RIGHT)
    kit.wait_for_lock(late)  # it has checked the code and waits to record the attempt
    kit.connect("superuser").execute("update risk.override_codes set salt = 'another'")

    kit.db.execute("rollback")

    ((changed, message),) = changing.result()
    assert not changed
    assert "meanwhile" in message


# -- secrets stay out of the log ---------------------------------------------------------------------------

SECRETS = (
    "select resume('', 'SECRET-1')",
    "select resume(null, 'SECRET-2')",
    "select resume('why', SECRET)",
    "select resume('why', 'SECRET-3'::integer::text)",
    "select set_override_code('SECRET4')",
    "select set_override_code('SECRETSECRET', 'SECRET-5')",
    "update system_mode set mode = 'NORMAL', reason = '', code = 'SECRET-6'",
    "update system_mode set mode = 'PANIC', reason = 'x', code = 'SECRET-7'",
    "select adopt('why', 'SECRET-8'), 1 / 0",
    "begin; select resume('why', 'SECRET-9'); select 1 / 0",
    "set statement_timeout = '1ms'; select resume('why', 'SECRET-10'), pg_sleep(1)",
)


def test_a_code_is_in_no_line_of_the_servers_log(halted, pg_server):
    if pg_server.embedded is None:
        pytest.skip("the log of another server is not ours to read")
    log = pg_server.embedded.directory / "server.log"
    start = log.stat().st_size

    for query in SECRETS:
        refusal(lambda q=query: halted.connect("desk").execute(q, prepare=False))
    halted.connect("superuser").execute("do $$ begin raise log 'the end of it'; end $$")
    ended = halted.connect("desk")
    ended.execute("begin")
    ended.execute("select resume('why', 'SECRET-11')")
    halted.db.execute("select pg_terminate_backend(%s, 5000)", [ended.info.backend_pid])

    written = log.read_bytes()[start:].decode()
    assert "the end of it" in written
    assert "terminating connection" in written, "that a session was ended is still written"
    assert "SECRET" not in written.upper().replace("SECRETS", "")


@pytest.mark.parametrize(
    "query",
    [
        "select resumed from resume('', %s)",
        "select resumed from resume(null, %s)",
        "select changed from set_override_code(%s)",
        "select adopted from adopt('why', %s)",
    ],
)
def test_a_refusal_about_a_code_is_answered_and_remembered(halted, query):
    assert halted.call("desk", query, "short") is False
    assert [e.change for e in halted.events("refusal")] == ["TRA01"]
