"""L11: a transaction over its limit is ended or named, and no view lets a login hold a lock."""

import psycopg
import pytest

from tests.sql.laws.sessions.sessions_kit import (
    DESK,
    LIMITS,
    is_ended,
    left_open,
    limit,
    open_incident,
    watch,
)

# -- limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["idle_in_transaction", "transaction"])
@pytest.mark.parametrize(
    ("station", "group"),
    [("aegis_s_momo", "aegis_strategy"), ("desk", "aegis_operator"), ("execution", "aegis_executor")],
)
def test_a_transaction_over_its_limit_is_ended_and_named(kit, station, group, name):
    kit.add_strategy()
    conn = left_open(kit, station, "select 1")
    limit(kit, "aegis_viewer", **{name: "0 s"})
    watch(kit)
    conn.execute("select 1")

    limit(kit, group, **{name: "0 s"})
    watch(kit)

    assert is_ended(kit, conn)
    incident = open_incident(kit, "session_ended")
    login = {"desk": "aegis_desk", "execution": "aegis_w_execution"}.get(station, station)
    assert (incident.subject, incident.detail["pid"]) == (login, conn.pid)


def test_a_statement_over_its_limit_is_ended(kit):
    desk = kit.connect("desk")
    limit(kit, *DESK, statement="0 s")
    asleep = kit.background(desk, "select pg_sleep(60)")
    kit.wait_until("select count(*) = 1 from pg_stat_activity where wait_event = 'PgSleep'")

    watch(kit)

    with pytest.raises(psycopg.OperationalError):
        asleep.result(20)
    assert open_incident(kit, "session_ended").detail["why"] == "a statement too long"


def test_who_has_no_transaction_is_left_alone(kit):
    limit(kit, *DESK, "aegis_executor", "aegis_engine", **dict.fromkeys(LIMITS, "0 s"))

    watch(kit)

    for station in ("desk", "execution", "router"):
        kit.at(station).execute("select 1")


def test_what_a_session_said_is_not_shown(kit):
    kit.add_strategy()
    conn = left_open(kit, "desk", "select * from resume('x', 'SECRET77')")
    limit(kit, *DESK, idle_in_transaction="0 s")

    watch(kit)

    assert is_ended(kit, conn)
    incident = open_incident(kit, "session_ended")
    assert incident.detail["statement"] == "resume"
    assert "SECRET77" not in str(kit.rows(kit.db, "select * from bus.events"))


def test_what_cannot_be_recorded_now_is_recorded_by_the_next_look(kit):
    limit(kit, *DESK, idle_in_transaction="0 s")
    left_open(kit, "desk", "select 1")
    watch(kit)
    holder = left_open(kit, "superuser", "select 1 from risk.incidents for update")
    second = left_open(kit, "desk", "select 1")

    unrecorded = watch(kit)

    assert is_ended(kit, second)
    assert [found["detail"]["pid"] for found in unrecorded] == [second.pid]
    holder.execute("rollback")
    assert watch(kit, unrecorded) == []
    assert open_incident(kit, "session_ended").detail["pid"] == second.pid


# -- sessions we may not end -------------------------------------------------------------------------------


def test_a_superuser_that_holds_the_horizon_is_named_until_he_lets_go(kit):
    limit(kit, "other", idle_in_transaction="0 s")
    holder = left_open(kit, "superuser", "select pg_current_xact_id()")

    watch(kit)

    incident = open_incident(kit, "transaction_held")
    assert incident.detail["pid"] == holder.pid
    holder.execute("select 1")
    holder.execute("rollback")
    watch(kit)
    assert open_incident(kit, "transaction_held") is None


# -- views -------------------------------------------------------------------------------------------------


def test_no_view_lets_a_login_lock_what_is_behind_it(kit):
    kit.add_strategy()
    views = [row.name for row in kit.rows(
        kit.db, "select oid::regclass::text as name from pg_class"
        " where relkind = 'v' and relnamespace = 'api'::regnamespace"
    )]  # fmt: skip
    locks = (
        "select string_agg(distinct l.relation::regclass || ' ' || l.mode, ', ') from pg_locks as l"
        " join pg_class as c on c.oid = l.relation and c.relnamespace <> 'api'::regnamespace"
        " where l.pid = %s and l.mode <> 'AccessShareLock' and l.locktype = 'relation'"
    )
    found = {}
    for station in ("desk", "router", "execution", "feed", "aegis_s_momo"):
        conn = kit.connect(station)
        for view in views:
            for statement in (f"select 1 from {view} for update", f"lock table {view} in share mode"):
                conn.execute("begin")
                try:
                    conn.execute(statement.encode())
                    found[station, statement] = kit.call(kit.db, locks, conn.info.backend_pid)
                except psycopg.errors.InsufficientPrivilege:
                    pass
                conn.execute("rollback")

    assert found == {("desk", "select 1 from api.system_mode for update"): None}
