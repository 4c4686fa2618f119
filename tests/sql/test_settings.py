"""Whatever defaults a server has, each of our sessions gets the settings that the rules depend on."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from cli.database import logins, role_settings
from cli.database.connect import Database
from workers.runtime import session
from workers.runtime.settings import Settings

HOSTILE = {
    "statement_timeout": "50",
    "lock_timeout": "1",
    "idle_in_transaction_session_timeout": "1",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "synchronous_commit": "off",
    "jit": "on",
    "jit_above_cost": "0",
    "jit_inline_above_cost": "0",
    "jit_optimize_above_cost": "0",
    "plan_cache_mode": "force_custom_plan",
    "work_mem": "64kB",
    "max_parallel_workers_per_gather": "8",
    "enable_indexscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "datestyle": "SQL, DMY",
    "intervalstyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "timezone": "America/St_Johns",
    "client_min_messages": "error",
    "search_path": "pg_temp, public, pg_catalog",
    "row_security": "off",
    "session_replication_role": "replica",
    "plpgsql.extra_errors": "all",
}


def make_hostile(conn: psycopg.Connection, database: str) -> None:
    """Set what a provider might set: for a whole database, so that only new sessions have it."""
    for name, value in HOSTILE.items():
        statement = sql.SQL("alter database {} set {} = {}")
        dotted = sql.SQL(".").join(map(sql.Identifier, name.split(".")))
        conn.execute(statement.format(sql.Identifier(database), dotted, sql.Literal(value)))


@pytest.fixture
def hostile(maintenance, database, db) -> str:
    make_hostile(maintenance, database)
    return database


@pytest.mark.parametrize("role", ["aegis_desk", "aegis_w_execution", "aegis_w_supervisor", "aegis_s_momo"])
def test_a_login_has_its_settings_whatever_the_database_says(hostile, login, role):
    conn = login(role)

    assert role_settings.unlike(conn, role) == []
    assert conn.execute("show search_path").fetchone() == ("api",)
    assert conn.execute("show jit").fetchone() == ("off",)
    assert (conn.execute("show timezone").fetchone() == ("UTC",)) is (role != "aegis_desk")


def test_what_differs_is_named(hostile, maintenance, login):
    maintenance.execute(f"alter role aegis_w_risk in database {hostile} set jit = on".encode())

    assert role_settings.unlike(login("aegis_w_risk"), "aegis_w_risk") == [("jit", "on", "off")]


def test_what_is_there_is_not_set_again(db):
    assert role_settings.statements(db, logins.LOGINS) == []


def test_every_switch_of_the_planner_is_among_them(db):
    pinned = db.execute(session.pins("%s", "%s").encode(), [[], []]).fetchall()

    assert len(pinned) >= 15
    assert ("enable_indexscan", "on") in pinned
    assert all(name.startswith("enable_") for name, _ in pinned)


def test_the_administrators_session_has_them_too(hostile, pg_server, monkeypatch):
    monkeypatch.setattr(Database, "_admin_url", lambda _self, name: pg_server.url(name))

    with Database(Settings(), hostile).admin() as conn:
        assert role_settings.unlike(conn, role_settings.DESK) == []
        conn.execute("create table public.written (n integer)")
        conn.execute("insert into public.written values (1)")
