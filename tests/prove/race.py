"""Races of two real sessions, at each isolation level and in each order.

The first session keeps its transaction open until the second waits for a lock, or has its answer without
waiting.  A call that must not use an old snapshot is refused (TRM02) or fails to serialize (40001); then it
is repeated once, as its worker would do.  The result must equal that of running one after the other.

Races with a halt are in tests/sql/laws/modes/test_halt_races.py: admissions and claims accept only one
isolation level.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import psycopg

from tests.sql.laws.market_kit import FILL, INTENT, SYMBOL, Connection, Kit

LEVELS = ("read committed", "repeatable read", "serializable")
AGAIN = ("40001", "TRM02")
Said = tuple[str, Any]
Query = tuple[Any, ...]


class Race:
    """Two sessions, of which the second runs at the given isolation level."""

    def __init__(self, kit: Kit, level: str) -> None:
        self.kit = kit
        self.level = level
        self.refused: list[str] = []

    def run(
        self, first: tuple[str, Query], second: tuple[str, Query], old: bool = False
    ) -> tuple[Said, Said]:
        """Return both answers.  With `old`, the second session takes its snapshot before the first call."""
        early, late = self.kit.connect(first[0]), self.kit.connect(second[0])
        late.execute(f"set default_transaction_isolation = '{self.level}'".encode())
        if old:
            return self._run_old(early, late, first[1], second[1])
        with early.transaction():
            one = said(early, first[1])
            future = self.kit.background(late, *second[1])
            self._until_waiting_or_done(late, future)
        return one, self._asked_again(late, outcome(future), second[1])

    def _run_old(self, early: Connection, late: Connection, first: Query, second: Query) -> tuple[Said, Said]:
        try:
            with late.transaction():
                late.execute(
                    "select mode from system_mode" if "desk" in late.info.user else "select next_due()"
                )
                one = said(early, first)
                two = outcome_of(late, second)
                if two[0] == "no":
                    raise psycopg.Rollback
        except psycopg.errors.SerializationFailure as failure:
            two = "no", failure.sqlstate
        return one, self._asked_again(late, two, second)

    def _until_waiting_or_done(self, conn: Connection, future: Future[Any]) -> None:
        query = "select true from pg_stat_activity where pid = %s and wait_event_type = 'Lock'"
        while not future.done() and not self.kit.call(self.kit.db, query, conn.info.backend_pid):
            pass

    def _asked_again(self, conn: Connection, answer: Said, query: Query) -> Said:
        if answer[0] == "no" and answer[1] in AGAIN:
            assert self.level != "read committed", answer
            self.refused.append(answer[1])
            conn.execute("set default_transaction_isolation = 'read committed'")
            return outcome_of(conn, query)
        return answer


def said(conn: Connection, query: Query) -> Said:
    return "yes", conn.execute(query[0], query[1:]).fetchall()


def outcome_of(conn: Connection, query: Query) -> Said:
    try:
        return said(conn, query)
    except psycopg.Error as error:
        return "no", error.sqlstate


def outcome(future: Future[Any]) -> Said:
    try:
        return "yes", future.result(20)
    except psycopg.Error as error:
        return "no", error.sqlstate


def fill(kit: Kit, order: Any, quantity: int, price: int = 70_000) -> tuple[str, Query]:
    number = f"R{order.order_id}-{quantity}"
    return "execution", (FILL, "demo", order.client_order_id, None, number, quantity, price, 0, 0, kit.now)


def cancelled(order: Any) -> tuple[str, Query]:
    return "execution", ("select order_cancelled(%s, %s, 0)", order.order_id, order.fence)


def sell(quantity: int) -> tuple[str, Query]:
    return "desk", (
        INTENT,
        "demo",
        SYMBOL,
        "SELL",
        quantity,
        60_000,
        "race",
        "manual",
        "MANUAL",
        None,
        "1 min",
    )
