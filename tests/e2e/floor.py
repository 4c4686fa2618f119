"""A system with one real worker, execution; the test itself acts as the feed and the desk.

So a test can hold that process at a step of a send and knows everything else that happens.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.e2e.system import Process, System
from tests.workers.director import Director

SYMBOL = "005930"


class Floor:
    """A reconciled account, one symbol quoted at 70,000 to 70,100, and no worker yet."""

    def __init__(self, system: System, director: Director) -> None:
        self.system = system
        self.director = director
        self.seq = 0
        system.admin.execute("update trade.brokers set answer_timeout = '500 ms'")  # instead of 5 s
        system.login("aegis_w_supervisor").execute("select begin_run()")
        with system.login("aegis_w_reconcile") as conn:
            conn.execute(
                "select reconcile(a.account, a.fingerprint, paper_snapshot(a.account))"
                " from accounts_to_reconcile() as a"
            )
        self.feed = system.login("aegis_w_price_sync")
        self.feed.execute("select open_feed('sim', 'SIM', 'sim')")
        self.desk = system.desk()
        self.quote(70_000, 70_100)

    def execution(self) -> Process:
        """Start an execution process; the previous one may be dead, stopped or alive."""
        return self.system.spawn("execution", AEGIS_CHECKPOINTS=str(self.director.socket))

    def quote(self, bid: int, ask: int) -> None:
        self.seq += 1
        self.feed.execute(
            "select ingest_quotes('sim', %s, %s, %s, %s, array[1000], %s, array[1000])",
            [[SYMBOL], [datetime.now(UTC)], [self.seq], [bid], [ask]],
        )

    def intent(self, side: str = "BUY", quantity: int = 10, limit: int | None = None) -> int:
        """Create an intent by hand, after a fresh quote; return its id."""
        self.quote(70_000, 70_100)
        found = self.desk.execute(
            "select create_intent('demo', %s, %s, %s, %s)", [SYMBOL, side, quantity, limit]
        ).fetchone()
        assert found is not None
        return int(found[0])

    def orders(self, intent_id: int) -> list[tuple[Any, ...]]:
        """The orders of an intent: status, closed_reason, and whether the broker has received it."""
        return self.system.rows(
            """
            select o.status, o.closed_reason, p.client_order_id is not null
            from trade.orders as o
            left join paper.orders as p on p.client_order_id = o.client_order_id
            where o.intent_id = %s
            order by o.order_id
            """,
            [intent_id],
        )

    def wait_for_status(self, intent_id: int, status: str) -> None:
        self.system.wait_for(
            "select status = %s from trade.order_intents where intent_id = %s",
            [status, intent_id],
            what=f"intent {intent_id} to be {status}",
        )

    def close(self) -> None:
        self.feed.close()
        self.desk.close()
