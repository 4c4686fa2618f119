"""L1: once a halt has committed, nothing it forbids commits; only the code leaves HALT."""

import datetime as dt

import psycopg
import pytest

from tests.sql.laws.market_kit import CASH, INTENT, OTHER, SELL_ROW, SYMBOL, Kit, refusal, refuses_truncate
from workers.runtime.errors import ApprovalNeeded, IllegalMove, NotAllowed, TradingHalted, WrongIsolation

BUY = (INTENT, "demo", SYMBOL, "BUY", 1, 70_000, "test", "manual", "MANUAL", None, "1 min")


def halt(kit, conn="desk", reason="test"):
    return kit.call(conn, "select halt(%s)", reason)


def mode(kit):
    return kit.call("desk", "select mode from system_mode")


def resume(kit, code, reason="again"):
    return kit.rows("desk", "select * from resume(%s, %s)", reason, code)[0]


def intents(kit):
    return kit.call(kit.db, "select count(*) from trade.order_intents")


@pytest.fixture
def patient_halt(db):
    """Let a halt wait 20 s for the gate before it ends sessions, for tests about who waits for whom."""
    db.execute("alter function risk.lock_gate_exclusive() set lock_timeout = '20s'")


# -- nothing gets past a halt ------------------------------------------------------------------------------


@pytest.mark.parametrize("writer", ["superuser", "owner"])
@pytest.mark.parametrize("mode", ["HALT", "SAFE"])
def test_a_buy_written_by_hand_is_refused_when_buying_is_forbidden(kit, writer, mode):
    kit.db.execute("update risk.system_mode set mode = %s, reason = 'test'", [mode])

    assert refusal(lambda: kit.insert_intent(kit.connect(writer))) == "TRM01"


def copy_in(kit, columns):
    with kit.db.cursor() as cursor:
        rows = cursor.execute(f"select {columns} from copies").fetchall()
        with cursor.copy(f"copy trade.order_intents ({columns}) from stdin") as copy:
            for row in rows:
                copy.write_row([psycopg.types.json.Json(v) if isinstance(v, dict) else v for v in row])


def test_a_buy_copied_in_is_refused_while_halted(kit):
    kit.insert_intent()
    kit.db.execute("create temp table copies as select * from trade.order_intents")
    kit.db.execute("update copies set idempotency_key = 'a copy'")
    columns = "account_id, instrument_id, owner, intent_type, side, reason, quantity, worst_price, status"
    columns += ", reserved_qty, reserved_cash, idempotency_key, request, expires_at"
    halt(kit)

    assert refusal(lambda: copy_in(kit, columns)) == "TRM01"
    assert intents(kit) == 1


def test_a_buy_at_the_desk_is_refused_while_halted(kit):
    halt(kit)

    with pytest.raises(TradingHalted, match="mode HALT forbids new buy"):
        kit.buy(1)


def test_a_pick_is_refused_while_halted_and_says_why(kit):
    strategy = kit.add_strategy()
    kit.call(strategy, "select propose(%s, 'BUY')", SYMBOL)
    halt(kit)

    assert kit.call("router", "select route_picks(10)") == 1

    (pick,) = kit.rows("desk", "select * from picks")
    assert (pick.status, pick.code, pick.message) == ("REFUSED", "TRM01", "mode HALT forbids it")
    assert intents(kit) == 0


@pytest.mark.parametrize("verdict_from", ["system", "broker", "account"])
def test_the_strictest_of_system_broker_and_account_counts(kit, verdict_from):
    if verdict_from == "system":
        halt(kit)
    else:
        name = {"broker": "paper", "account": "demo"}[verdict_from]
        kit.db.execute(
            "insert into risk.scoped_modes (scope, name, mode, reason) values (%s, %s, 'HALT', 'test')",
            [verdict_from, name],
        )

    with pytest.raises(TradingHalted):
        kit.buy(1)


def test_a_halted_account_does_not_stop_another(kit):
    kit.add_account("second", CASH)
    kit.db.execute(
        "insert into risk.scoped_modes (scope, name, mode, reason) values ('account', 'demo', 'HALT', 'test')"
    )

    assert kit.buy(1, account="second")


