"""Lock order: no function of `api` waits for a lock while it holds one that comes later in the order.

The order is gate, accounts by id, positions by account, instrument and owner, intents by id, orders by id.
Each function is run once for each lock it could take, while another session holds that lock.  If it waits, a
third session tests every other lock: all that are taken must come before the awaited lock.  Functions that
never wait (skip locked) pass.  Two functions that follow the order cannot deadlock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.prove.lock_calls import CALLS, ELSEWHERE, Call, Key, busy
from tests.sql.laws.market_kit import Connection, Kit


@dataclass(frozen=True)
class Lock:
    """One lock: its place in the order, and the statement that takes it."""

    key: Key
    statement: str


def locks_of(db: Connection) -> list[Lock]:
    found = [Lock((0,), "lock table risk.gate in exclusive mode")]
    for rank, table, columns in (
        (1, "trade.balances", "account_id"),
        (2, "trade.positions", "account_id, instrument_id, owner"),
        (3, "trade.order_intents", "intent_id"),
        (4, "trade.orders", "order_id"),
    ):
        for row in db.execute(f"select {columns} from {table} order by {columns}".encode()).fetchall():
            where = " and ".join(f"{c} = '{v}'" for c, v in zip(columns.split(", "), row, strict=True))
            found.append(Lock((rank, *row), f"select from {table} where {where} for no key update"))
    return found


class Tracer:
    """Runs a call while one lock at a time is held, and rolls it back each time."""

    def __init__(self, kit: Kit, call: Call) -> None:
        self.kit = kit
        self.call = call
        self.runner = kit.connect(call[0])
        self.holder = kit.connect("superuser")
        self.prober = kit.connect("superuser")
        self.waited = 0

    def held_while_waiting_for(self, lock: Lock, locks: list[Lock]) -> list[Key]:
        with self.holder.transaction(force_rollback=True):
            self.holder.execute(lock.statement.encode())
            self.runner.execute("begin")
            future = self.kit.background(self.runner, self.call[1], *self.call[2])
            try:
                if not self._is_seen_waiting(future):
                    return []
                self.waited += 1
                return [other.key for other in locks if other is not lock and self._is_taken(other)]
            finally:
                self.prober.execute("select pg_cancel_backend(%s)", [self.runner.info.backend_pid])
                future.exception(20)
                self.runner.execute("rollback")

    def _is_seen_waiting(self, future: Any) -> bool:
        query = "select true from pg_stat_activity where pid = %s and wait_event_type = 'Lock'"
        while not future.done():
            if self.prober.execute(query, [self.runner.info.backend_pid]).fetchone():
                return True
        error = future.exception()
        assert error is None or error.sqlstate.startswith("TR"), error
        return False

    def _is_taken(self, lock: Lock) -> bool:
        try:
            with self.prober.transaction(force_rollback=True):
                self.prober.execute(f"{lock.statement} nowait".encode())
        except psycopg.errors.LockNotAvailable:
            return True
        return False


@pytest.mark.parametrize("name", CALLS)
def test_a_lock_is_waited_for_only_with_earlier_ones_in_hand(kit: Kit, name: str) -> None:
    busy(kit)
    tracer = Tracer(kit, CALLS[name](kit))
    for function in (
        "risk.lock_gate_exclusive()",
        "trade.lock_accounts(bigint[])",
        "trade.lock_free_intents(bigint[])",
    ):
        kit.db.execute(f"alter function {function} reset lock_timeout".encode())
    locks = locks_of(kit.db)

    broken = []
    for lock in locks:
        held = tracer.held_while_waiting_for(lock, locks)
        broken += [f"waits for {lock.key} with {key} in hand" for key in held if key > lock.key]

    assert broken == []
    assert tracer.waited or name in ("claim_cancels", "claim_doubts", "claim_checks"), (
        "it wanted none: it had nothing to do"
    )


def test_every_function_that_writes_is_traced(kit: Kit) -> None:
    writers = {
        name
        for (name,) in kit.db.execute(
            "select proname from pg_proc where pronamespace = 'api'::regnamespace and provolatile = 'v'"
            " and prorettype <> 'trigger'::regtype"
        )
    }
    traced = {name.split(",")[0] for name in CALLS}

    assert writers - traced - ELSEWHERE == set(), "trace them, or say that they are elsewhere"
    assert (traced | ELSEWHERE) - writers == set()
