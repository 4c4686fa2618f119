"""Health names what does not run, what waits, and a migration under way."""

from tests.sql.laws.watch.watch_kit import BEAT, HEALTH, seconds

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
