"""A strategy's login cannot exhaust what a halt, a stop or the desk needs: locks, connections, the queue."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from cli.database.secrets import password_of
from tests.attack.conftest import HOSTILE
from tests.cli.launcher import scratch
from tests.e2e.system import CODE, Cluster, Connection, System

PROMPT = 0.3  # seconds a halt may take
FULL = 64  # pages of the smallest queue a server can have
COMPLAIN = "select log_error(1, 'XX000', 'again', null)"


def halt(system: System, desk: Connection) -> None:
    """Halt, check that it was prompt, and resume."""
    began = time.monotonic()
    desk.execute("select halt('under attack')")
    took = time.monotonic() - began
    assert system.value("select mode from risk.system_mode") == "HALT"
    assert took < PROMPT, f"the halt took {took:.3f} s"
    desk.execute("select resume('go on', %s)", [CODE])


def open_as(system: System, login: str) -> Connection:
    password = password_of(login, system.cluster.place / "secrets")
    return psycopg.connect(system.cluster.server.url(system.name, login), password=password, autocommit=True)


def test_a_strategy_cannot_fill_the_lock_table(trading: System, hostile: Connection) -> None:
    many = "from generate_series(1, 40000)"
    for call in (
        f"select count(hold_worker_lock(register_worker('x', 1, 'h'))) {many}",
        f"select count(hold_worker_lock(register_worker('strategy', 1, 'h'))) {many}",
        f"select count(pg_try_advisory_lock(i)) {many} as i",
    ):
        with contextlib.suppress(errors.InsufficientPrivilege, psycopg.DatabaseError):
            hostile.execute(call.encode())
        with trading.desk() as desk:
            halt(trading, desk)

    hostile.execute("begin")
    for _ in range(40):
        hostile.execute(f"savepoint s; {COMPLAIN};".encode() * 500)
    with trading.desk() as desk:
        halt(trading, desk)
    trading.wait_for_fills(1)


def test_a_strategy_cannot_take_the_connections(trading: System) -> None:
    opened: list[Connection] = []
    try:
        for login in (HOSTILE, "aegis_s_mean_reversion"):
            with contextlib.suppress(psycopg.OperationalError):
                while len(opened) < 91:
                    opened.append(open_as(trading, login))
        assert len(opened) < 20

        with trading.desk() as desk:
            halt(trading, desk)
        was = trading.kill_worker("aegis_w_execution")
        trading.wait_until(
            lambda: trading.pids().get("aegis_w_execution", was) != was, what="execution to be there again"
        )
        trading.wait_for_fills(1)
    finally:
        for conn in opened:
            conn.close()


@pytest.fixture(scope="module")
def small_queue() -> Iterator[System]:
    """A system on a server with the smallest possible notification queue."""
    with scratch() as place:
        cluster = Cluster(place)
        if cluster.connect().info.server_version < 170000:
            cluster.server.stop("immediate")
            pytest.skip("before PostgreSQL 17 the queue has always 8 GB")
        with cluster.connect() as conn:
            conn.execute(f"alter system set max_notify_queue_pages = {FULL}")
        cluster.server.stop()
        cluster.start()
        system = System(cluster)
        try:
            system.start()
            yield system
        finally:
            system.close()
            cluster.server.stop("immediate")


# The watcher would end a listener that is idle in a transaction.
NO_WATCHER = """
update bus.session_limits set idle_in_transaction = '1 h', transaction = '1 h', idle_in_the_way = '1 h'
"""


def fill_queue(system: System) -> None:
    """Send notifications until the queue is full."""
    with system.login(HOSTILE) as conn, contextlib.suppress(errors.ProgramLimitExceeded):
        for number in range(FULL * 2):
            conn.execute("select pg_notify('noise', repeat('x', 7900) || %s::text)", [number])
        raise AssertionError("the queue is not full")


def test_with_a_full_queue_everything_commits(small_queue: System) -> None:
    """A listener that never reads keeps the queue full until it leaves and the queue's usage is queried."""
    system = small_queue
    system.wait_for_fills(1)
    system.admin.execute(NO_WATCHER)
    listener = open_as(system, "aegis_s_mean_reversion")
    listener.execute("listen noise")
    listener.execute("begin; select 1")
    fill_queue(system)
    assert system.value("select pg_notification_queue_usage()") > 0.9

    assert "aegis_s_mean_reversion" in system.aegis("doctor").stdout
    with system.desk() as desk:
        halt(system, desk)
        desk.execute("select create_intent('demo', '005930', 'BUY', 1, null, 'by hand')")
    system.wait_for_fills(3)
    was = system.kill_worker("aegis_w_price_sync")
    system.wait_until(lambda: system.pids().get("aegis_w_price_sync", was) != was, what="prices again")
    system.wait_for_fills(3)
    assert "DISCONNECTED" not in {status for (status,) in system.rows("select status from api.feeds")}
    assert system.value("select pg_notification_queue_usage()") > 0.9

    listener.close()
    with system.desk() as desk:
        halt(system, desk)
    system.wait_for("select pg_notification_queue_usage() < 0.1", what="the queue to be empty")
    system.wait_for_fills(1)
    system.verify()
