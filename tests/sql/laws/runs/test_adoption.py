"""A restored backup or a copy does not trade by itself: it is detected, halted, and adopted by a person."""

import pytest

from tests.sql.laws.market_kit import refusal

CODE = "tulip-4711"
END_OF_LOG = "FFFFFFFF/FFFFFFFF"


@pytest.fixture(autouse=True)
def code(kit):
    kit.call("desk", "select set_override_code(%s)", CODE)


def begin(kit, marker):
    """Begin a run with this marker; return the marker to keep and why the database is foreign, if it is."""
    return kit.rows("supervisor", "select * from begin_run(%s)", marker)[0]


def instance(kit):
    return kit.look("select * from bus.instance")


def adopt(kit, code=CODE):
    return kit.rows("desk", "select * from adopt('because', %s)", code)[0]


def make_foreign(kit):
    assert begin(kit, "").foreign_because


def mode(kit):
    return kit.look("select * from risk.system_mode")


def test_with_the_marker_it_gave_a_database_goes_on(kit):
    first = kit.call("supervisor", "select run_marker(null)")

    second = begin(kit, first)
    third = begin(kit, second.marker)

    assert (second.foreign_because, third.foreign_because) == (None, None)
    assert third.run_number == second.run_number + 1
    assert mode(kit).mode == "NORMAL"


def test_a_database_that_never_ran_needs_no_marker(kit):
    kit.db.execute("update bus.instance set run_number = 0")

    assert begin(kit, "").foreign_because is None


@pytest.mark.parametrize(
    ("marker", "why"),
    [
        ("", "the marker outside the database is missing"),
        ("nonsense", "the marker outside the database cannot be read"),
        ("x:1", "the marker outside the database cannot be read"),
        ("x:1:0/0:", "the marker outside the database cannot be read"),
        ("x:" + "9" * 30 + ":0/0", "the marker outside the database cannot be read"),
        ("other:1:0/0", "the marker speaks of epoch other"),
        ("{epoch}:99:0/0", "the marker has seen run 99, this database only 1"),
        ("{epoch}:1:" + END_OF_LOG, "the marker has seen its log up to " + END_OF_LOG),
    ],
)
def test_whatever_the_marker_contradicts_is_foreign(kit, marker, why):
    before = instance(kit)

    run = begin(kit, marker.format(epoch=before.epoch))

    after = instance(kit)
    assert run.foreign_because.startswith(why)
    assert after.is_foreign
    assert after.generation == before.generation + 1
    assert after.epoch != before.epoch
    assert (mode(kit).mode, mode(kit).reason) == (
        "HALT",
        f"restored or copied database: {run.foreign_because}",
    )
    assert kit.incidents() == [("foreign_database", True)]
    assert run.marker.startswith(f"{after.epoch}:{after.run_number}:")


@pytest.mark.parametrize("changed", ["1/1/1", "", "{}9", "9{}"])
def test_another_server_timeline_or_database_is_foreign_with_the_right_marker_too(kit, changed):
    marker = kit.call("supervisor", "select run_marker(null)")
    kit.db.execute("update bus.instance set identity = %s", [changed.format(instance(kit).identity)])

    assert begin(kit, marker).foreign_because.startswith("it was on server")


def test_it_stays_foreign_over_starts_under_one_new_epoch(kit):
    make_foreign(kit)
    epoch = instance(kit).epoch

    run = begin(kit, kit.call("supervisor", "select run_marker(null)"))

    assert run.foreign_because == "it was not adopted yet"
    assert instance(kit).epoch == epoch


def test_a_database_that_was_exchanged_under_a_run_ends_it(kit):
    kept = kit.call("supervisor", "select run_marker(null)")
    assert kit.call("supervisor", "select run_marker(%s)", kept)
    kit.db.execute("update bus.instance set run_number = 0, identity = 'older/1/1'")
    kit.db.execute("update bus.instance set run_number = 1")

    assert refusal(lambda: kit.call("supervisor", "select run_marker(%s)", kept)) == "TRI04"


