"""L9 against forgery of the history: its causes, its seals, its triggers, and dropping it."""

from __future__ import annotations

import shutil

import psycopg
import pytest

from cli.database.files import sql_dir
from cli.database.migrate import migrate
from tests.sql.laws.market_kit import refusal

EVENT = "row(1, 1, '1'::xid8, '2026-01-01', {}, {}, 'test', null, 'x', null, null, '{{}}')::bus.events"
OFF = "select c.oid::regclass || ' ' || t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid"
OFF += " where pg_get_userbyid(c.relowner) = 'aegis_owner' and c.relkind in ('r', 'p')"
OFF += " and not t.tgisinternal and t.tgenabled <> 'A'"


# -- dropping history --------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["null", "'infinity'", "'-infinity'", "NOW", "NOW - interval '29 days'"])
def test_history_is_not_dropped_by_a_slip(kit, before):
    kit.db.execute("select api.seal_events(1000)")
    last = kit.look("select max(event_id) as id from bus.events").id

    now = f"'{kit.now.isoformat()}'::timestamptz"
    call = f"select drop_partitions({before.replace('NOW', now)}, 'why')"
    assert refusal(lambda: kit.call("desk", call)) == "TRI01"

    assert kit.look("select max(event_id) as id from bus.events").id == last


@pytest.mark.parametrize("reason", [None, "", " "])
def test_history_is_not_dropped_without_a_reason(kit, reason):
    query = "select drop_partitions(%s::timestamptz - interval '31 days', %s)"

    assert refusal(lambda: kit.call("desk", query, kit.now, reason)) == "TRI01"

    assert kit.call("desk", query, kit.now, "disk is full") == 0
    assert kit.events("history")[-1].data["reason"] == "disk is full"


# -- seals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("'a|b'", "'c'"), ("'a'", "'b|c'")),
        (("'a'", "''"), ("''", "'a'")),
        (("'a\",\"b'", "'c'"), ("'a'", "'b\",\"c'")),
        (("'a'", "null"), ("null", "'a'")),
    ],
)
def test_text_cannot_move_between_the_fields_of_a_sealed_event(kit, one, other):
    query = f"select bus.event_hash({EVENT.format(*one)}, 2) <> bus.event_hash({EVENT.format(*other)}, 2)"

    assert kit.call(kit.db, query)


def test_a_hash_does_not_depend_on_the_session(kit):
    query = "select string_agg(bus.event_hash(e, v), ',' order by e.event_id, v)"
    query += " from bus.events as e, generate_series(1, 2) as v"
    before = kit.call(kit.db, query)

    kit.db.execute("set timezone = 'Asia/Kolkata'; set datestyle = 'SQL, DMY'; set extra_float_digits = 0")

    assert kit.call(kit.db, query) == before


def test_seals_of_the_version_before_still_verify(kit):
    kit.db.execute("select api.seal_events(5)")
    with kit.triggers_off() as db:
        db.execute(
            "update bus.seals s set hash_version = 1, event_hash = bus.event_hash(e, 1)"
            " from bus.events e where e.event_id = s.event_id"
        )
        for seal_no in range(1, 6):
            db.execute(
                "update bus.seals s set chain = encode(sha256(convert_to(coalesce((select p.chain"
                " from bus.seals p where p.seal_no = s.seal_no - 1), '') || s.event_hash, 'UTF8')), 'hex')"
                " where s.seal_no = %s",
                [seal_no],
            )
    kit.buy(1)
    kit.db.execute("select api.seal_events(1000)")

    assert kit.rows("desk", "select * from verify_seals()") == []
    versions = kit.db.execute("select distinct hash_version from bus.seals order by 1").fetchall()
    assert versions == [(1,), (2,)]

    with kit.triggers_off() as db:
        db.execute("update bus.seals set hash_version = 3 where seal_no = 1")
    assert [row.problem for row in kit.rows("desk", "select * from verify_seals()")] == ["changed"]


# -- the cause of an event ---------------------------------------------------------------------------------

