"""`aegis doctor` finds what is wrong and says what to do, and reports what is right as ok."""

from __future__ import annotations

import json
import socket

import pytest

from tests.triggers import triggers_off
from workers.runtime.registry import CORE


def findings(result):
    """The findings by check; the exit status must be 1 if one of them is a failure, else 0."""
    found = json.loads(result.stdout)
    assert result.exit_code == int(any(row["state"] == "fail" for row in found)), result.output
    by_check: dict[str, list[dict]] = {}
    for row in found:
        by_check.setdefault(row["check"], []).append(row)
    return by_check


def states(found, check):
    return {row["state"] for row in found[check]}


@pytest.fixture
def doctor(command):
    return lambda: findings(command("doctor", "--json"))


def test_a_sound_house_has_no_failure(doctor, market):
    found = doctor()

    bad = {check: states(found, check) for check in found if "fail" in states(found, check)}
    assert bad == {"durable": {"fail"}}, "the tests' server does without fsync, which is said"
    assert found["durable"][0]["what"].startswith("fsync is off")
    assert states(found, "settings") == states(found, "home") == states(found, "unsent") == {"ok"}
    assert states(found, "listen") == states(found, "laws") == states(found, "migrated") == {"ok"}


def test_each_finding_is_a_line_with_what_to_do(command, market):
    command("safe", "news")

    lines = command("doctor").output.splitlines()

    at = next(number for number, line in enumerate(lines) if line == "warn  mode        SAFE: news")
    assert lines[at + 1].strip() == 'do: aegis resume "why", when the reason is gone'


def test_a_password_that_others_may_read_is_found(doctor, market, secrets):
    file = secrets / "aegis_desk"
    file.chmod(0o644)
    try:
        (bad,) = doctor()["secrets"]
    finally:
        file.chmod(0o600)

    assert (bad["state"], bad["todo"]) == ("fail", f"chmod go= {file}")


def test_a_broken_law_is_a_failure(doctor, market, db):
    with triggers_off(db):
        db.execute("update trade.balances set cash = cash + 1")

    (bad,) = doctor()["laws"]

    assert (bad["state"], bad["what"].startswith("L3: account")) == ("fail", True)


def test_no_worker_is_a_warning_and_a_missing_one_a_failure(doctor, market, login):
    assert states(doctor(), "workers") == {"warn"}

    for name in CORE:
        if name not in ("exits", "scheduler"):
            conn = login(f"aegis_w_{name}")
            (worker,) = conn.execute(
                "select register_worker(%s, 1, %s)", [name, socket.gethostname()]
            ).fetchone()
            conn.execute("select hold_worker_lock(%s)", [worker])

    missing = {row["what"] for row in doctor()["workers"] if row["state"] == "fail"}
    assert "exits is not running" in missing
    assert "supervisor is not running" in missing
    assert "router is not running" not in missing


def test_a_feed_that_has_gone_silent_is_a_failure(doctor, market, db):
    assert states(doctor(), "feeds") == {"ok"}
    db.execute("update market.feeds set last_heard_at = last_heard_at - interval '1 min'")

    (bad,) = doctor()["feeds"]

    assert (bad["state"], "silent" in bad["what"]) == ("fail", True)


def test_an_open_incident_is_a_warning(doctor, market, login):
    login("aegis_w_risk").execute("select raise_incident('crash_loop', 'exits', '{}')")

    (found,) = doctor()["incidents"]

    assert (found["state"], found["what"].startswith("crash_loop exits")) == ("warn", True)


def test_a_database_that_is_not_what_the_code_says_is_a_failure(doctor, market, db):
    db.execute("update bus.deployments set sql_checksum = 'another'")

    found = doctor()

    assert states(found, "migrated") == {"fail"}
    assert found["migrated"][0]["todo"] == "aegis db migrate"
    assert "laws" in found, "what can be checked is checked"


def test_a_server_that_cannot_be_reached_ends_the_visit(command, monkeypatch):
    monkeypatch.setenv("AEGIS_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/aegis")

    found = findings(command("doctor", "--json"))

    assert states(found, "server") == {"fail"}
    assert "laws" not in found


def test_a_pooler_that_does_not_answer_is_a_failure(command, market, monkeypatch):
    monkeypatch.setenv("AEGIS_POOLED_URL", "postgresql://nobody@127.0.0.1:1/aegis")

    assert states(findings(command("doctor", "--json")), "pooler") == {"fail"}


def test_a_strategy_without_bounds_and_an_open_database_are_found(doctor, market, db, dsn, databases):
    dsn("aegis_s_unbounded")
    assert "ok" in states(doctor(), "hints")
    made = databases.create("template0")
    try:
        db.execute("alter role aegis_s_unbounded connection limit -1; alter role aegis_s_unbounded reset all")
        found = doctor()

        said = " ".join(row["what"] for check in ("connections", "bounds") for row in found[check])
        assert states(found, "connections") == states(found, "bounds") == {"warn"}
        assert "aegis_s_unbounded may open any number of connections" in said
        assert "aegis_s_unbounded can fill the disk: log_min_error_statement" in said
        assert made in said
    finally:
        databases.drop(made)
        dsn("aegis_s_unbounded")


def test_the_override_code_is_looked_after(doctor, market, db):
    assert [f["todo"] for f in doctor()["code"]] == ["aegis set-code"]

    market.desk.execute("select set_override_code('tulip-4711')")
    assert states(doctor(), "code") == {"ok"}

    market.desk.execute("begin; select set_override_code('rose-4712', 'a guess'); rollback")
    db.execute("select risk.note_lost_attempts()")
    db.execute("update risk.override_codes set rounds = 1")
    found = [f["what"] for f in doctor()["code"] if f["state"] == "warn"]
    assert any("1 of 1 attempts to use the override code were rolled back" in what for what in found)
    assert any("quick to guess" in what for what in found)


def test_a_locked_override_code_is_a_warning(doctor, market):
    market.desk.execute("select set_override_code('tulip-4711')")
    for _ in range(5):
        market.desk.execute("select set_override_code('rose-4712', 'a guess')")

    (found,) = doctor()["code"]

    assert (found["state"], "locked until" in found["what"]) == ("warn", True)
