"""L11: a lock that is held delays a job or the sweep of its own account, and nothing else."""

import pytest

from tests.sql.laws.market_kit import SYMBOL
from tests.sql.laws.sessions.sessions_kit import left_open, open_incident


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