FORGED = [
    "perform api.safe('why') /* function api.resume( */",
    "perform api.safe('why') /*\nPL/pgSQL function api.resume(text,text) line 3 at PERFORM\n*/",
    "perform api.safe('function api.resume(')",
    "execute 'select api.safe(''why'') -- function api.resume('",
]


def last_cause(kit, entity="mode"):
    return kit.events(entity)[-1].cause


@pytest.mark.parametrize("body", FORGED)
def test_a_block_of_code_is_direct_sql_whatever_its_text_says(kit, body):
    kit.at("desk").execute(f"do $forged$ begin {body}; end $forged$")

    assert last_cause(kit) == "direct SQL"


def test_a_call_is_the_cause_also_of_what_it_calls(kit):
    kit.buy(1)
    assert last_cause(kit, "intent") == "create_intent"

    kit.call("desk", "select safe('why') /* function api.resume( */")
    assert last_cause(kit) == "safe"

    kit.call("desk", "select halt('why -- function api.resume(')")
    assert last_cause(kit) == "halt", "a function in SQL too"

    kit.at("desk").execute("update system_mode set mode = 'HALT', reason = 'again'")
    kit.db.execute("update trade.order_intents set reason = 'function api.halt('")
    assert last_cause(kit, "intent") == "direct SQL"


@pytest.mark.parametrize(
    ("frame", "cause"),
    [
        ("PL/pgSQL-Funktion api.reconcile(text,text,jsonb) Zeile 3 bei PERFORM", "reconcile"),
        ("fonction PL/pgSQL api.reconcile(text,text,jsonb), ligne 3 à PERFORM", "reconcile"),
        ("PL/pgSQL関数api.reconcile(text,text,jsonb)の3行目 - PERFORM", "reconcile"),
        ("SQL-Funktion »halt« Anweisung 1", "halt"),
        ("fonction SQL « halt », instruction 1", "halt"),
        ("PL/pgSQL function inline_code_block line 1 at PERFORM", "direct SQL"),
        ("PL/pgSQL function trade.lock_order(bigint,bigint) line 1 at IF", "direct SQL"),
        ("", "direct SQL"),
    ],
)
def test_a_frame_is_understood_in_the_language_of_any_server(kit, frame, cause):
    query = "select coalesce(substring(%s from 'api\\.([a-z0-9_]+)\\('), bus.cause_of(%s))"

    assert kit.call(kit.db, query, frame, frame) == cause


# -- triggers fire for every writer ------------------------------------------------------------------------


def test_every_trigger_fires_under_replica_too(kit):
    kit.db.execute("select api.make_partitions(100)")

    assert kit.db.execute(OFF).fetchall() == []


@pytest.mark.parametrize("rebuild", [False, True], ids=["applied again", "migrated"])
def test_a_deployment_leaves_them_so(kit, rebuild, tmp_path):
    code = tmp_path / "sql"
    shutil.copytree(sql_dir(), code)
    (code / "10_bus" / "00_api.sql").open("a").write("-- another version\n")

    migrate(kit.db, kind=None, sql_dir=code, force=rebuild)

    assert kit.db.execute(OFF).fetchall() == []


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("delete from bus.events", "TRL02"),
        ("truncate bus.seals", "TRL02"),
        ("update trade.order_intents set owner = 'x'", "TRL02"),
        ("update trade.orders set client_order_id = 'x'", "TRL02"),
        ("update trade.orders set status = 'SENDING', closed_at = null", "TRL01"),
        ("delete from trade.cash_entries", "TRL02"),
        ("truncate risk.mode_history", "TRL02"),
    ],
)
def test_laws_hold_under_replica_too(kit, statement, code):
    kit.live_order("BUY", 1, 60_000)
    kit.db.execute("set session_replication_role = replica")

    assert refusal(lambda: kit.db.execute(statement.encode())) == code


def test_only_a_superuser_could_try(kit):
    for station in ("desk", "execution"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            kit.at(station).execute("set session_replication_role = replica")