def test_only_a_person_with_the_code_adopts(kit):
    make_foreign(kit)

    assert refusal(lambda: kit.call("router", "select adopt('why', %s)", CODE)) == "42501"
    wrong = [adopt(kit, "wrong") for _ in range(2)]
    assert [answer.adopted for answer in wrong] == [False, False]
    assert len({answer.message for answer in wrong}) == 2, "each try is remembered"
    resumed = kit.rows("desk", "select * from resume('why', %s)", CODE)[0]
    assert (resumed.resumed, instance(kit).is_foreign) == (False, True)

    assert adopt(kit).adopted
    assert mode(kit).mode == "HALT", "adopting is not resuming"
    assert kit.rows("desk", "select * from resume('why', %s)", CODE)[0].resumed
    assert not adopt(kit).adopted, "once is enough"
    assert kit.incidents() == [("foreign_database", False)]


def test_nothing_is_sent_before_the_adoption_not_even_what_was_approved(kit):
    kit.hold(10)
    resting = kit.live_order("BUY", 1, 60_000)
    kit.call("desk", "select halt('why')")
    sell = kit.sell(5)
    kit.call("desk", "select approve(%s, 'get out')", sell)
    make_foreign(kit)
    kit.open_account()
    kit.call("risk", "select enforce_modes()")
    cancels = "select * from claim_cancels(%s, 10)"
    amends = "select * from claim_amends(%s, 10)"
    kit.db.execute("update trade.orders set amend_at = bus.clock(), amend_price = 60000")

    assert kit.order(resting.order_id).cancel_requested_at is not None
    assert kit.claim() == []
    assert kit.rows("execution", cancels, kit.worker()) == []
    assert kit.rows("execution", amends, kit.worker()) == []


def test_what_waited_expires_and_what_was_sent_is_asked_about(kit):
    kit.hold(10)
    resting = kit.live_order("BUY", 1, 60_000)
    kit.buy(2, 60_000)
    sending = kit.claim_one()
    waiting = kit.buy(3, 60_000)
    make_foreign(kit)

    assert adopt(kit).message.startswith("adopted: 1 intents expired, 2 orders in doubt")

    assert kit.intent_row(waiting).status == "EXPIRED"
    for order in (resting, sending):
        row = kit.order(order.order_id)
        assert (row.status, row.fence) == ("IN_DOUBT", order.fence + 1)
    asked = kit.rows("execution", "select * from claim_doubts(%s, 10)", kit.worker())
    assert {order.order_id for order in asked} == {resting.order_id, sending.order_id}
    assert kit.audit() == []


@pytest.mark.parametrize("answer", ["rejected", "not found"])
def test_what_was_sent_before_an_adoption_is_never_tried_again(kit, answer):
    """A second attempt may already have been filled in the history that was lost."""
    kit.intent("BUY", 1, 60_000, ttl="1 hour")
    order = kit.claim_one()
    make_foreign(kit)
    adopt(kit)
    kit.call("desk", "select resume('why', %s)", CODE)
    kit.advance(seconds=60)

    for _ in range(9):
        for asked in kit.rows("execution", "select * from claim_doubts(%s, 10)", kit.worker()):
            if answer == "rejected":
                reject = "select order_rejected(%s, %s, 'BUSY', 'later', true)"
                kit.call("execution", reject, asked.order_id, asked.fence)
            else:
                kit.call("execution", "select order_not_found(%s, %s)", asked.order_id, asked.fence)
        kit.advance(seconds=10)
    kit.open_account()

    assert kit.order(order.order_id).closed_at is not None
    assert kit.claim() == []
    assert kit.audit() == []


def test_a_refused_order_of_the_present_epoch_is_tried_again(kit):
    """Control for the test above: without an adoption, such an order is tried again."""
    kit.intent("BUY", 1, 60_000, ttl="1 hour")
    order = kit.claim_one()
    reject = "select order_rejected(%s, %s, 'BUSY', 'later', true)"
    kit.call("execution", reject, order.order_id, order.fence)
    kit.advance(seconds=2)

    (again,) = kit.claim()

    assert again.client_order_id != order.client_order_id


