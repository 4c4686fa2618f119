"""Kill -9 any process while the system trades: trading continues, and the books stay correct."""

import os
import signal

from tests.e2e.system import LOGINS, System, wait_until_gone

ERRORS = "select data ->> 'message' from api.events where entity = 'error'"


def test_each_worker_may_be_killed_while_trading(trading: System) -> None:
    for login in LOGINS:
        killed = trading.kill_worker(login)

        trading.wait_for(
            "select exists (select from api.workers where login = %s and is_alive and pid <> %s)",
            [login, killed],
            what=f"{login} to be started again",
        )
        trading.wait_for_fills(1)

    messages = [text for (text,) in trading.rows(ERRORS)]
    for login in LOGINS:
        name = login.removeprefix("aegis_w_").replace("aegis_s_", "strategy.")
        assert any(message.startswith(f"{name} ended by SIGKILL") for message in messages), (name, messages)


def test_the_supervisor_may_be_killed_and_everything_ends_and_goes_on(trading: System) -> None:
    assert trading.supervisor is not None
    workers = list(trading.pids().values())

    trading.supervisor.kill()

    wait_until_gone(workers)
    assert trading.pids() == {}
    trading.start()
    trading.wait_for_fills(2)


def test_the_postmaster_may_be_killed_while_trading(trading: System) -> None:
    workers = trading.pids()

    trading.cluster.kill()
    trading.cluster.start()

    trading.wait_until(lambda: set(LOGINS) <= set(trading.pids()), what="all workers to be back")
    trading.wait_for_fills(2)
    again = trading.pids()
    assert {login: again[login] for login in workers} == workers, "workers should reconnect, not be restarted"


def test_an_immediate_restart_of_postgresql_is_survived(trading: System) -> None:
    trading.cluster.server.stop("immediate")
    trading.cluster.start()

    trading.wait_until(lambda: set(LOGINS) <= set(trading.pids()), what="all workers to be back")
    trading.wait_for_fills(2)


def test_all_sessions_may_be_ended_while_trading(trading: System) -> None:
    ended = trading.value(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
        " where datname = current_database() and usename ~ '^aegis_[ws]_'"
    )
    assert ended >= 2 * len(LOGINS)

    trading.wait_until(lambda: set(LOGINS) <= set(trading.pids()), what="all workers to be back")
    trading.wait_for_fills(2)


def test_a_worker_that_crashes_again_and_again_is_left_alone_and_reported(trading: System) -> None:
    for _ in range(3):
        pid = trading.wait_until(lambda: trading.pids().get("aegis_w_risk"), what="risk to be alive")
        os.kill(pid, signal.SIGKILL)
        wait_until_gone([pid])

    trading.wait_for(
        "select exists (select from api.incidents where kind = 'crash_loop' and subject = 'risk')",
        what="an incident that names risk",
    )
    trading.wait_for_fills(1)
    trading.admin.execute("update risk.incidents set closed_at = bus.clock()")  # what a person would do