def test_a_halt_forbids_the_claim_of_what_was_waiting(kit):
    kit.buy(1)
    halt(kit)

    assert kit.claim() == []


def test_an_order_written_by_hand_is_refused_while_halted(kit):
    intent_id = kit.insert_intent()
    kit.db.execute("update trade.order_intents set status = 'CLAIMED'")
    halt(kit)

    assert refusal(lambda: kit.insert_order(intent_id)) == "TRM01"


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.parametrize("writer", ["desk", "router", "exits", "execution", "superuser"])
def test_a_snapshot_that_could_miss_a_halt_is_refused(kit, level, writer):
    calls = {
        "desk": lambda conn: kit.buy(1, by=conn),
        "router": lambda conn: kit.call(conn, "select route_picks(1)"),
        "exits": lambda conn: kit.call(conn, "select fire_exits()"),
        "execution": lambda conn: conn.execute("select claim_intents(%s, 1)", [kit.register(conn)]),
        "superuser": lambda conn: kit.insert_intent(conn),
    }
    conn = kit.connect(writer)
    conn.execute(f"set default_transaction_isolation = '{level}'")

    with pytest.raises(WrongIsolation):
        calls[writer](conn)


def test_an_approval_in_a_snapshot_that_could_miss_a_halt_is_refused(kit):
    kit.insert_intent(status="PENDING_APPROVAL")
    kit.at("desk").execute("set default_transaction_isolation = 'repeatable read'")

    with pytest.raises(WrongIsolation):
        kit.call("desk", "select approve(1, 'yes')")


# -- races -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("patient_halt")
@pytest.mark.parametrize("change", ["halt", "direct update", "of an account"])
def test_a_halt_waits_for_an_intent_in_flight(kit, change):
    buyer = kit.connect("desk")
    queries = {
        "halt": ("desk", "select halt('test')"),
        "direct update": ("superuser", "update risk.system_mode set mode = 'HALT', reason = 'x' returning 1"),
    }
    queries["of an account"] = (
        "superuser",
        "insert into risk.scoped_modes (scope, name, mode, reason) values ('account', 'demo', 'HALT', 'x')"
        " returning 1",
    )
    station, query = queries[change]
    halter = kit.connect(station)
    with buyer.transaction():
        intent_id = kit.buy(1, by=buyer)
        halted = kit.background(halter, query)
        kit.wait_for_lock(halter)
        assert mode(kit) == "NORMAL"

    halted.result(20)

    (event,) = [e for e in kit.events("mode") if e.change == "HALT"]
    assert [e.entity_id for e in kit.events("intent") if e.event_id < event.event_id] == [intent_id]
    assert [e for e in kit.events("intent") if e.event_id > event.event_id] == []


@pytest.mark.parametrize("waiter", ["intent", "order by hand", "claim", "exit", "route"])
def test_what_comes_while_a_halt_commits_waits_and_is_refused(kit, waiter):
    kit.buy(1)
    strategy = kit.add_strategy()
    kit.hold(10, owner="momo", symbol=OTHER)
    kit.call(strategy, "select propose(%s, 'BUY')", SYMBOL)
    kit.insert_intent(status="PENDING_APPROVAL")
    halter, other = kit.connect("desk"), None

    with halter.transaction():
        halt(kit, halter)
        if waiter == "intent":
            other = kit.connect("desk")
            future = kit.background(other, *BUY)
        elif waiter == "order by hand":
            other = kit.connect("superuser")
            kit.db.execute("update trade.order_intents set status = 'CLAIMED' where status = 'NEW'")
            future = kit.pool.submit(kit.insert_order, 1, other)
        elif waiter == "claim":
            other = kit.connect("execution")
            future = kit.background(other, "select * from claim_intents(%s, 10)", kit.register(other))
        elif waiter == "exit":
            kit.quote(60_000, 60_100, symbol=OTHER)
            other = kit.connect("exits")
            future = kit.background(other, "select fire_exits()")
        else:
            other = kit.connect("router")
            future = kit.background(other, "select route_picks(10)")
        kit.wait_for_lock(other)

    if waiter in ("intent", "order by hand"):
        with pytest.raises(TradingHalted):
            future.result(20)
    else:
        future.result(20)
    (halted,) = [e for e in kit.events("mode") if e.change == "HALT"]
    later = [
        (e.entity, e.change)
        for e in kit.rows(kit.db, "select * from bus.events order by 1")
        if e.event_id > halted.event_id and e.entity in ("intent", "order")
    ]
    assert later == ([("intent", "PENDING_APPROVAL")] if waiter == "exit" else [])


