"""L11: who makes the engine wait, or makes it skip work, is named and ended."""

import pytest

from tests.sql.laws.sessions.sessions_kit import DESK, is_ended, left_open, limit, open_incident, watch


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
