"""Limits of a login on the server: connections, other databases, temporary files, the server's log."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors, sql

from cli.checks.exhaustion import CORE_CONNECTIONS
from cli.database import limits, logins
from cli.database.secrets import password_of

STRATEGY = "aegis_s_prober"


def test_a_strategy_opens_its_ten_connections_and_no_more(dsn, login):
    address = dsn(STRATEGY)
    opened = []
    try:
        for _ in range(limits.STRATEGY_CONNECTIONS):
            opened.append(psycopg.connect(address))

        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            psycopg.connect(address)
        login("aegis_desk").execute("select 1")
    finally:
        for conn in opened:
            conn.close()


def test_every_worker_is_bounded_and_the_desk_is_not(db):
    bounds = dict(
        db.execute(
            "select rolname, rolconnlimit from pg_roles where rolname = any(%s)", [list(logins.LOGINS)]
        )
    )

    assert bounds.pop("aegis_desk") == -1
    assert set(bounds.values()) == {limits.WORKER_CONNECTIONS}


def test_an_embedded_server_has_room_for_a_dozen_strategies_and_the_core(pg_server, db):
    if pg_server.embedded is None:
        pytest.skip("the settings of an external server are not ours: aegis doctor looks at them")
    ours = {
        name: int(value)
        for name, value in db.execute(
            "select name, setting from pg_settings where name ~ '(max|reserved)_connections$'"
        )
    }
    left = ours["max_connections"] - ours["superuser_reserved_connections"]

    assert left - 12 * limits.STRATEGY_CONNECTIONS >= CORE_CONNECTIONS
    if db.info.server_version >= 160000:  # however many strategies there are
        assert ours["reserved_connections"] >= CORE_CONNECTIONS


def test_the_desk_and_the_core_get_the_reserved_connections(db, dsn):
    if db.info.server_version < 160000:
        pytest.skip("PostgreSQL 15 reserves connections for superusers alone")
    dsn(STRATEGY)
    query = "select pg_has_role(%s, 'pg_use_reserved_connections', 'usage')"
    may = {name: db.execute(query, [name]).fetchone()[0] for name in (*logins.LOGINS, STRATEGY)}

    assert may == dict.fromkeys(logins.LOGINS, True) | {STRATEGY: False}


@pytest.mark.parametrize("database", limits.TEMPLATES)
def test_no_login_enters_a_database_where_it_has_nothing_to_do(pg_server, secrets, dsn, database):
    for login in (STRATEGY, "aegis_desk", "aegis_w_router"):
        dsn(login)
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(pg_server.url(database, login, password_of(login, secrets)))


def test_a_database_that_was_made_by_hand_is_found_and_closed(databases, maintenance):
    name = databases.create("template0")
    try:
        assert (name,) in limits.open_databases(maintenance)

        limits.close_databases(maintenance, [name])

        assert (name,) not in limits.open_databases(maintenance)
    finally:
        databases.drop(name)


@pytest.mark.parametrize(
    "setting", ["temp_file_limit = -1", "log_min_messages = 'log'", "log_min_error_statement = 'error'"]
)
def test_a_strategy_cannot_undo_what_bounds_it(login, setting):
    strategy = login(STRATEGY)

    with pytest.raises(errors.InsufficientPrivilege):
        strategy.execute(f"set {setting}".encode())
    with pytest.raises(errors.InsufficientPrivilege):
        strategy.execute(f"alter role {STRATEGY} set {setting}".encode())
    with pytest.raises(errors.InsufficientPrivilege):
        strategy.execute(f"alter role {STRATEGY} connection limit -1".encode())


def test_a_sort_of_a_strategy_does_not_fill_the_disk(login):
    strategy = login(STRATEGY)
    strategy.execute("set work_mem = '64kB'; set max_parallel_workers_per_gather = 0")

    with pytest.raises(errors.ConfigurationLimitExceeded, match="temp_file_limit"):
        strategy.execute(
            "select repeat('x', 1000) || i from generate_series(1, 200000) as i order by 1"
        ).fetchone()


def test_what_a_strategy_logs_does_not_fill_the_log_of_the_server(login, pg_server):
    if pg_server.embedded is None:
        pytest.skip("the log of an external server is not ours to read")
    strategy = login(STRATEGY)
    strategy.execute("do $$ begin raise log 'a line of the strategy %', repeat('x', 100000); end $$")
    with pytest.raises(errors.SyntaxError):
        strategy.execute("selec 'a statement of the strategy'")

    log = (pg_server.embedded.directory / "server.log").read_text()
    assert "of the strategy" not in log


def test_a_number_that_somebody_has_set_stays(db, dsn):
    dsn(STRATEGY)
    db.execute(sql.SQL("alter role {} connection limit 3").format(sql.Identifier(STRATEGY)))
    try:
        limits.limit_logins(db)

        assert db.execute("select rolconnlimit from pg_roles where rolname = %s", [STRATEGY]).fetchone() == (
            3,
        )
    finally:
        db.execute(sql.SQL("alter role {} connection limit -1").format(sql.Identifier(STRATEGY)))
        limits.limit_logins(db)