@pytest.mark.parametrize("holder", ["desk", "router"])
def test_a_session_that_sits_on_the_gate_is_ended_and_the_halt_returns_within_a_second(kit, holder):
    idle = kit.connect(holder)
    idle.autocommit = False
    if holder == "desk":
        kit.buy(1, by=idle)
    else:
        kit.call(idle, "select route_picks(1)")
    began = dt.datetime.now(dt.UTC)

    halt(kit)

    took = dt.datetime.now(dt.UTC) - began
    assert dt.timedelta(milliseconds=50) <= took < dt.timedelta(seconds=1)
    with pytest.raises(psycopg.OperationalError):
        idle.execute("commit")
    assert intents(kit) == 0
    assert mode(kit) == "HALT"


def test_a_superuser_that_sits_on_the_gate_is_named(kit):
    """Only a superuser may end a superuser's session, so the halt must name the session that blocks it."""
    kit.db.execute("alter function risk.lock_gate_exclusive() set lock_timeout = '10ms'")
    idle = kit.connect("superuser")
    idle.autocommit = False
    kit.insert_intent(idle)

    with pytest.raises(NotAllowed, match=f"gate.*{idle.info.backend_pid}"):
        halt(kit)

    idle.rollback()
    assert halt(kit)


def test_many_sessions_at_once_get_nothing_past_a_halt(kit):
    """Run eight proposers and two claimers in real time; event ids show what committed before the halt."""
    desks = [kit.connect("desk") for _ in range(8)]
    executors = [kit.connect("execution") for _ in range(2)]
    for conn in [*desks, *executors, kit.at("desk"), kit.at("router"), kit.at("reconcile"), kit.at("feed")]:
        conn.execute("reset aegis.now")
    kit.db.execute("reset aegis.now")
    kit.call("supervisor", "select begin_run()")
    kit.open_account()

    def propose(conn):
        while (answer := refusal(lambda: kit.call(conn, *BUY))) is None:
            pass
        return answer

    workers = [(conn, kit.register(conn)) for conn in executors]
    stop = []

    def execute(conn, worker):
        while not stop:
            conn.execute("select * from claim_intents(%s, 5)", [worker])
        return conn.execute("select count(*) from claim_intents(%s, 1000)", [worker]).fetchone()[0]

    proposals = [kit.pool.submit(propose, conn) for conn in desks]
    claims = [kit.pool.submit(execute, conn, worker) for conn, worker in workers]
    kit.wait_until("select count(*) > 100 from trade.order_intents")
    kit.wait_until("select count(*) > 20 from trade.orders")

    halt(kit)

    assert [future.result(20) for future in proposals] == ["TRM01"] * 8
    stop.append(True)
    assert [future.result(20) for future in claims] == [0, 0]
    (halted,) = [e for e in kit.events("mode") if e.change == "HALT"]
    begun = [e for e in kit.events("intent") if e.change == "NEW"]
    sent = [e for e in kit.events("order") if e.change == "SENDING"]
    assert len(begun) > 100
    assert len(sent) > 20
    assert max(e.event_id for e in begun + sent) < halted.event_id
    assert kit.audit() == []


# -- leaving HALT ------------------------------------------------------------------------------------------


def test_updating_the_view_in_psql_halts(kit):
    count = kit.at("desk").execute("update system_mode set mode = 'HALT', reason = 'from psql'").rowcount

    assert count == 1
    (row,) = kit.rows("desk", "select * from system_mode")
    assert (row.mode, row.reason, row.changed_by) == ("HALT", "from psql", "aegis_desk")
    with pytest.raises(TradingHalted):
        kit.buy(1)


UPDATE = "update system_mode set mode = %s, reason = %s"
SCOPED = """
    insert into risk.scoped_modes (scope, name, mode, reason) values ('broker', 'paper', 'SAFE', %s)
    on conflict (scope, name) do update set mode = excluded.mode, reason = excluded.reason
"""


