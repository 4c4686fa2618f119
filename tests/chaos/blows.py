"""Faults that can hit a system; each function causes one fault once."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.cli.launcher import lives
from tests.e2e.system import LOGINS, System
from tests.workers.director import Director, Held
from workers.runtime.child import CRASHES, WINDOW

STEPS = tuple(f"execution.{step}" for step in ("claimed", "before_send", "before_record", "fill_recorded"))
STOPPED = (0.2, 2.5)  # seconds a process is stopped: less or more than the deadline of a send
REACH = 5.0  # seconds to wait until execution sends something
EXECUTION = "aegis_w_execution"


@dataclass
class Blows:
    """Causes faults in one system; random numbers choose the fault and its target."""

    system: System
    random: random.Random
    director: Director
    feed: str
    crashes: dict[str, deque[float]] = field(default_factory=dict)

    def strike(self) -> str:
        """Cause one fault and return its name; if it finds no target, choose another."""
        kinds: list[tuple[Callable[[], bool], int]] = [
            (self.kill_a_worker, 6),
            (self.kill_execution_in_a_send, 4),
            (self.stop_execution_in_a_send, 3),
            (self.end_a_session, 4),
            (self.end_all_sessions, 2),
            (self.restart_postgresql_at_once, 2),
            (self.kill_the_postmaster, 1),
            (self.kill_the_supervisor, 1),
        ]
        blows, weights = [blow for blow, _ in kinds], [weight for _, weight in kinds]
        (blow,) = self.random.choices(blows, weights)
        while not blow():
            (blow,) = self.random.choices(blows, weights)
        name: str = blow.__name__
        return name.replace("_", " ")

    def kill_a_worker(self) -> bool:
        """Kill -9 a worker, but not so often that the supervisor rightly gives it up."""
        now = time.monotonic()
        pids = self.system.pids()
        ripe = [login for login in LOGINS if login in pids and self._may_crash(login, now)]
        if not ripe:
            return False
        login = self.random.choice(ripe)
        self._crashed(login)
        os.kill(pids[login], signal.SIGKILL)
        return True

    def _crashed(self, login: str) -> None:
        self.crashes.setdefault(login, deque(maxlen=CRASHES - 1)).append(time.monotonic())

    def _may_crash(self, login: str, now: float) -> bool:
        crashes = self.crashes.get(login, deque())
        return len(crashes) < CRASHES - 1 or now - crashes[0] > WINDOW + 5

    def end_a_session(self) -> bool:
        sessions = self._sessions()
        if sessions:
            self.system.value("select pg_terminate_backend(%s)", [self.random.choice(sessions)])
        return bool(sessions)

    def end_all_sessions(self) -> bool:
        sessions = self._sessions()
        for pid in sessions:
            self.system.value("select pg_terminate_backend(%s)", [pid])
        return bool(sessions)

    def _sessions(self) -> list[int]:
        rows = self.system.rows(
            "select pid from pg_stat_activity where datname = current_database() and usename ~ '^aegis_'"
            " order by backend_start"
        )
        return [pid for (pid,) in rows]

    def kill_execution_in_a_send(self) -> bool:
        """Kill -9 execution at a step between the claim and the recorded fill."""
        held = self._hold_execution() if self._may_crash(EXECUTION, time.monotonic()) else None
        if held is None:
            return False
        self._crashed(EXECUTION)
        os.kill(held.pid, signal.SIGKILL)
        return True

    def stop_execution_in_a_send(self) -> bool:
        """Stop the process between two steps, as a machine does that is overloaded or suspended."""
        held = self._hold_execution()
        if held is None:
            return False
        os.kill(held.pid, signal.SIGSTOP)
        held.go()
        time.sleep(self.random.uniform(*STOPPED))
        if lives(held.pid):
            os.kill(held.pid, signal.SIGCONT)
        return True

    def _hold_execution(self) -> Held | None:
        """Wait until execution is held at a step of a send; None if it sends nothing for a while."""
        step = self.random.choice(STEPS)
        self.director.hold(step)
        try:
            return self.director.reached(step, timeout=REACH)
        except TimeoutError:
            return None
        finally:
            self.director.release(step)

    def restart_postgresql_at_once(self) -> bool:
        self.system.cluster.server.stop("immediate")
        self.system.cluster.start()
        return True

    def kill_the_postmaster(self) -> bool:
        self.system.cluster.kill()
        self.system.cluster.start()
        return True

    def kill_the_supervisor(self) -> bool:
        """Kill it, wait until all workers have ended with it, and start it again as a person would."""
        assert self.system.supervisor is not None
        self.system.supervisor.kill()
        self.system.wait_until(
            lambda: not self.system.pids(), what="the workers to end with their supervisor"
        )
        self.crashes.clear()
        self.system.start(self.feed, AEGIS_CHECKPOINTS=str(self.director.socket))
        return True
