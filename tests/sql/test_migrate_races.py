"""Deployments that collide with other sessions: another migrator, a long transaction, a killed connection."""

import threading
from datetime import timedelta

import psycopg
import pytest

from cli.database import logins
from cli.database import secrets as passwords
from cli.database.errors import MigrationError
from tests.sql.deploy_kit import HOLD, HOLD_SQL, in_thread

SOON = timedelta(milliseconds=50)
WAITING = """
    select pid from pg_locks
    where locktype = 'advisory' and not granted and (objid = %s) = %s
      and database = (select oid from pg_database where datname = %s)
"""


@pytest.fixture
def held(shop, pg_server, wait_for):
    """A deployment stopped in the middle of migration 0002 until the test releases it."""
    shop.deploy()
    name = shop.conn.info.dbname
    shop.migration("0002_more.sql", "create table shop.more ();\n" + HOLD_SQL + "create table shop.rest ();")
    holder = pg_server.connect(name)
    holder.execute("select pg_advisory_lock(%s)", [HOLD])
    first = in_thread(lambda: shop.deploy(pg_server.connect(name)))
    wait_for(WAITING, HOLD, True, name)
    yield holder, first
    holder.close()


def test_of_two_migrators_one_waits_and_finds_it_done(shop, held, pg_server, wait_for):
    holder, first = held
    second = in_thread(lambda: shop.deploy(pg_server.connect(shop.conn.info.dbname)))
    wait_for(WAITING, HOLD, False, shop.conn.info.dbname)

    holder.close()

    assert first.result(20).applied == ("0002_more",)
    assert not second.result(20).changed


def test_a_migrator_that_waits_too_long_says_so(shop, held, pg_server):
    holder, first = held

    with pytest.raises(MigrationError, match="another migration of this database is running"):
        shop.deploy(lock_timeout=SOON)

    holder.close()
    assert first.result(20).applied == ("0002_more",)


def test_a_killed_deployment_leaves_nothing(shop, held, wait_for, maintenance):
    _, first = held
    pid = wait_for(WAITING, HOLD, True, shop.conn.info.dbname)

    maintenance.execute("select pg_terminate_backend(%s, 10000)", [pid])

    with pytest.raises((psycopg.OperationalError, MigrationError)):
        first.result(20)
    assert shop.value("select to_regclass('shop.more') is null and to_regclass('api.items') is not null")
    assert shop.value("select max(version) from bus.migrations") == 1


def test_a_migration_that_fails_halfway_leaves_nothing(shop):
    shop.deploy()
    shop.migration("0002_more.sql", "create table shop.more ();")
    shop.migration("0003_wrong.sql", "insert into shop.items (name) values ('fig');\nselect 1 / 0;")

    with pytest.raises(MigrationError, match=r"0003_wrong\.sql.*division by zero"):
        shop.deploy()

    assert shop.value("select to_regclass('shop.more') is null and to_regclass('api.items') is not null")
    assert shop.value("select count(*) from shop.items") == 1
    assert shop.value("select max(version) from bus.migrations") == 1


def test_a_busy_table_is_waited_for_only_so_long_and_the_session_is_named(shop, pg_server):
    shop.deploy()
    shop.migration("0002_more.sql", "alter table shop.items add column more text;")
    with pg_server.connect(shop.conn.info.dbname) as trader:
        trader.execute("set application_name = 'a trader'")
        trader.execute("begin; insert into shop.items (name) values ('fig')")

        with pytest.raises(MigrationError, match="stayed locked by another session") as refusal:
            shop.deploy(lock_timeout=SOON)

        assert f"pid {trader.info.backend_pid}, a trader" in (refusal.value.hint or "")
    assert shop.value("select max(version) from bus.migrations") == 1


def test_a_light_deployment_does_not_wait_for_readers_of_tables(shop, pg_server):
    shop.deploy()
    shop.code("'a '", "'an '")
    with pg_server.connect(shop.conn.info.dbname) as reader:
        reader.execute("begin; select from shop.items")

        assert shop.deploy(lock_timeout=SOON).sql_applied


def test_starters_at_once_make_one_login_with_one_password(new_database, secrets):
    databases = [new_database() for _ in range(3)]
    login = f"aegis_s_race{databases[0].info.backend_pid}"
    barrier = threading.Barrier(len(databases))

    def start(conn):
        barrier.wait(10)
        return logins.ensure_strategy_login(conn, login.removeprefix("aegis_s_"), secrets)

    futures = [in_thread(lambda conn=conn: start(conn)) for conn in databases]

    assert {future.result(20) for future in futures} == {login}
    password = passwords.password_of(login, secrets)
    (verifier,) = (
        databases[0].execute("select rolpassword from pg_authid where rolname = %s", [login]).fetchone()
    )
    assert passwords.matches(password, verifier)
