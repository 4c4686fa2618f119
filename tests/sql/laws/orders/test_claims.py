"""L6: a claim stores the order before it hands it out, and hands it to one living worker."""

import psycopg
import pytest

from tests.sql.laws.market_kit import MINUTE
from workers.runtime.errors import NotAllowed


def test_a_claim_stores_the_order_before_it_hands_it_out(kit):
    kit.buy(10)

    order = kit.claim_one()

    row = kit.order(order.order_id)
    assert (row.status, row.claimed_by, row.client_order_id) == (
        "SENDING",
        kit.worker(),
        order.client_order_id,
    )
    assert row.send_before - kit.now == order.send_within


def test_two_workers_at_once_get_each_intent_once(kit):
    intents = {kit.buy(1) for _ in range(10)}
    first, second = kit.connect("execution"), kit.connect("execution")
    workers = kit.register(first), kit.register(second)
    claim = "select * from claim_intents(%s, %s)"
    with first.transaction():
        one = kit.rows(first, claim, workers[0], 4)
        two = kit.background(second, claim, workers[1], 100)
        two.result(20)
    rest = kit.rows(first, claim, workers[0], 100)

    owners = kit.rows(kit.db, "select intent_id, claimed_by from trade.orders")
    assert {row.intent_id for row in owners} == intents
    assert len(owners) == 10
    assert len(one) == 4
    assert rest == []


def test_a_hundred_claims_by_four_workers_hand_out_each_intent_once(kit):
    intents = {kit.buy(1) for _ in range(100)}
    conns = [kit.connect("execution") for _ in range(4)]
    workers = [(conn, kit.register(conn)) for conn in conns]

    def work(conn, worker):
        found = []
        while batch := kit.rows(conn, "select * from claim_intents(%s, 3)", worker):
            found += batch
        return found

    futures = [kit.pool.submit(work, conn, worker) for conn, worker in workers]
    orders = [order for future in futures for order in future.result(30)]
    orders += kit.claim()

    assert len({order.client_order_id for order in orders}) == len(orders) == 100
    assert {row.intent_id for row in kit.rows(kit.db, "select intent_id from trade.orders")} == intents
    assert kit.audit() == []


def test_sells_are_handed_out_before_buys(kit):
    kit.hold(10)
    kit.buy(1)
    kit.sell(1)

    assert [order.side for order in kit.claim(1)] == ["SELL"]


def test_no_more_is_handed_out_than_there_are_tokens(kit):
    kit.db.execute("insert into bus.rate_limits values ('paper', 2, 3, 3, %s)", [kit.now])
    for _ in range(10):
        kit.buy(1)

    handed = []
    for pause in (0, 0, 1, 30):
        kit.advance(seconds=pause)
        orders = kit.claim()
        handed.append(len(orders))
        for order in orders:
            kit.accept(order)

    assert handed == [3, 0, 2, 3]


def test_an_expired_intent_is_not_claimed(kit):
    kit.buy(1)
    kit.advance(minutes=1)

    assert kit.claim() == []


def test_an_account_takes_no_part_before_it_agreed_with_its_broker_since_the_start(kit):
    kit.buy(1)
    kit.advance(seconds=1)
    kit.call("supervisor", "select begin_run()")

    assert kit.claim() == []
    kit.open_account()
    assert len(kit.claim()) == 1


@pytest.mark.parametrize("who", ["nobody", "another login", "a stopped worker"])
def test_only_a_living_worker_of_this_login_claims(kit, who):
    kit.buy(1)
    worker = {
        "nobody": lambda: 999,
        "another login": lambda: kit.register(kit.at("reconcile")),
        "a stopped worker": lambda: kit.worker(),
    }[who]()
    if who == "a stopped worker":
        kit.call("execution", "select stop_worker(%s)", worker)

    for function in ("claim_intents", "claim_cancels", "claim_doubts", "claim_amends"):
        with pytest.raises(NotAllowed):
            kit.rows("execution", f"select * from {function}(%s, 1)", worker)


def test_a_worker_may_hold_only_its_own_lock(kit):
    other = kit.connect("reconcile")

    with pytest.raises(NotAllowed):
        kit.call(other, "select hold_worker_lock(%s)", kit.worker())
    assert not kit.call("desk", "select bool_or(not is_alive) from workers")


def test_a_session_that_ended_holds_no_worker_lock(kit):
    conn = kit.connect("execution")
    worker = kit.register(conn)
    query = "select is_alive from workers where worker_id = %s"
    assert kit.call("desk", query, worker)
    pid = conn.info.backend_pid

    kit.db.execute("select pg_terminate_backend(%s, 5000)", [pid])

    assert not kit.call("desk", query, worker)
    with pytest.raises(psycopg.OperationalError):
        conn.execute("select 1")


def test_an_intent_waits_until_its_time(kit):
    intent_id = kit.buy(1)
    kit.db.execute(
        "update trade.order_intents set not_before = %s where intent_id = %s",
        [kit.now + MINUTE / 2, intent_id],
    )

    assert kit.claim() == []
    kit.advance(seconds=30)
    assert len(kit.claim()) == 1
