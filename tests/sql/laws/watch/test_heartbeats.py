"""A worker without heartbeats is not alive, and a hung one is an incident."""

from tests.sql.laws.watch.watch_kit import BEAT, WORKER


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
