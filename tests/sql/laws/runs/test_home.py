"""L6: work is handed out only where the run began."""

import pytest

from tests.sql.laws.market_kit import refusal
from tests.sql.laws.runs.runs_kit import begin, instance

WORKERS_CALLS = {
    "claim_intents": ("execution", "select order_id from claim_intents({worker}, 10)"),
    "claim_cancels": ("execution", "select order_id from claim_cancels({worker}, 10)"),
    "claim_doubts": ("execution", "select order_id from claim_doubts({worker}, 10)"),
    "claim_checks": ("execution", "select order_id from claim_checks({worker}, 10)"),
    "claim_amends": ("execution", "select order_id from claim_amends({worker}, 10)"),
    "fire_exits": ("exits", "select fire_exits()"),
    "route_picks": ("router", "select route_picks(10)"),
}


# The other worker functions: they record an answer, read, end something, or act only in this database.
HANDS_OUT_NOTHING = {
    "accounts_to_execute", "accounts_to_reconcile", "advance_fills_cursor", "begin_run", "bust_fill",
    "enforce_modes", "expire_due", "heartbeat", "hold_worker_lock", "holdings_fingerprint", "log_error",
    "next_due",
    "order_accepted", "order_cancelled", "order_not_found", "order_rejected", "order_unknown",
    "orders_waiting", "paper_cancel", "paper_fills_since", "paper_match", "paper_order", "paper_place",
    "paper_replace", "paper_snapshot", "raise_incident", "reconcile", "record_cumulative", "record_fill",
    "register_worker", "run_due_jobs", "run_marker", "stop_worker", "unsend", "work_waiting",
    "evaluate_triggers", "migration_is_running", "record_outage", "report_overdue", "report_waiting",
    "watch_sessions", "watch_workers",
}  # fmt: skip


def hand_out(kit, name):
    station, query = WORKERS_CALLS[name]
    return kit.rows(station, query.format(worker=kit.worker()))


def test_every_call_of_a_worker_is_known_to_hand_out_work_or_not(kit):
    """List each new worker function above; one that hands out work must check where it runs."""
    granted = kit.rows(
        kit.db,
        "select distinct p.proname as name from pg_proc as p, aclexplode(p.proacl) as a"
        " where p.pronamespace = 'api'::regnamespace and a.grantee = any(array["
        "'aegis_engine'::regrole, 'aegis_executor'::regrole, 'aegis_supervisor'::regrole])",
    )

    assert {row.name for row in granted} == HANDS_OUT_NOTHING | set(WORKERS_CALLS)


@pytest.mark.parametrize("where", ["a copy", "a restored dump", "never started"])
def test_elsewhere_nothing_is_handed_out(kit, where):
    kit.buy(1)
    kit.worker()
    kit.db.execute(
        {
            "a copy": "update bus.instance"
            " set identity = replace(identity, '/', '/9'), home_path = 'base/1/2'",
            "a restored dump": "update bus.instance set identity = '1/1/1', home_started_at = '-infinity'",
            "never started": "update bus.instance"
            " set identity = '', home_path = '', home_started_at = '-infinity', run_number = 0",
        }[where]
    )

    for name in WORKERS_CALLS:
        assert refusal(lambda n=name: hand_out(kit, n)) == "TRH01", name
    assert kit.look("select count(*) as n from trade.orders").n == 0


def test_after_a_restart_of_its_server_it_goes_on_by_itself(kit):
    """A restart changes the start time, and a table rewrite the file path; the identity stays the same."""
    kit.db.execute("update bus.instance set home_path = 'base/1/2', home_started_at = '-infinity'")

    for name in WORKERS_CALLS:
        hand_out(kit, name)


def test_the_marker_notes_a_restart_so_that_claims_need_not_read_the_identity(kit):
    kit.db.execute("update bus.instance set home_path = 'base/1/2', home_started_at = '-infinity'")

    kit.call("supervisor", "select run_marker(null)")

    assert kit.look(
        "select home_path = pg_relation_filepath('bus.instance')"
        " and home_started_at = pg_postmaster_start_time() as noted from bus.instance"
    ).noted


def test_that_a_database_was_not_started_is_an_incident_until_it_is(kit):
    report = "select log_error(%s, 'TRH01', 'not started', '{}')"
    kit.call("execution", report, kit.worker())
    assert kit.incidents() == [], "it is looked at, not believed"

    kit.db.execute("update bus.instance set identity = '1/1/1', home_started_at = '-infinity'")
    kit.call("execution", report, kit.worker())
    assert kit.incidents() == [("not_started_here", True)]

    begin(kit, None)
    assert ("not_started_here", False) in kit.incidents()


def test_only_the_supervisor_begins_a_run(kit):
    for station in ("router", "exits", "risk", "execution", "reconcile", "desk", "feed"):
        for call in ("select begin_run('')", "select begin_run()", "select run_marker('x')"):
            assert refusal(lambda s=station, c=call: kit.call(s, c)) == "42501", (station, call)

    assert not instance(kit).is_foreign
