"""A hung process is detected and replaced, and does no harm when it continues."""

from __future__ import annotations

import os
import signal

from tests.e2e.system import System
from workers.runtime.heart import HEARTBEAT

HUNG = "select is_hung from api.workers where pid = %s"
MISSED = 3 * HEARTBEAT + 6


def test_a_stopped_worker_is_killed_started_again_and_named(trading: System) -> None:
    old = trading.pids()["aegis_w_exits"]
    os.kill(old, signal.SIGSTOP)

    trading.wait_until(
        lambda: trading.pids().get("aegis_w_exits", old) != old, within=MISSED + 14, what="a new process"
    )

    said = trading.value("select detail ->> 'message' from api.incidents where subject = 'exits'")
    assert "exits was killed: no heartbeat for" in said
    trading.wait_for_fills(1)


def test_one_that_nobody_supervises_may_sleep_and_wake_and_does_no_harm(trading: System) -> None:
    second = trading.spawn("execution")
    trading.wait_for("select is_alive from api.workers where pid = %s", [second.pid])
    trading.wait_for_fills(1)

    os.kill(second.pid, signal.SIGSTOP)
    trading.wait_for(HUNG, [second.pid], within=MISSED, what="it to be called hung")
    status = trading.aegis("status")
    trading.wait_for_fills(2)  # the broker is asked about its claimed orders; the other worker trades
    os.kill(second.pid, signal.SIGCONT)
    trading.wait_for("select is_alive from api.workers where pid = %s", [second.pid])
    trading.wait_for_fills(2)

    assert second.stop() == 0
    assert status.returncode == 1
    assert f"execution: hangs: no heartbeat (pid {second.pid} on " in status.stdout
