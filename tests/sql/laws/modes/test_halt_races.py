"""L1: what is in flight when a halt commits came before it, or waits and is refused."""

import datetime as dt

import psycopg
import pytest

from tests.sql.laws.market_kit import INTENT, OTHER, SYMBOL, refusal
from tests.sql.laws.modes.modes_kit import halt, intents, mode
from workers.runtime.errors import NotAllowed, TradingHalted

BUY = (INTENT, "demo", SYMBOL, "BUY", 1, 70_000, "test", "manual", "MANUAL", None, "1 min")


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
    waiting = kit.buy(1)
    kit.insert_intent(status="PENDING_APPROVAL")
    halter, other = kit.connect("desk"), None
    if waiter == "order by hand":
        kit.db.execute("update trade.order_intents set status = 'CLAIMED' where status = 'NEW'")

    with halter.transaction():
        halt(kit, halter)
        if waiter == "intent":
            other = kit.connect("desk")
            future = kit.background(other, *BUY)
        elif waiter == "order by hand":
            other = kit.connect("superuser")
            future = kit.pool.submit(kit.insert_order, waiting, other)
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
