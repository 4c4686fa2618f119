"""Least power (L11): privileges match the committed list, and a strategy can only propose and read.

After an intended change, write the list again and review the difference:

    AEGIS_TEST_UPDATE=1 python -m pytest tests/sql/test_privileges.py
"""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from cli.database.logins import LOGINS
from cli.database.secrets import password_of

LIST = Path(__file__).parent / "privileges.txt"
OURS = "(select oid from pg_namespace where nspowner = 'aegis_owner'::regrole)"
STRATEGY = "aegis_s_prober"

# Every privilege of everyone but the owner, as sorted lines.  A null ACL is replaced by its default.
PRIVILEGES = f"""
with acls (target, acl, owner) as (
    select 'database', coalesce(datacl, acldefault('d', datdba)), datdba
    from pg_database where datname = current_database()
    union all
    select 'schema ' || nspname, coalesce(nspacl, acldefault('n', nspowner)), nspowner
    from pg_namespace where oid in {OURS} or nspname = 'public'
    union all
    select 'function ' || oid::regprocedure, coalesce(proacl, acldefault('f', proowner)), proowner
    from pg_proc where pronamespace in {OURS}
    union all
    select 'function ' || oid::regprocedure, coalesce(proacl, acldefault('f', proowner)), proowner
    from pg_proc
    where pronamespace = 'pg_catalog'::regnamespace
      and (proname ~ '^(pg_(try_)?advisory|lo_|(lo(read|write)|txid_current)$)'
      or proname in ('pg_export_snapshot', 'pg_logical_emit_message', 'pg_current_xact_id'))
    union all
    select
        case relkind when 'v' then 'view ' when 'S' then 'sequence ' else 'table ' end || oid::regclass,
        coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner)), relowner
    from pg_class where relnamespace in {OURS} and relkind in ('r', 'p', 'v', 'm', 'S')
    union all
    select 'column ' || c.oid::regclass || '.' || a.attname, a.attacl, c.relowner
    from pg_attribute as a join pg_class as c on c.oid = a.attrelid
    where c.relnamespace in {OURS} and a.attacl is not null
)
select target || ': ' || case grantee when 0 then 'PUBLIC' else pg_get_userbyid(grantee) end
    || ' ' || string_agg(lower(privilege_type), ', ' order by privilege_type)
    || case when bool_or(is_grantable) then ' with grant option' else '' end
from acls, aclexplode(acl)
where grantee <> owner and (grantee <> 0 or target !~ '^database')
group by target, grantee
"""
MEMBERSHIPS = """
select 'member ' || m.rolname || ': ' || string_agg(g.rolname, ', ' order by g.rolname)
from pg_auth_members as a
join pg_roles as m on m.oid = a.member
join pg_roles as g on g.oid = a.roleid
where m.rolname = any (%s)
group by m.rolname
"""


def test_privileges_are_the_committed_list(db, login):
    login(STRATEGY)
    roles = [*LOGINS, STRATEGY, "aegis_owner"]
    rows = [*db.execute(PRIVILEGES), *db.execute(MEMBERSHIPS, [roles])]
    found = "".join(f"{line}\n" for line in sorted(row[0] for row in rows))
    if os.environ.get("AEGIS_TEST_UPDATE"):
        LIST.write_text(found)

    assert found == LIST.read_text(), "see the docstring of this file"


def test_public_may_do_nothing(db):
    assert [line for (line,) in db.execute(PRIVILEGES) if ": PUBLIC" in line] == []
    (acl,) = db.execute("select datacl::text from pg_database where datname = current_database()").fetchone()
    assert "{=" not in acl, "public may not even connect"
    assert ",=" not in acl


@pytest.mark.parametrize("role", [*LOGINS, STRATEGY])
def test_no_login_may_touch_a_private_table_or_make_anything(login, db, role):
    login(role)

    touchable = db.execute(
        f"""
        select oid::regclass::text from pg_class
        where relnamespace in {OURS} and relnamespace <> 'api'::regnamespace
          and relkind in ('r', 'p', 'v', 'S')
          and case relkind when 'S' then has_sequence_privilege(%(role)s, oid, 'usage, select, update')
              else has_any_column_privilege(%(role)s, oid, 'select, insert, update, references')
                or has_table_privilege(%(role)s, oid, 'delete, truncate, trigger') end
        """,
        {"role": role},
    ).fetchall()
    schemas = db.execute(
        "select nspname from pg_namespace where has_schema_privilege(%s, oid, 'create')", [role]
    ).fetchall()

    assert touchable == []
    assert schemas == []
    assert (
        db.execute(
            """
            select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
            from pg_roles where rolname = %s
            """,
            [role],
        ).fetchone()
        == (False,) * 5
    )


