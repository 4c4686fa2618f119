"""Trading by hand without a pause, so that a fault always hits work in progress."""

from __future__ import annotations

import random
import threading
from typing import Any

import psycopg

from tests.e2e.system import SYMBOLS, System
from workers.runtime.errors import Refused

QUOTED = "select bid, ask from prices where symbol = %s and can_sell and can_buy"
DECIDE = "select create_intent('demo', %s, %s, %s, %s, p_ttl => %s)"
PAUSE = 0.02  # seconds between two decisions


class Load:
    """A thread that trades with the desk's login and keeps the ids of the intents it created."""

    def __init__(self, system: System, seed: int) -> None:
        self.system = system
        self.random = random.Random(seed)
        self.promised: list[int] = []
        self.refused = self.cut_off = 0
        self._flowing = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def flow(self) -> None:
        self._flowing.set()

    def hold(self) -> None:
        self._flowing.clear()

    def end(self) -> None:
        self._ended.set()
        self._flowing.set()
        self._thread.join()

    def _run(self) -> None:
        desk: psycopg.Connection[Any] | None = None
        while self._flowing.wait() and not self._ended.wait(PAUSE):
            try:
                if desk is None or desk.closed:
                    desk = self.system.desk()
                self._decide(desk)
            except Refused:
                self.refused += 1
            except Exception:  # the connection was lost; whether the intent committed is unknown
                self.cut_off += 1
                desk = None
        if desk is not None:
            desk.close()

    def _decide(self, desk: psycopg.Connection[Any]) -> None:
        """Buy or sell a small quantity; one order in five rests away from the market for two seconds."""
        symbol, side = self.random.choice(SYMBOLS), self.random.choice(["BUY", "BUY", "SELL"])
        quantity, rests = self.random.randint(1, 20), self.random.random() < 0.2
        quoted = desk.execute(QUOTED, [symbol]).fetchone()
        if quoted is None:
            return
        limit = quoted[0] * 98 / 100 if side == "BUY" else quoted[1] * 102 / 100
        ttl = "2 s" if rests else "10 s"
        row = desk.execute(DECIDE, [symbol, side, quantity, limit if rests else None, ttl]).fetchone()
        assert row is not None
        self.promised.append(row[0])
