"""An open transaction, whoever holds it, stops neither the desk, the engine nor the history.

The watcher in the risk worker ends a session that stays idle while it holds locks or a snapshot, and an
incident names that session.  A halt does not wait for the watcher.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.attack.conftest import HOSTILE
from tests.e2e.system import CODE, Connection, System
from workers.runtime.errors import Refused

HALT = 0.3  # seconds from the call to the commit, if each process has a core to itself
SOON = 5.0
MINE = "select detail from risk.incidents where kind = %s and subject ~ %s and closed_at is null"
GONE = "select count(*) = 0 from pg_stat_activity where pid = %s"


@contextmanager
def left_open(conn: Connection, *statements: str) -> Iterator[int]:
    """Leave a transaction open and yield the session's pid; at the end the session must have been ended."""
    conn.execute("begin")
    for statement in statements:
        conn.execute(statement.encode())
    yield conn.info.backend_pid
    with pytest.raises(psycopg.OperationalError):
        conn.execute("commit")


def halt_in_time(system: System) -> None:
    """Halt as the desk and resume; the halt must commit within its promised time."""
    with system.desk() as desk:
        desk.execute("select 1")
        began = time.monotonic()
        desk.execute("select halt('under attack')")
        took = time.monotonic() - began
    assert system.value("select mode from risk.system_mode") == "HALT"
    with system.desk() as desk:
        assert desk.execute("select resumed from resume('over', %s)", [CODE]).fetchone() == (True,)
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert took < HALT * busy, f"the halt took {took * 1000:.0f} ms"


def is_ended(system: System, pid: int, login: str) -> None:
    """Wait until the session is gone and an incident names its login and pid."""
    system.wait_for(GONE, [pid], within=SOON, what=f"session {pid} of {login} to be ended")
    system.wait_until(
        lambda: (system.value(MINE, ["session_ended", f"^{login}$"]) or {}).get("pid") == pid,
        within=SOON,
        what=f"an incident that names session {pid} of {login}",
    )


def test_a_strategy_that_holds_the_horizon_is_ended(trading: System, hostile: Connection) -> None:
    with left_open(hostile, "select log_error(null, 'XX000', 'left open', '{}')") as pid:
        halt_in_time(trading)
        is_ended(trading, pid, HOSTILE)
    trading.wait_for(
        "select count(*) = 0 from bus.events as e"
        " where not exists (select from bus.seals as s where s.event_id = e.event_id)"
        "   and e.at < (select max(opened_at) from risk.incidents where kind = 'session_ended')",
        within=SOON,
        what="seals to catch up",
    )


def test_a_strategy_that_has_written_an_event_stops_no_new_partition(
    trading: System, hostile: Connection
) -> None:
    trading.value(
        "select setval('bus.events_event_id_seq', (select last_value + 10000000"
        " from bus.events_event_id_seq))"
    )
    trading.value("select api.log_error(null, 'XX000', 'far ahead', '{}')")
    before = trading.value("select count(*) from pg_inherits where inhparent = 'bus.events'::regclass")
    with left_open(hostile, "select log_error(null, 'XX000', 'left open', '{}')") as pid:
        trading.value(
            "update bus.jobs set next_run_at = bus.clock() where job = 'make_partitions' returning 1"
        )
        trading.wait_for(
            "select count(*) > %s from pg_inherits where inhparent = 'bus.events'::regclass or exists"
            " (select from pg_locks where not granted and relation = 'bus.events'::regclass)",
            [before],
        )
        halt_in_time(trading)
        trading.wait_for(
            "select count(*) > %s from pg_inherits where inhparent = 'bus.events'::regclass",
            [before],
            within=SOON,
        )
        is_ended(trading, pid, HOSTILE)


def test_a_desk_cannot_lock_the_mode_by_looking_at_it(trading: System) -> None:
    looking = trading.desk()
    looking.execute("begin")
    looking.execute("select * from system_mode for update")
    halt_in_time(trading)
    looking.close()


def test_of_two_halts_at_once_one_wins(trading: System) -> None:
    with left_open(trading.desk(), "select halt('left open')") as pid:
        halt_in_time(trading)
        trading.wait_for(GONE, [pid], within=SOON)


def test_a_fill_waits_for_no_forgotten_entry_of_cash(trading: System) -> None:
    desk = trading.desk()
    trading.wait_for("select exists (select from trade.orders where closed_at is null)")
    with left_open(desk, "select record_cash('demo', 'deposit', 1, 'left open')") as pid:
        trading.wait_for("select count(*) > 0 from trade.orders where closed_at is null")
        fills = trading.value("select count(*) from trade.fills")
        is_ended(trading, pid, "aegis_desk")
        trading.wait_for("select count(*) > %s from trade.fills", [fills], within=SOON, what="a fill")


HELD = """
select p.account_id, p.instrument_id, p.owner, i.symbol
from trade.positions as p
join market.instruments as i using (instrument_id)
join trade.position_exits as e using (account_id, instrument_id, owner)
where p.qty > 1 and p.locked_qty = 0 and e.is_armed
limit 1
"""
SELL = "select create_intent('demo', %s, 'SELL', 1, null, 'left open', %s)"
FIRED = """
select exists (
    select from trade.order_intents
    where intent_type = 'EXIT' and instrument_id = %s and owner = %s and intent_id > %s
)
"""


def test_a_stop_fires_though_its_position_is_locked(trading: System) -> None:
    desk = trading.desk()
    for _ in range(20):  # try again if the position is sold between the query and the lock
        account, instrument, owner, symbol = trading.wait_until(
            lambda: (trading.rows(HELD) or [None])[0], what="a position"
        )
        desk.execute("begin")
        try:
            desk.execute(SELL, [symbol, owner])
        except Refused:
            desk.execute("rollback")
            continue
        position = [account, instrument, owner]
        if trading.value(
            "select qty > 1 and locked_qty = 0 from trade.positions"
            " where (account_id, instrument_id, owner) = (%s, %s, %s)",
            position,
        ):
            break
        desk.execute("rollback")
    pid = desk.info.backend_pid
    last = trading.value("select max(intent_id) from trade.order_intents")
    trading.value(
        "update trade.position_exits set stop_price = 100000000"
        " where (account_id, instrument_id, owner) = (%s, %s, %s) returning 1",
        position,
    )

    trading.wait_for(FIRED, [instrument, owner, last], within=SOON, what="the stop to fire")

    (detail,) = trading.rows(MINE, ["skipped_work", "^exit"])[0]
    assert detail["holder"]["pid"] == pid
    is_ended(trading, pid, "aegis_desk")


def test_a_halt_at_the_gate_of_a_forgotten_intent(trading: System) -> None:
    with left_open(trading.desk(), "select create_intent('demo', '005930', 'BUY', 1, null, 'left open')"):
        halt_in_time(trading)


def test_a_superuser_who_holds_the_horizon_is_named_until_he_lets_go(trading: System) -> None:
    """None of Aegis's roles may end a superuser's session."""
    trading.value(
        "update bus.session_limits set idle_in_transaction = '1 s' where role_group = 'other' returning 1"
    )
    with trading.cluster.connect("postgres") as other:
        other.execute("begin")
        other.execute("select pg_current_xact_id()")
        detail = trading.wait_for(MINE, ["transaction_held", "in postgres"], within=SOON)
        assert detail["pid"] == other.info.backend_pid
        halt_in_time(trading)
        other.execute("rollback")
    trading.wait_for(
        "select count(*) = 0 from risk.incidents where kind = 'transaction_held' and closed_at is null",
        within=SOON,
    )