ATTACKS = {
    "temporary table": "create temp table prices (symbol text)",
    "temporary view": "create temp view positions as select 1",
    "table in public": "create table public.prices (symbol text)",
    "function at the door": "create function api.halt(text) returns int language sql as 'select 1'",
    "schema": "create schema mine",
    "read a table": "select * from trade.accounts",
    "read the history": "select * from bus.events",
    "write a table": "insert into strategy.picks default values",
    "send an order": "select * from api.claim_intents(1, 10)",
    "halt": "select api.halt('because')",
    "resume": "select api.resume('because', '1234')",
    "open an account with money": "select api.add_account('mine', 'paper', 'SIM', 'KRW', null, 1000000)",
    "end a feed": "select api.feed_status('sim', 'ENDED', 'no reason')",
    "see the desk's views": "select * from api.accounts",
    "lock out others": "select pg_advisory_lock(1)",
    "lock out others shared": "select pg_advisory_lock_shared(1)",
    "lock out others for a transaction": "select pg_advisory_xact_lock(1, 2)",
    "try to lock out others": "select pg_try_advisory_lock(1)",
    "unlock": "select pg_advisory_unlock_all()",
    "fill the disk": "select lo_create(0)",
    "fill the disk with bytes": "select lo_from_bytea(0, 'x')",
    "fill the disk with files of snapshots": "select pg_export_snapshot()",
    "fill the disk with WAL": "select pg_logical_emit_message(false, 'x', 'x')",
    "use up transaction ids": "select pg_current_xact_id()",
    "use up transaction ids by the old name": "select txid_current()",
    "become the desk": "set role aegis_desk",
    "become the owner": "set role aegis_owner",
    "become another session": "set session authorization aegis_desk",
    "run a program": "copy (select 1) to program 'true'",
    "read a file": "select pg_read_file('postgresql.conf')",
    "read passwords": "select rolpassword from pg_authid",
    "end another session": """
        select pg_terminate_backend(pid) from pg_stat_activity where usename = 'aegis_desk'
    """,
    "lock the gate": "begin; lock table risk.gate in access exclusive mode",
    "lock a view": "begin; lock table api.prices in access exclusive mode",
    "change its own search path for good": "alter role aegis_desk set search_path = public",
    "listen to definitions": "create event trigger spy on ddl_command_end execute function api.halt()",
    "read a table from a block": "do $$ begin perform * from trade.accounts; end $$",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_strategy_may_not(login, db, attack):
    login("aegis_desk")  # somebody to attack
    strategy = login(STRATEGY)

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        strategy.execute(ATTACKS[attack])


def test_what_a_strategy_sets_for_itself_harms_nobody(login, db):
    """SET cannot be forbidden, so the api functions bring their own settings."""
    strategy = login(STRATEGY)
    strategy.execute("set search_path = pg_temp, public; set role none; set statement_timeout = '1h'")

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        strategy.execute("create temp table accounts ()")
    assert db.execute(
        "select count(*) from pg_class where relnamespace = pg_my_temp_schema()"
    ).fetchone() == (0,)


def test_no_login_takes_an_advisory_lock_but_by_the_function_for_it(login):
    """With arbitrary locks a login could pose as another worker or fill the server's lock table."""
    for name in LOGINS:
        for query in ("select pg_advisory_lock(7)", "select pg_try_advisory_xact_lock(7)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                login(name).execute(query)


def test_other_databases_of_the_server_stay_closed(pg_server, new_database, dsn, secrets):
    """Logins are shared by all databases of the server, but give no access to tables in the others."""
    dsn(STRATEGY)
    other = new_database()
    other.execute("create table public.private (note text)")
    address = pg_server.url(other.info.dbname, STRATEGY, password_of(STRATEGY, secrets))

    with (
        psycopg.connect(address, autocommit=True) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute("select * from public.private")
