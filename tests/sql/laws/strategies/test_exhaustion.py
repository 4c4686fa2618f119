"""L11: what a strategy may leave behind is bounded, and a process registers only as its own login."""

from __future__ import annotations

import pytest
from psycopg.types.json import Jsonb

from tests.sql.laws.market_kit import SYMBOL, Connection, Kit
from workers.runtime.errors import BadInput, LimitExceeded, NotAllowed

REGISTER = "select register_worker(%s, 1, 'here')"
COMPLAIN = "select log_error(1, 'XX000', 'again', null)"
KEPT = "select count(*) from bus.events where entity = 'error'"
MINUTE = 120  # writes per minute that a strategy may make
CHANNELS = ("new_intent", "new_pick", "order_work", "strategy_changed")


@pytest.fixture
def strategy(kit: Kit) -> Connection:
    return kit.add_strategy("momo")


def test_a_worker_registers_under_the_name_of_its_login_alone(kit, strategy):
    others = {
        "execution": ["router", "strategy", None],
        "aegis_s_momo": ["execution", "momo", "strategy.other", None],
    }
    for login, names in others.items():
        conn = kit.connect(login)
        for name in names:
            with pytest.raises(NotAllowed):
                kit.call(conn, REGISTER, name)

    assert kit.call(strategy, REGISTER, "strategy") > 0
    assert kit.call(strategy, REGISTER, "strategy.momo") > 0


def test_a_process_says_where_it_is_in_few_words(kit):
    for pid, host in [(-1, "here"), (None, "here"), (1, None), (1, "h" * 256)]:
        with pytest.raises(BadInput):
            kit.call("execution", "select register_worker('execution', %s, %s)", pid, host)


def test_a_strategy_registers_thirty_times_a_minute(kit, strategy):
    many = "select count(register_worker('strategy', 1, 'here')) from generate_series(1, %s)"
    kit.call(strategy, many, 30)

    with pytest.raises(LimitExceeded):
        kit.call(strategy, many, 1)
    kit.advance(minutes=1)
    assert kit.call(strategy, many, 1) == 1


def test_of_a_strategy_the_fifty_newest_processes_and_the_living_are_kept(kit, strategy):
    first = kit.call(strategy, REGISTER, "strategy")
    kit.call(strategy, "select hold_worker_lock(%s)", first)
    for _ in range(4):
        kit.advance(minutes=1)
        kit.call(strategy, "select count(register_worker('strategy', 1, 'h')) from generate_series(1, 25)")

    kept = [
        row[0] for row in kit.db.execute("select worker_id from bus.workers where login = 'aegis_s_momo'")
    ]
    assert first in kept
    assert len(kept) == 52


def test_a_session_holds_the_lock_of_one_worker(kit, strategy):
    first, second = (kit.call(strategy, REGISTER, "strategy") for _ in range(2))
    assert kit.call(strategy, "select hold_worker_lock(%s)", first)

    with pytest.raises(NotAllowed):
        kit.call(strategy, "select hold_worker_lock(%s)", second)
    assert kit.call(strategy, "select hold_worker_lock(%s)", first)


def test_a_strategy_writes_so_many_errors_a_minute(kit, strategy):
    other = kit.add_strategy("calm")
    kept = [kit.call(strategy, COMPLAIN) is not None for _ in range(MINUTE + 5)]

    assert kept == [True] * MINUTE + [False] * 5
    assert kit.call(kit.db, KEPT) == MINUTE
    assert kit.call(other, COMPLAIN) is not None
    kit.advance(minutes=1)
    assert kit.call(strategy, COMPLAIN) is not None


def test_what_was_rolled_back_counts(kit, strategy):
    for _ in range(MINUTE // 40):
        with strategy.transaction(force_rollback=True):
            strategy.execute(COMPLAIN + " from generate_series(1, 40)")

    assert kit.call(strategy, COMPLAIN) is None


def test_beyond_its_writes_a_strategy_takes_no_lock_in_a_savepoint(kit, strategy):
    """Each subtransaction that writes takes a lock from the lock table that the whole server shares."""
    strategy.execute("begin")
    strategy.execute(f"savepoint s; {COMPLAIN};".encode() * (2 * MINUTE))

    locks = kit.call(
        kit.db, "select count(*) from pg_locks where pid = %s and not fastpath", strategy.info.backend_pid
    )
    assert locks < MINUTE + 20
    strategy.execute("rollback")


def test_a_heartbeat_beyond_the_writes_of_a_minute_is_not_kept(kit, strategy):
    worker = kit.call(strategy, REGISTER, "strategy")
    for beat in range(MINUTE):
        kit.call(strategy, "select heartbeat(%s, 'running', %s)", worker, Jsonb({"beat": beat}))

    detail = kit.look("select detail from bus.workers where worker_id = %s", worker).detail
    assert detail == {"beat": MINUTE - 2}


def test_a_long_detail_is_kept_by_its_beginning(kit, strategy):
    worker = kit.call(strategy, REGISTER, "strategy")
    long = Jsonb({"x": "y" * 1_000_000})
    kit.call(strategy, "select heartbeat(%s, 'running', %s)", worker, long)
    kit.call(strategy, "select log_error(%s, %s, %s, %s)", worker, "X" * 10_000, "m" * 10_000, long)

    said = kit.look("select detail from bus.workers where worker_id = %s", worker).detail
    event = kit.look(
        "select pg_column_size(data::text) as size, data, change from bus.events where entity = 'error'"
    )
    assert said == event.data["detail"]
    assert (said["bytes"] > 1_000_000, len(said["begins"])) == (True, 2000)
    assert (event.size < 5_000, len(event.change)) == (True, 20)


def test_a_hint_says_nothing_but_that_there_is_work(kit, strategy):
    """Anybody may LISTEN: a payload would reveal what others trade, and that they trade."""
    for channel in CHANNELS:
        strategy.execute(f"listen {channel}".encode())
    kit.call(strategy, "select propose(%s, 'BUY', 'ENTRY', 1, 70100, 'up', 'k')", SYMBOL)
    kit.buy(1)
    order = kit.claim_one()
    kit.accept(order)
    kit.call("desk", "select cancel_intent(%s, 'no')", kit.order(order.order_id).intent_id)
    kit.call("desk", "select stop_strategy('momo')")

    heard = {(note.channel, note.payload) for note in strategy.notifies(timeout=2, stop_after=len(CHANNELS))}
    assert heard == {(channel, "") for channel in CHANNELS}


def test_a_change_of_mode_notifies_nobody(kit, strategy):
    """A commit that notifies waits for every other one that does; a flood of them would delay a halt."""
    for channel in (*CHANNELS, "system_mode", "mode"):
        strategy.execute(f"listen {channel}".encode())
    kit.call("desk", "select halt('now')")
    kit.db.execute("notify mode, 'the next one'")

    (first,) = strategy.notifies(timeout=2, stop_after=1)
    assert (first.channel, first.payload) == ("mode", "the next one")


def test_every_hint_goes_where_a_full_queue_is_asked_about(kit):
    senders = kit.rows(
        kit.db, "select oid::regproc::text as name from pg_proc where prosrc ~ '\\mpg_notify\\M'"
    )

    assert [row.name for row in senders if not row.name.startswith("pg_")] == ["bus.notify"]
