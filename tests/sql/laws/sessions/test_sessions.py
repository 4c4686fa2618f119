"""L11: no open transaction stops the desk, the engine or history: its session is ended or named."""

import datetime as dt

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.sql.laws.market_kit import OTHER, SYMBOL, Kit
from workers.runtime.errors import NotAllowed

DESK = ("aegis_operator", "aegis_viewer")
LIMITS = ("idle_in_transaction", "statement", "transaction", "idle_in_the_way", "in_the_way")


@pytest.fixture
def kit(kit: Kit) -> Kit:
    """The kit in real time, because session ages are real."""
    kit.now = dt.datetime.now(dt.UTC)
    kit.advance(seconds=0)
    kit.call("supervisor", "select begin_run()")
    kit.open_account()
    kit.quote(70_000, 70_100)
    kit.quote(70_000, 70_100, symbol=OTHER)
    kit.at("risk").execute("reset aegis.now")
    return kit


def watch(kit, unrecorded=()):
    return kit.call("risk", "select watch_sessions(%s::jsonb)", Jsonb(list(unrecorded)))


def limit(kit, *groups, **limits):
    """Set other limits for some groups, so that no test has to wait for the real ones."""
    for name, value in limits.items():
        query = f"update bus.session_limits set {name} = %s where role_group = any(%s)"
        kit.db.execute(query.encode(), [value, list(groups)])


def left_open(kit, station, *statements):
    conn = kit.connect(station)
    conn.execute("begin")
    for statement in statements:
        conn.execute(statement)
    conn.pid = conn.info.backend_pid  # a broken connection no longer knows it
    return conn


def is_ended(kit, conn):
    kit.wait_until("select count(*) = 0 from pg_stat_activity where pid = %s", conn.pid)
    with pytest.raises(psycopg.OperationalError):
        conn.execute("select 1")
    return True


def open_incident(kit, kind):
    return kit.look("select subject, detail from risk.incidents where kind = %s and closed_at is null", kind)


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


# -- sessions that block others ----------------------------------------------------------------------------


def wait_250_ms(kit, conn):
    kit.wait_until(
        "select count(*) = 1 from pg_locks where pid = %s and not granted"
        " and waitstart < clock_timestamp() - interval '250 ms'",
        conn.info.backend_pid,
    )


@pytest.mark.parametrize("is_idle", [True, False])
def test_who_makes_a_fill_wait_is_named_and_ended(kit, is_idle):
    kit.buy(1)
    order = kit.claim_one()
    holder = left_open(kit, "desk", "select record_cash('demo', 'deposit', 1, 'left open')")
    if not is_idle:
        kit.background(holder, "select pg_sleep(60)")
    executor = kit.connect("execution")
    filled = kit.pool.submit(kit.fill, order, 1, 70_000, by=executor)
    wait_250_ms(kit, executor)
    limit(kit, *DESK, idle_in_the_way="1 h", in_the_way="1 h")
    watch(kit)
    assert not filled.done()

    limit(kit, *DESK, **{"idle_in_the_way" if is_idle else "in_the_way": "0 s"})
    watch(kit)

    assert filled.result(20) == "RECORDED"
    incident = open_incident(kit, "lock_wait")
    assert incident.subject == "record_fill waits for aegis_desk"
    assert incident.detail["holder"]["pid"] == holder.pid
    ended = open_incident(kit, "session_ended").detail
    assert "trade.balances RowShareLock" in ended["held"]


def test_of_a_queue_only_the_one_at_its_end_is_ended(kit):
    kit.buy(1)
    order = kit.claim_one()
    limit(kit, *DESK, idle_in_the_way="0 s", in_the_way="0 s")
    first = left_open(kit, "desk", "select record_cash('demo', 'deposit', 1, 'left open')")
    desk, executor = kit.connect("desk"), kit.connect("execution")
    second = kit.background(desk, "select record_cash('demo', 'deposit', 2, 'waits')")
    kit.wait_for_lock(desk)
    filled = kit.pool.submit(kit.fill, order, 1, 70_000, by=executor)
    wait_250_ms(kit, executor)

    watch(kit)

    assert filled.result(20) == "RECORDED"
    assert len(second.result(20)) == 1
    assert is_ended(kit, first)


