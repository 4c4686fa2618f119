"""A client of a storm: one session that makes random calls of its role."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from tests.prove.place import LOGINS, Connect, Connection
from tests.prove.storm.weather import Weather
from workers.runtime.errors import Refused

# A halt ends sessions that hold the gate, idle ones after 50 ms, active after 200; it gives up after 5 s.
EXPECTED = {"57P01", "55P03"}
# Seconds a role waits before each call, so that pollers leave room and picks accumulate for the router.
PACE = {"feed": 0.004, "strategy": 0.002, "router": 0.03, "exits": 0.004, "risk": 0.004, "reconcile": 0.004}


class Client:
    """One session that makes random calls which its login may make, until a given time."""

    def __init__(
        self,
        connect: Connect,
        role: str,
        actions: Sequence[Callable[[Client], None]],
        seed: str,
        weather: Weather,
    ) -> None:
        self.random = random.Random(seed)
        self.role = role
        self.actions = actions
        self.worker = 0
        self._connect = connect
        self._conn: Connection | None = None
        self._weather = weather
        self.known: list[tuple[Any, ...]] = []  # orders this client has claimed
        self.reported: list[tuple[Any, ...]] = []  # executions it has reported
        self.filled = 0
        self.name = f"{role}-{seed}"

    def run(self, until: float, lock: threading.Lock) -> None:
        calls: Counter[str] = Counter()
        errors: Counter[str] = Counter()
        while time.monotonic() < until:
            action = self.random.choice(self.actions)
            calls[action.__name__] += 1
            time.sleep(PACE.get(self.role, 0))
            try:
                action(self)
            except Refused as refused:
                errors[refused.sqlstate or "TR"] += 1
            except psycopg.Error as error:
                code = error.sqlstate or (self._conn and self._conn.closed and "57P01") or "none"
                errors[code] += 1
                if code not in EXPECTED:
                    with lock:
                        self._weather.unexpected.append(f"{self.role} {action.__name__}: {error!r}")
                self._conn = None if self._conn is None or self._conn.closed else self._conn
        with lock:
            self._weather.calls += calls
            self._weather.errors += errors

    def ask(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        if self._conn is None:
            self._conn = self._connect(LOGINS[self.role])
            self.worker = 0
        return self._conn.execute(query.encode(), args).fetchall()

    def me(self) -> int:
        """The worker that this session claims as; registered when needed."""
        if self._conn is None or not self.worker:
            ((worker,),) = self.ask("select register_worker('execution', 1, 'here')")
            self.worker = worker
            self.ask("select hold_worker_lock(%s)", worker)
        return self.worker
