"""Outages are recorded once writes work again, and a worker without heartbeats is not alive."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.sql.laws.market_kit import LOGINS, OTHER, SYMBOL
from workers.runtime.errors import BadInput, NotAllowed

RECORD = "select record_outage(%s, %s, %s, %s, %s)"
LATE = "select record_late_exits(%s, 'sim', %s::text[], %s::timestamptz[], %s::numeric[])"
INCIDENT = "select * from incidents where kind = 'outage'"
WORKER = "select * from workers where worker_id = %s"
HEALTH = "select subject, problem from health order by subject"
BEAT = "select heartbeat(%s, 'running', '{\"drains\": 1}')"
READ_ONLY = "the database is read-only"


def seconds(number):
    return dt.timedelta(seconds=number)


@pytest.fixture
def worker(kit):
    """Register a worker that holds its lock and sends a heartbeat: `worker("exits")` returns its id."""

    def register(station):
        number = kit.call(
            station, "select register_worker(%s, 1, 'here')", LOGINS[station].removeprefix("aegis_w_")
        )
        kit.call(station, "select hold_worker_lock(%s)", number)
        kit.call(station, BEAT, number)
        return number

    return register


def report(kit, station, number, ago, lasted, reason=READ_ONLY):
    return kit.call(station, RECORD, number, seconds(ago), seconds(lasted), 20, reason)


# -- outages -----------------------------------------------------------------------------------------------


def test_reports_of_one_time_are_one_incident(kit, worker):
    exits, risk = worker("exits"), worker("risk")

    first = report(kit, "exits", exits, 44, 43)
    second = report(kit, "risk", risk, 46, 44)

    (incident,) = kit.rows("desk", INCIDENT)
    assert first == second
    assert [told["worker"] for told in incident.detail["workers"]] == ["risk", "exits"]
    assert incident.detail["message"] == (
        "exits, risk could not write for 45.0 s until 00:59:59 UTC: the database is read-only"
    )
    assert incident.closed_at is None


def test_a_report_that_is_made_again_counts_once(kit, worker):
    exits = worker("exits")

    report(kit, "exits", exits, 44, 43)
    kit.advance(seconds=0.5)
    report(kit, "exits", exits, 44.5, 44.5)

    (incident,) = kit.rows("desk", INCIDENT)
    assert len(incident.detail["workers"]) == 1


def test_what_comes_again_within_minutes_is_the_same_incident_and_only_its_own_time_counts(kit, worker):
    exits = worker("exits")
    report(kit, "exits", exits, 10, 10)

    kit.advance(minutes=5)
    report(kit, "exits", exits, 5, 5)

    (incident,) = kit.rows("desk", INCIDENT)
    assert "could not write for 15.0 s until 01:05:00 UTC" in incident.detail["message"]


def test_an_outage_of_another_day_is_another_incident(kit, worker):
    exits = worker("exits")
    report(kit, "exits", exits, 44, 43)

    kit.advance(hours=3)
    report(kit, "exits", exits, 20, 20)

    assert len(kit.rows("desk", INCIDENT)) == 2


def test_reports_that_come_together_wait_for_each_other(kit, worker):
    exits, risk = worker("exits"), worker("risk")
    second = kit.connect("risk")
    with kit.at("exits").transaction():
        report(kit, "exits", exits, 44, 44)
        late = kit.background(second, RECORD, risk, seconds(44), seconds(44), 1, READ_ONLY)
        kit.wait_for_lock(second)

    late.result(20)
    assert len(kit.rows("desk", INCIDENT)) == 1


def test_an_exit_that_fired_late_is_named_with_how_late(kit, worker):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    feed = worker("feed")
    kit.advance(seconds=60)
    outage = report(kit, "feed", feed, 46, 46)
    bids = [70_000, 60_000, 61_000, 70_000]
    times = [kit.now - seconds(ago) for ago in (50, 46, 40, 30)]

    count = kit.call("feed", LATE, outage, [SYMBOL, SYMBOL, SYMBOL, OTHER], times, bids)
    kit.quote(60_000, 60_100)
    assert kit.call("exits", "select fire_exits()") == 1
    kit.call("risk", "select watch_workers()")

    (incident,) = kit.rows("desk", INCIDENT)
    (late,) = incident.detail["late_exits"]
    assert count == 1
    assert (late["symbol"], late["owner"], late["reason"], late["price"]) == (
        SYMBOL,
        "momo",
        "STOP_LOSS",
        60_000,
    )
    assert late["late_s"] == pytest.approx(46)
    assert incident.detail["message"].endswith("; 1 exits fired late, by up to 46.000 s")


def test_a_recording_s_times_of_another_day_say_nothing(kit, worker):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    outage = report(kit, "feed", worker("feed"), 46, 46)

    assert kit.call("feed", LATE, outage, [SYMBOL], [kit.now - dt.timedelta(days=90)], [60_000]) == 0


@pytest.mark.parametrize(
    ("ago", "lasted", "failures", "reason"),
    [
        (None, "1 s", 1, "x"),
        ("1 s", None, 1, "x"),
        ("-1 s", "1 s", 1, "x"),
        ("1 s", "1 s", None, "x"),
        ("1 s", "1 s", 1, None),
        ("1 s", "1 s", 1, "x" * 10_001),
    ],
)
def test_an_outage_without_a_time_or_a_reason_is_refused(kit, worker, ago, lasted, failures, reason):
    exits = worker("exits")

    with pytest.raises(BadInput):
        kit.call(
            "exits",
            "select record_outage(%s, %s::interval, %s::interval, %s, %s)",
            exits,
            ago,
            lasted,
            failures,
            reason,
        )


def test_an_outage_never_lies_in_the_future_nor_before_the_last_month(kit, worker):
    exits = worker("exits")

    kit.call("exits", "select record_outage(%s, '900 years', '1000 years', 1, 'x')", exits)

    (incident,) = kit.rows("desk", INCIDENT)
    assert dt.datetime.fromisoformat(incident.detail["from"]) == kit.now - dt.timedelta(days=30)
    assert dt.datetime.fromisoformat(incident.detail["until"]) == kit.now


def test_nobody_reports_for_another_worker(kit, worker):
    exits = worker("exits")

    with pytest.raises(NotAllowed):
        report(kit, "risk", exits, 10, 10)


# -- heartbeats --------------------------------------------------------------------------------------------


def test_after_three_missed_heartbeats_a_worker_is_not_alive_whatever_it_holds(kit, worker):
    exits = worker("exits")
    kit.advance(seconds=7)
    assert kit.look(f"select is_alive, is_hung from api.workers where worker_id = {exits}") == (True, False)

    kit.advance(seconds=2)

    assert kit.look(f"select is_alive, is_hung from api.workers where worker_id = {exits}") == (False, True)
    assert kit.look("select workers from api.status").workers == 0


def test_a_process_that_still_loads_what_it_runs_has_a_minute(kit):
    number = kit.call("exits", "select register_worker('exits', 1, 'here')")
    kit.call("exits", "select hold_worker_lock(%s)", number)

    kit.advance(seconds=50)
    assert kit.rows("desk", WORKER, number)[0].is_alive
    kit.advance(seconds=11)

    assert kit.rows("desk", WORKER, number)[0].is_hung


def test_a_heartbeat_from_before_the_clock_was_set_back_proves_nothing(kit, worker):
    exits = worker("exits")

    kit.advance(hours=-1)

    assert not kit.rows("desk", WORKER, exits)[0].is_alive


def test_a_hung_worker_is_one_incident(kit, worker):
    worker("exits")
    kit.advance(seconds=9)

    assert kit.call("risk", "select watch_workers()") == 1
    assert kit.call("risk", "select watch_workers()") == 0

    incident = kit.look("select * from api.incidents where kind = 'hung_worker'")
    assert incident.subject == "exits"
    assert "has sent no heartbeat since 01:00:00 UTC" in incident.detail["message"]


def test_who_had_to_wait_for_the_heartbeats_accuses_nobody(kit, login):
    """The lock on bus.workers also delays heartbeats; they are written as soon as it is released."""
    exits, risk = login("aegis_w_exits"), login("aegis_w_risk")  # both on the real clock
    (number,) = exits.execute("select register_worker('exits', 1, 'here')").fetchone()
    exits.execute("select hold_worker_lock(%s)", [number])
    exits.execute(BEAT, [number])
    with kit.connect("superuser").transaction() as lock:
        lock.connection.execute("lock table bus.workers in access exclusive mode")
        lock.connection.execute("update bus.workers set heartbeat_at = heartbeat_at - interval '9 s'")
        late = kit.background(risk, "select watch_workers()")
        kit.wait_for_lock(risk)
        lock.connection.execute("select pg_sleep(1.05)")

    assert late.result(20) == [(0,)]
    assert risk.execute("select watch_workers()").fetchone() == (1,)


def test_an_order_of_a_hung_worker_is_asked_about_by_its_time_alone(kit):
    """A held worker lock means the process may resume, so its order waits until its answer is overdue."""
    kit.buy(1)
    order = kit.claim_one()
    hung = kit.look("select claimed_by from trade.orders").claimed_by
    kit.db.execute("update bus.workers set heartbeat_at = heartbeat_at - interval '1 h'")
    other = kit.connect("execution")
    number = kit.register(other)

    kit.advance(seconds=2)
    assert kit.rows(other, "select * from claim_doubts(%s, 10)", number) == []
    kit.advance(minutes=1)

    (found,) = kit.rows(other, "select * from claim_doubts(%s, 10)", number)
    assert (found.order_id, hung != number) == (order.order_id, True)


# -- what health reports -----------------------------------------------------------------------------------


def test_health_is_silent_when_all_that_should_run_does(kit, worker):
    worker("exits")

    assert kit.rows("desk", HEALTH) == []


def test_health_names_the_hung_and_the_dead(kit, worker):
    worker("exits"), worker("router")
    risk = worker("risk")
    kit.advance(seconds=9)
    kit.at("router").close()
    kit.wait_until("select not bus.worker_is_alive(worker_id) from bus.workers where name = 'router'")

    kit.quote(70_000, 70_100)
    kit.call("risk", BEAT, risk)

    assert kit.rows("desk", HEALTH) == [
        ("exits", "hangs: no heartbeat (pid 1 on here)"),
        ("router", "ended without stopping properly (pid 1 on here)"),
    ]


def test_health_says_when_nothing_at_all_is_written(kit, worker):
    worker("exits"), worker("risk")

    kit.advance(seconds=30)

    rows = kit.rows("desk", "select state, subject, problem, since from health")
    assert ("fail", "database", "nothing was written", kit.now - seconds(30)) in rows
    assert ("fail", "feed sim", "is connected but sends nothing", kit.now - seconds(30)) in rows
    assert len(rows) == 2, "the cause once, not ten times"


def test_health_names_a_setting_that_forbids_writing(kit, db):
    db.execute(f"alter database {db.info.dbname} set default_transaction_read_only = on")

    (row,) = kit.rows("desk", HEALTH)

    assert row == (
        "database",
        "takes no writes: default_transaction_read_only is on for this database",
    )


def test_health_says_what_a_worker_says_of_itself(kit, worker):
    exits = worker("exits")
    said = '{"trouble": {"seconds": 12.5, "failures": 3, "reason": "a lock could not be acquired"}}'
    kit.call("exits", "select heartbeat(%s, 'running', %s)", exits, said)

    (row,) = kit.rows("desk", "select * from health")

    assert (row.subject, row.problem) == ("exits", "cannot work: a lock could not be acquired")
    assert row.since == kit.now - seconds(12.5)


def test_a_strategy_that_waits_says_why_until_it_does_not(kit, worker):
    worker("risk")
    kit.add_strategy("momo")
    kit.add_strategy("other")

    kit.call("risk", "select report_waiting('{momo,nobody}', '{the processor is 97%% busy,x}')")

    assert kit.rows("desk", HEALTH) == [("strategy momo", "waits to start: the processor is 97% busy")]
    waits = "select strategy, waits_for from strategies order by 1"
    assert kit.rows("desk", waits) == [("momo", "the processor is 97% busy"), ("other", None)]
    kit.call("risk", "select report_waiting('{}', '{}')")
    assert kit.rows("desk", HEALTH) == []


# -- migrations --------------------------------------------------------------------------------------------


MIGRATOR = "select pg_advisory_lock(11428176)"  # the lock that cli/database/migrate.py holds


def test_the_lock_of_a_migration_is_seen_by_the_weakest_login(kit):
    strategy = kit.add_strategy()
    with kit.connect("superuser") as migrator:
        migrator.execute(MIGRATOR)
        assert kit.call(strategy, "select migration_is_running()")


def test_the_lock_of_a_login_that_may_not_deploy_is_no_migration(kit):
    kit.db.execute("grant execute on function pg_advisory_lock(bigint) to aegis_w_router")
    kit.call("router", MIGRATOR)

    assert not kit.call("risk", "select migration_is_running()")
