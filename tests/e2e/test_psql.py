"""The real psql, opened by `aegis db psql`, does what the README promises."""

import pytest

from tests.e2e.system import System
from tests.e2e.test_path import ROUND_TRIP


def psql(system: System, *statements: str) -> str:
    """Run these statements in one psql session and return what it prints."""
    done = system.aegis("db", "psql", "--", *(part for one in statements for part in ("-c", one)))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def idle(system: System) -> System:
    """A system without running workers, which psql does not need."""
    return system


def test_status_is_one_line(idle: System) -> None:
    printed = psql(idle, "select * from status;")

    assert printed.splitlines()[0].split(" | ")[0].strip() == "kind"
    assert " demo " in printed
    assert " NORMAL " in printed
    assert "(1 row)" in printed


def test_halt_is_one_word(idle: System) -> None:
    printed = psql(idle, "select halt('why');", "select mode, reason, changed_by from system_mode;")

    assert "HALT | why    | aegis_desk" in printed
    assert idle.rows("select mode, reason from risk.system_mode") == [("HALT", "why")]


def test_the_mode_is_a_row_that_can_be_updated(idle: System) -> None:
    printed = psql(
        idle,
        "update system_mode set mode='HALT', reason='why'",
        "update system_mode set mode='NORMAL', reason='never mind'",
        "select to_mode, reason from mode_history order by mode_change_id",
    )

    assert printed.splitlines()[:2] == ["UPDATE 1", "UPDATE 0"]
    assert idle.rows("select mode, reason from risk.system_mode") == [("HALT", "why")]
    assert "HALT    | why" in printed
    assert "never mind" not in printed


def test_an_intent_is_explained(system: System) -> None:
    system.start()
    intent = system.wait_for(ROUND_TRIP, within=40, what="a buy that a stop or target sold again")

    printed = psql(system, f"select * from explain({intent});")

    stations = [line.split("|")[1].strip() for line in printed.splitlines()[2:-2] if line.count("|") == 2]
    assert stations[0] == "pick"
    assert {"gate 1", "gate 2", "gate 3", "intent", "order", "fill"} <= set(stations)


def test_the_catalog_is_the_manual(idle: System) -> None:
    printed = psql(idle, r"\df+ api.halt")
    comment = idle.value("select obj_description('api.halt(text)'::regprocedure)")

    assert comment
    assert comment in printed


def test_a_refusal_reads_as_message_and_hint(idle: System) -> None:
    done = idle.aegis("db", "psql", "--", "-c", "select explain(4711)")

    assert done.returncode == 1
    assert "ERROR:  intent 4711 does not exist" in done.stderr
    assert "HINT:  " in done.stderr