def test_a_stop_that_is_skipped_is_named_and_its_holder_ended(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    holder = left_open(kit, "desk", "select create_intent('demo', '005930', 'SELL', 5, null, 'x', 'momo')")
    kit.quote(50_000, 50_100)
    assert kit.call("exits", "select fire_exits()") == 0
    limit(kit, *DESK, idle_in_the_way="1 h")
    kit.wait_until("select min(xact_start) < clock_timestamp() - interval '300 ms' from pg_stat_activity"
                   " where usename = 'aegis_desk'")  # fmt: skip
    watch(kit)
    incident = open_incident(kit, "skipped_work")
    assert incident.subject == "exit of position 1/1/momo waits for aegis_desk"
    assert incident.detail["holder"]["pid"] == holder.pid

    limit(kit, *DESK, idle_in_the_way="0 s")
    watch(kit)

    assert is_ended(kit, holder)
    assert kit.call("exits", "select fire_exits()") == 1


@pytest.mark.parametrize("held", ["claim", "cancel"])
def test_work_whose_row_is_skipped_is_named(kit, held):
    intent_id = kit.buy(1)
    if held == "cancel":
        order = kit.claim_one()
        kit.accept(order)
        kit.call("desk", "select cancel_intent(%s, 'test')", intent_id)
    holder = left_open(
        kit,
        "superuser",
        f"select 1 from trade.{'orders' if held == 'cancel' else 'order_intents'} for update",
    )
    holder.execute("select pg_current_xact_id()")
    kit.wait_until("select min(xact_start) < clock_timestamp() - interval '300 ms' from pg_stat_activity"
                   " where pid = %s", holder.pid)  # fmt: skip

    watch(kit)

    assert open_incident(kit, "skipped_work").subject.startswith(held)


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


# -- a change of mode --------------------------------------------------------------------------------------

IN_THE_WAY = {
    "the row of the mode": "select 1 from risk.system_mode for update",
    "the row of a scoped mode": "select 1 from risk.scoped_modes for update",
    "the gate, shared": "lock table risk.gate in share mode",
    "the gate, for itself": "lock table risk.gate in access exclusive mode",
    "the history of modes": "lock table risk.mode_history in share mode",
    "the events": "lock table bus.events in access exclusive mode",
    "a partition": "lock table bus.events_from_0 in share row exclusive mode",
    "another halt": "select halt('left open')",
}


@pytest.mark.parametrize("what", IN_THE_WAY)
def test_a_halt_ends_whoever_holds_what_it_needs(kit, what):
    kit.db.execute(
        "grant usage on schema risk, bus to aegis_desk;"
        "grant all on all tables in schema risk, bus to aegis_desk;"
        "insert into risk.scoped_modes (scope, name, mode, reason) values ('account', 'demo', 'NORMAL', 'x')"
    )
    holder = left_open(kit, "desk", IN_THE_WAY[what])
    began = dt.datetime.now(dt.UTC)

    if what == "the row of a scoped mode":
        kit.call(kit.db, "select risk.change_mode('account', 'demo', 'HALT', 'test', '{}')")
    else:
        kit.call("desk", "select halt('test')")

    assert dt.datetime.now(dt.UTC) - began < dt.timedelta(seconds=1)
    assert is_ended(kit, holder)
    (event,) = kit.events("session")
    assert event.entity_id == holder.pid


def test_a_halt_passes_a_queue_for_the_events(kit):
    """A superuser waits to alter bus.events: all others queue behind that session, and it cannot be ended."""
    kit.add_strategy()
    holder = left_open(kit, "aegis_s_momo", "select log_error(null, 'XX000', 'left open', '{}')")
    admin = kit.connect("superuser")
    waiting = kit.background(admin, "alter table bus.events alter column cause set default ''")
    kit.wait_for_lock(admin)

    kit.call("desk", "select halt('test')")

    assert is_ended(kit, holder)
    with pytest.raises(psycopg.ProgrammingError):  # the ALTER succeeded: it has no rows to fetch
        waiting.result(20)


def test_two_halts_at_once_both_succeed(kit):
    kit.db.execute("grant usage on schema risk to aegis_desk; grant all on risk.system_mode to aegis_desk")
    left_open(kit, "desk", "select 1 from risk.system_mode for update")
    desks = [kit.connect("desk") for _ in range(2)]

    halts = [kit.background(desk, "select halt('at once')") for desk in desks]

    assert [len(halt.result(20)) for halt in halts] == [1, 1]


def test_who_cannot_be_ended_is_named_by_the_halt(kit):
    kit.db.execute("alter function risk.change_mode(text, text, text, text, jsonb) set lock_timeout = '10ms'")
    holder = left_open(kit, "superuser", "select 1 from risk.system_mode for update")

    with pytest.raises(NotAllowed, match=f"session {holder.pid} of .*, idle in transaction since"):
        kit.call("desk", "select halt('test')")


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


# -- jobs and sweeps ---------------------------------------------------------------------------------------


def run_jobs(kit):
    kit.at("risk").execute("select set_config('aegis.now', %s, false)", [kit.now.isoformat()])
    kit.db.execute("update bus.jobs set next_run_at = %s", [kit.now])
    while kit.call("risk", "select run_due_jobs()"):
        pass
    return {row.job: row.misses for row in kit.rows(kit.db, "select job, misses from bus.jobs")}


def test_a_job_that_gets_no_lock_is_missed_and_reported_when_that_lasts(kit):
    holder = left_open(kit, "superuser", "lock table bus.seals in share mode")

    assert run_jobs(kit) == {"seal_events": 1, "measure_equity": 0, "make_partitions": 0}
    assert open_incident(kit, "job_missed") is None
    kit.advance(seconds=11)
    assert run_jobs(kit)["seal_events"] == 2
    assert open_incident(kit, "job_missed").subject == "seal_events"

    holder.execute("rollback")
    assert run_jobs(kit)["seal_events"] == 0
    assert open_incident(kit, "job_missed") is None


def test_a_job_that_fails_is_reported_at_once_and_stops_no_other(kit):
    kit.db.execute("create table bus.events_from_10000000 ()")

    misses = run_jobs(kit)

    assert misses == {"seal_events": 0, "measure_equity": 0, "make_partitions": 1}
    assert open_incident(kit, "job_missed").detail["why"].startswith("42P07")


def test_a_partition_is_made_while_events_are_being_written(kit):
    writer = left_open(kit, "router", "select log_error(null, 'XX000', 'left open', '{}')")

    assert kit.call(kit.db, "select api.make_partitions()") == 2

    writer.execute("commit")


@pytest.mark.parametrize("what", ["balances", "positions"])
def test_what_is_held_of_one_account_stops_no_sweep_of_another(kit, what):
    kit.add_account("second")
    kit.open_account("second")
    kit.hold(5)
    kit.sell(5, ttl="1 s")
    other = kit.buy(1, account="second", ttl="1 s")
    left_open(kit, "superuser", f"select 1 from trade.{what} where account_id = 1 for update")
    kit.advance(seconds=2)
    kit.at("risk").execute("select set_config('aegis.now', %s, false)", [kit.now.isoformat()])

    assert kit.call("risk", "select expire_due()") == 1

    assert kit.intent_row(other).status == "EXPIRED"


def test_a_held_account_stops_no_pick_of_another(kit):
    strategy = kit.add_strategy()
    kit.add_account("second")
    kit.open_account("second")
    kit.call(
        "desk",
        "select add_strategy('other', 'x:Y', 'second', %s::text[], 50000000, 5000000, 'swing')",
        [SYMBOL],
    )
    kit.call("desk", "select start_strategy('other')")
    for conn in (strategy, kit.connect("aegis_s_other")):
        kit.call(conn, "select propose(%s, 'BUY')", SYMBOL)
    left_open(kit, "superuser", "select 1 from trade.balances where account_id = 1 for update")

    assert kit.call("router", "select route_picks(10)") == 1

    statuses = kit.rows(kit.db, "select strategy, status from strategy.picks order by 1")
    assert [tuple(row) for row in statuses] == [("momo", "NEW"), ("other", "ROUTED")]
