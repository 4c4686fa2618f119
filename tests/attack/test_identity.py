"""A copy of a running database, and a worker started in it by hand: only one of the two may send."""

from __future__ import annotations

import pytest
from psycopg import errors, sql

from cli.database import logins
from tests.attack.conftest import HOSTILE
from tests.e2e.system import SYMBOLS, Cluster, System


class Clone(System):
    """A copy of a system made by `create database ... template`, with the logins of the original."""

    def __init__(self, cluster: Cluster, original: str) -> None:
        self.cluster, self.name = cluster, f"{original}_clone"
        self.processes, self.supervisor, self._admin = [], None, None
        with cluster.connect() as conn:
            create = sql.SQL("create database {} template {} strategy file_copy")
            conn.execute(create.format(sql.Identifier(self.name), sql.Identifier(original)))
            logins.secure_copy(conn, self.name)


def test_a_worker_in_a_copy_hands_out_nothing_and_says_so(system):
    """No supervisor process runs, so only the function that hands out work can refuse."""
    with system.login("aegis_w_supervisor") as supervisor:
        supervisor.execute("select begin_run()")
    others = [system.spawn("price_sync", "sim:7"), system.spawn("reconcile")]
    system.wait_for("select is_open from api.accounts", what="the account to be reconciled")
    system.wait_for("select bool_and(is_fresh) from api.prices", what="prices")
    with system.desk() as desk:
        price = "(select limit_low from instruments where symbol = %s)"
        buy = f"select create_intent('demo', %s, 'BUY', 1, {price}, 'by hand', p_ttl => '1 hour')"
        desk.execute(buy, [SYMBOLS[0], SYMBOLS[0]])
    assert [process.stop() for process in others] == [0, 0]
    system.admin.close()
    clone = Clone(system.cluster, system.name)
    try:
        execution = clone.spawn("execution")
        clone.wait_for(
            "select exists (select from api.incidents where kind = 'not_started_here' and closed_at is null)",
            what="an incident that it was not started here",
        )
        clone.wait_for(
            "select detail ->> 'last_error' like 'NotStartedHere%%' from api.workers"
            " order by worker_id desc limit 1",
            what="the page to say why",
        )
        assert clone.value("select count(*) from api.refusals where code = 'TRH01'") >= 1
        assert "was not started here" in execution.log.read_text()
        with clone.login("aegis_w_supervisor") as supervisor:
            supervisor.execute("select begin_run('')")
        clone.wait_for("select is_foreign and mode = 'HALT' from api.status", what="the copy to be halted")
        assert execution.stop() == 0
        assert clone.value("select count(*) from trade.orders") == 0
    finally:
        clone.close()
    system.spawn("execution")
    system.wait_for("select count(*) = 1 from trade.orders", what="the original to send its order")


def test_a_restart_of_the_server_is_not_a_copy(system):
    system.start()
    system.wait_for_fills(1)

    system.cluster.kill()
    system.cluster.start()

    system.wait_for_fills(1)
    system.wait_for(
        "select home_started_at = pg_postmaster_start_time() from bus.instance",
        what="the supervisor to note the restart",
    )
    assert not system.value("select is_foreign from bus.instance")


@pytest.mark.parametrize("role", [HOSTILE, "aegis_w_router", "aegis_w_execution", "aegis_desk"])
def test_no_other_login_makes_a_running_system_foreign(trading, role):
    with trading.login(role) as conn:
        for call in ("select begin_run('')", "select run_marker('x')"):
            with pytest.raises(errors.InsufficientPrivilege):
                conn.execute(call)

    assert not trading.value("select is_foreign from bus.instance")
    trading.wait_for_fills(1)