@pytest.mark.parametrize("to_mode", ["NORMAL", "SAFE", "HALT"])
def test_the_same_mode_for_another_reason_keeps_both(kit, to_mode):
    desk = kit.connect("desk")
    for reason in ("first", "second"):
        assert desk.execute(UPDATE, [to_mode, reason]).rowcount == 1

    assert kit.call("desk", "select reason from system_mode") == "second"
    assert [h.reason for h in kit.rows("desk", "select * from mode_history order by 1")][-2:] == [
        "first",
        "second",
    ]
    assert [e.data["reason"] for e in kit.events("mode")][-2:] == ["first", "second"]


def test_the_same_mode_of_a_broker_for_another_reason_keeps_both(kit):
    for reason in ("first", "second"):
        kit.db.execute(SCOPED, [reason])

    assert [e.data["reason"] for e in kit.events("mode")] == ["first", "second"]


def test_a_halt_by_the_view_is_never_left_out(kit, patient_halt):
    """A HALT through the view is never skipped as unchanged: the row may have changed since it was read."""
    kit.set_code()
    desk = kit.connect("desk")
    desk.execute(UPDATE, ["HALT", "test"])
    resuming = kit.connect("desk")
    resuming.execute("begin")
    resuming.execute("select resume('again', '1234')")
    waiting = kit.pool.submit(lambda: desk.execute(UPDATE, ["HALT", "test"]).rowcount)
    kit.wait_for_lock(desk)

    resuming.execute("commit")

    assert waiting.result() == 1
    assert mode(kit) == "HALT"


def test_safe_does_not_weaken_a_mode_nobody_knows(kit):
    with kit.triggers_off() as db:
        db.execute("update risk.system_mode set mode = 'PANIC'")

    assert refusal(lambda: kit.call("desk", "select safe('less')")) == "TRI04"


def test_updating_the_view_leaves_halt_only_with_the_code(kit):
    kit.set_code()
    halt(kit)
    update = "update system_mode set mode = 'NORMAL', reason = 'again'"

    assert kit.at("desk").execute(update).rowcount == 0
    assert kit.at("desk").execute(f"{update}, code = '9999'").rowcount == 0
    assert mode(kit) == "HALT"
    assert kit.at("desk").execute(f"{update}, code = '1234'").rowcount == 1
    assert mode(kit) == "NORMAL"


def test_the_view_cannot_be_sent_to_an_unknown_mode(kit):
    assert (
        refusal(lambda: kit.at("desk").execute("update system_mode set mode = 'PANIC', reason = 'x'"))
        == "TRI01"
    )


def test_a_change_of_mode_needs_a_reason(kit):
    for query in ("select halt(' ')", "select halt(null)", "select safe('')"):
        assert refusal(lambda q=query: kit.at("desk").execute(q)) == "TRI01"
    assert mode(kit) == "NORMAL"


def test_without_a_code_nobody_leaves_halt(kit):
    halt(kit)

    answer = resume(kit, "1234")

    assert not answer.resumed
    assert mode(kit) == "HALT"


def test_a_wrong_code_is_refused_and_remembered(kit):
    kit.set_code()
    halt(kit)

    answer = resume(kit, "1235")

    assert not answer.resumed
    assert "4 more" in answer.message
    assert mode(kit) == "HALT"
    assert [e.change for e in kit.events("refusal")] == ["TRA01"]


def test_five_wrong_codes_lock_even_the_right_one_for_15_minutes(kit):
    kit.set_code()
    halt(kit)
    for code in ("1", "22", "", None, "12345"):
        assert not resume(kit, code).resumed

    assert "locked" in resume(kit, "1234").message
    kit.advance(minutes=14, seconds=59)
    assert not resume(kit, "1234").resumed
    kit.advance(minutes=0, seconds=2)
    assert resume(kit, "1234").resumed


def test_a_wrong_code_is_remembered_though_its_transaction_is_rolled_back(kit):
    kit.set_code()
    halt(kit)
    guesser = kit.connect("desk")
    for code in ("1", "22", "333", "4444", "55555"):
        guesser.execute("begin")
        guesser.execute("select * from resume('again', %s)", [code])
        guesser.execute("rollback")

    assert not resume(kit, "1234").resumed