def test_after_an_adoption_orders_have_numbers_no_broker_has_heard(kit):
    before = instance(kit).epoch
    make_foreign(kit)
    adopt(kit)
    kit.call("desk", "select resume('why', %s)", CODE)
    kit.open_account()
    kit.buy(1)

    order = kit.claim_one()

    assert not order.client_order_id.startswith(before)
    assert order.client_order_id.startswith(instance(kit).epoch)


def test_the_audit_forgives_the_broker_only_what_it_heard_in_a_lost_history(kit):
    lost = instance(kit).epoch
    heard = """
        insert into paper.orders
            (client_order_id, account, instrument_id, side, order_type, quantity, limit_price)
        values (%s, 'demo', 1, 'BUY', 'LIMIT', 1, 1)
    """
    kit.db.execute(heard, [f"{lost}-7-1"])
    kit.advance(hours=-1)  # the audit goes by order numbers, not times: the clock may have been set back
    make_foreign(kit)
    assert kit.audit() == []

    kit.db.execute(heard, [f"{lost}-8-1"])
    kit.db.execute(heard, [f"{instance(kit).epoch}-9-1"])

    assert [(row.law, row.violation.split()[5]) for row in kit.audit()] == [
        ("L6", f"{lost}-8-1,"),
        ("L6", f"{instance(kit).epoch}-9-1,"),
    ]


def restored(kit, *, sealed):
    """Make all history look as if written on a server whose transaction ids were a million higher."""
    with kit.triggers_off() as db:
        db.execute("update bus.events set xid = (xid::text::bigint + 1000000)::text::xid8")
        if sealed:
            db.execute("update bus.instance set generation = 2")
            db.execute("select api.seal_events(100000)")
    kit.db.execute(
        "update bus.instance set generation = 1, identity = 'elsewhere', home_started_at = '-infinity'"
    )


@pytest.mark.parametrize("sealed", [True, False])
def test_in_a_server_with_lower_transaction_numbers_the_history_keeps_its_order(kit, sealed):
    """Readers and seals sort by transaction, but events of this server must follow the restored ones.

    This includes events written before the first start, and a reader that was ahead of the seals.
    """
    kit.call("desk", "select halt('in the old server')")
    restored(kit, sealed=sealed)
    last = kit.look("select max(event_id) as id from bus.events").id
    kit.rows("desk", "select * from read_events('test', 1)")
    kit.db.execute(
        "update bus.consumers set (generation, xid, event_id) ="
        " (select generation, xid, event_id from bus.events where event_id = %s)",
        [last],
    )

    kit.call("desk", "select halt('before the first start')")
    make_foreign(kit)
    kit.call("desk", "select halt('after it')")
    kit.db.execute("select api.seal_events(100000)")

    told = kit.rows("desk", "select * from read_events('test', 100)")
    assert [event.data["reason"].split(":")[0] for event in told if event.entity == "mode"] == [
        "before the first start",
        "restored or copied database",
        "after it",
    ]
    assert kit.rows("desk", "select * from verify_seals()") == []
    assert kit.look("select count(*) = max(seal_no) as all_of_them from bus.seals").all_of_them


def test_what_was_not_yet_read_in_the_old_server_is_not_passed_over(kit):
    """Unread events have transaction ids ahead of this server's, so they wait for the next generation."""
    kit.call("desk", "select halt('in the old server')")
    restored(kit, sealed=False)
    kit.call("desk", "select halt('before the first start')")

    assert [event.entity for event in kit.rows("desk", "select * from read_events('test', 100)")] == []
    make_foreign(kit)
    told = kit.rows("desk", "select * from read_events('test', 1000)")

    reasons = [event.data["reason"].split(":")[0] for event in told if event.entity == "mode"]
    assert reasons[-3:] == ["in the old server", "before the first start", "restored or copied database"]


# -- work is handed out only where the run began -----------------------------------------------------------

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
    "enforce_modes", "expire_due", "heartbeat", "hold_worker_lock", "holdings_mark", "log_error", "next_due",
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
