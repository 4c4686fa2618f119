"""A live database reads the real clock, a test database a given time; nothing else reads a clock."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cli.database.files import schema_dir, sql_dir
from cli.database.migrate import migrate

Connection = psycopg.Connection[Any]

LONG_AGO = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)
CLOCKS = ("bus.now()", "bus.clock()")

NATIVE_CLOCKS = re.compile(
    r"\b(current_timestamp|current_date|current_time|localtime|localtimestamp|clock_timestamp|"
    r"statement_timestamp|transaction_timestamp|timeofday)\b|(?<!bus\.)\bnow\(\)|'now'|'today'"
)
CHANCE = re.compile(r"\b(random|setseed|random_normal)\s*\(|\bgen_random_uuid\(\)")
COMMENT = re.compile(r"--[^\n]*")

# Where randomness is wanted: unpredictable ids and salts. None of it decides anything.
CHANCE_ALLOWED = {
    "0002_rooms.sql",
    "30_runs.sql",
    "32_override_code.sql",
    "92_manual_intents.sql",
    "20_picks.sql",
}


def sources() -> list[Path]:
    return sorted([*schema_dir().glob("[0-9]*.sql"), *sql_dir().rglob("*.sql")])


@pytest.mark.parametrize("kind", ["live", "demo"])
@pytest.mark.parametrize("clock", CLOCKS)
def test_a_live_database_cannot_be_fooled(
    new_database: Callable[[], Connection], kind: str, clock: str
) -> None:
    conn = new_database()
    migrate(conn, kind=kind)

    conn.execute("select set_config('aegis.now', %s, false)", [LONG_AGO.isoformat()])
    (now,) = conn.execute(f"select {clock}").fetchone() or (None,)

    assert abs(datetime.now(UTC) - now) < timedelta(minutes=1)


@pytest.mark.parametrize("kind", ["live", "demo"])
def test_a_live_database_holds_no_code_that_could_believe_a_made_up_time(
    new_database: Callable[[], Connection], kind: str
) -> None:
    conn = new_database()
    migrate(conn, kind=kind)

    believers = conn.execute(
        """
        select p.oid::regprocedure::text
        from pg_proc as p
        join pg_namespace as n on n.oid = p.pronamespace
        where p.prokind = 'f'
          and n.nspname not in ('pg_catalog', 'information_schema')
          and pg_get_functiondef(p.oid) ilike '%aegis.now%'
        """
    ).fetchall()

    assert believers == []


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_test_database_obeys_the_made_up_time(db: Connection, clock: str) -> None:
    db.execute("select set_config('aegis.now', %s, false)", [LONG_AGO.isoformat()])
    assert db.execute(f"select {clock}").fetchone() == (LONG_AGO,)


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_nothing_else_reads_a_clock(path: Path) -> None:
    if path.name.startswith("0001_time"):
        return

    code = COMMENT.sub("", path.read_text())

    assert NATIVE_CLOCKS.findall(code) == []


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_nothing_draws_by_chance_but_ids_and_salts(path: Path) -> None:
    if path.name in CHANCE_ALLOWED:
        return

    code = COMMENT.sub("", path.read_text())

    assert CHANCE.findall(code) == []


@pytest.mark.parametrize(
    "text", ["select now()", "default current_timestamp", "clock_timestamp()", "'now'::timestamptz"]
)
def test_the_search_for_clocks_finds_one(text: str) -> None:
    assert NATIVE_CLOCKS.search(text)
    assert not NATIVE_CLOCKS.search("select bus.now(), bus.clock()")