def test_the_right_code_forgets_the_wrong_ones(kit):
    kit.set_code()
    halt(kit)
    for code in "abcd":
        resume(kit, code)
    assert resume(kit, "1234").resumed
    halt(kit)

    assert "4 more" in resume(kit, "a").message


def test_a_code_is_changed_only_by_who_knows_it(kit):
    kit.set_code()

    (answer,) = kit.rows("desk", "select * from set_override_code('rose-5678', '0000')")

    assert not answer.changed
    halt(kit)
    assert not resume(kit, "rose-5678").resumed
    assert resume(kit, "1234").resumed


def test_safe_does_not_weaken_a_halt(kit):
    halt(kit)

    with pytest.raises(NotAllowed):
        kit.call("desk", "select safe('less')")

    assert mode(kit) == "HALT"


def test_leaving_safe_needs_no_code(kit):
    kit.call("desk", "select safe('test')")

    assert resume(kit, None).resumed


# -- what SAFE and HALT allow ------------------------------------------------------------------------------


def test_safe_lets_sells_through_and_denies_buys(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    kit.hold(10)
    kit.call("desk", "select safe('test')")
    kit.quote(60_000, 60_100)

    with pytest.raises(TradingHalted):
        kit.buy(1)
    assert kit.call("exits", "select fire_exits()") == 1
    assert kit.sell(5)
    assert [order.side for order in kit.claim()] == ["SELL", "SELL"]


@pytest.fixture
def pending(kit):
    """An exit that triggered during a halt and waits for approval."""
    kit.add_strategy()
    kit.hold(10, owner="momo")
    halt(kit)
    kit.quote(60_000, 60_100)
    assert kit.call("exits", "select fire_exits()") == 1
    (approval,) = kit.rows("desk", "select * from approvals")
    return approval.intent_id


def test_an_exit_waits_for_approval_while_halted(kit, pending):
    assert kit.intent_row(pending).status == "PENDING_APPROVAL"
    assert kit.position("momo").locked_qty == 10
    assert kit.claim() == []
    assert kit.call("exits", "select fire_exits()") == 0


@pytest.mark.parametrize("bid", [60_000, 69_000])
def test_when_trading_goes_on_a_waiting_exit_gives_way_to_one_at_todays_price(kit, pending, bid):
    kit.set_code()
    assert resume(kit, "1234").resumed
    kit.quote(bid, bid + 100)

    kit.call("router", "select enforce_modes()")

    assert kit.intent_row(pending).status == "CANCELLED"
    assert kit.call("exits", "select fire_exits()") == (1 if bid == 60_000 else 0)
    assert len(kit.claim()) == (1 if bid == 60_000 else 0)


def test_when_trading_goes_on_a_sell_by_hand_goes_out(kit):
    kit.hold(10)
    halt(kit)
    waiting = kit.sell(10)
    kit.set_code()
    assert resume(kit, "1234").resumed

    kit.call("router", "select enforce_modes()")

    assert kit.intent_row(waiting).status == "NEW"
    assert len(kit.claim()) == 1


def test_an_approved_exit_goes_out_though_halted(kit, pending):
    kit.call("desk", "select approve(%s, 'get out')", pending)

    (order,) = kit.claim()
    assert kit.order(order.order_id).intent_id == pending
    row = kit.intent_row(pending)
    assert (row.approved_by, row.status) == ("aegis_desk", "CLAIMED")
    assert kit.audit() == []


def test_an_approval_counts_once(kit, pending):
    kit.call("desk", "select approve(%s, 'get out')", pending)

    with pytest.raises(IllegalMove):
        kit.call("desk", "select approve(%s, 'again')", pending)


def test_a_rejected_exit_frees_its_shares_and_is_not_asked_again(kit, pending):
    kit.call("desk", "select reject(%s, 'keep it')", pending)

    assert kit.intent_row(pending).status == "REJECTED"
    assert kit.position("momo").locked_qty == 0
    assert kit.call("exits", "select fire_exits()") == 0


def test_a_buy_that_waited_for_approval_is_not_approved_into_a_halt(kit):
    intent_id = kit.insert_intent(status="PENDING_APPROVAL")
    halt(kit)

    with pytest.raises(TradingHalted):
        kit.call("desk", "select approve(%s, 'please')", intent_id)


@pytest.mark.parametrize("forged", [{}, {"approved_by": "me", "approved_at": "2026-03-02"}])
def test_a_sell_written_by_hand_while_halted_cannot_bring_its_own_approval(kit, forged):
    kit.hold(10)
    halt(kit)

    with pytest.raises(ApprovalNeeded):
        kit.insert_intent(**SELL_ROW, **forged)


def test_an_unapproved_order_written_by_hand_is_refused_while_halted(kit):
    kit.hold(10)
    intent_id = kit.insert_intent(**SELL_ROW)
    kit.db.execute("update trade.order_intents set status = 'CLAIMED' where intent_id = %s", [intent_id])
    halt(kit)

    with pytest.raises(ApprovalNeeded):
        kit.insert_order(intent_id, side="SELL")


# -- when the mode is unknown ------------------------------------------------------------------------------


@pytest.mark.parametrize("scoped", [False, True])
@pytest.mark.parametrize(
    "damage",
    [
        "delete from risk.system_mode",
        "update risk.system_mode set mode = 'PANIC'",
        "delete from risk.mode_rules",
        "delete from risk.modes",
    ],
)
def test_a_mode_that_cannot_be_known_denies(kit: Kit, damage, scoped):
    kit.buy(1)
    if scoped:
        kit.db.execute(
            "insert into risk.scoped_modes (scope, name, mode, reason)"
            " values ('broker', 'paper', 'NORMAL', 'x')"
        )
    with kit.triggers_off() as db:
        db.execute(damage.encode())

    assert refusal(lambda: kit.buy(1)) == "TRM01"
    assert refusal(lambda: kit.insert_intent()) == "TRM01"
    assert kit.claim() == []


@pytest.mark.parametrize("table", ["risk.system_mode", "risk.scoped_modes", "risk.mode_history"])
def test_a_mode_and_its_history_cannot_be_removed(kit, table):
    kit.db.execute(
        "insert into risk.scoped_modes (scope, name, mode, reason) values ('account', 'demo', 'SAFE', 'test')"
    )

    assert refusal(lambda: kit.db.execute(f"delete from {table}")) == "TRL02"
    assert refuses_truncate(kit.db, table)


def test_history_of_modes_cannot_be_rewritten(kit):
    halt(kit)

    assert refusal(lambda: kit.db.execute("update risk.mode_history set reason = 'nicer'")) == "TRL02"


def test_who_changes_a_mode_cannot_say_it_was_another(kit):
    kit.db.execute("update risk.system_mode set mode = 'HALT', reason = 'x', changed_by = 'aegis_desk'")

    (row,) = kit.rows("desk", "select * from mode_history")
    assert row.changed_by == kit.db.info.user


# -- after a halt ------------------------------------------------------------------------------------------


def test_after_a_halt_waiting_buys_end_live_ones_are_asked_to_cancel_and_sells_wait_for_approval(kit):
    kit.hold(10)
    live = kit.live_order("BUY", 1, 70_000)
    waiting, sell = kit.buy(2), kit.sell(3)
    halt(kit)

    assert kit.call("risk", "select enforce_modes()") == 3

    assert kit.intent_row(waiting).status == "CANCELLED"
    assert kit.intent_row(sell).status == "PENDING_APPROVAL"
    assert kit.order(live.order_id).cancel_requested_at is not None
    assert kit.call("risk", "select enforce_modes()") == 0
    assert kit.audit() == []


def test_there_is_one_system_mode_and_nothing_in_the_gate(kit):
    insert = "insert into risk.system_mode (singleton, mode, reason) values (%s, 'NORMAL', 'another')"

    assert refusal(lambda: kit.db.execute(insert, [True])) == "23505"
    assert refusal(lambda: kit.db.execute(insert, [False])) == "23514"
    assert refusal(lambda: kit.db.execute("insert into risk.gate values (true)")) == "23514"
