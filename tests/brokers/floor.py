"""A market in a real database: the test acts as the feed and the desk, and calls the workers' drains."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

from tests.conftest import Connection, Login
from workers.reconcile import Reconcile
from workers.runtime.worker import Worker

Connect: TypeAlias = Callable[[str], Awaitable[Any]]
Hire: TypeAlias = Callable[[type[Worker]], Awaitable[Any]]


class Floor:
    """Two symbols, quoted 70,000 to 70,100; the test acts as the feed and the desk."""

    def __init__(self, db: Connection, login: Login, hire: Hire) -> None:
        self.db = db
        self.desk = login("aegis_desk")
        self._hire = hire
        self._seq = 0
        login("aegis_w_supervisor").execute("select begin_run()")
        for symbol in ("005930", "000660"):
            self.desk.execute("select add_instrument('SIM', %s, %s, 'KRW', 'KRX', 1)", [symbol, symbol])
        self.feed = login("aegis_w_price_sync")
        self.feed.execute("select open_feed('sim', 'SIM', 'sim')")
        for symbol in ("005930", "000660"):
            self.quote(symbol, 70_000, 70_100)

    def quote(self, symbol: str, bid: int, ask: int, size: int = 1000) -> None:
        self._seq += 1
        self.feed.execute(
            "select ingest_quotes('sim', %s, %s, %s, %s, array[1000], %s, %s)",
            [[symbol], [datetime.now(UTC)], [self._seq], [bid], [ask], [size]],
        )

    async def open_account(self, account: str, broker: str, *, deposit: int | None = None) -> None:
        """Add an account and let the real worker compare it with its broker, so that it may trade."""
        self.desk.execute(
            "select add_account(%s, %s, 'SIM', 'KRW', p_deposit => %s)", [account, broker, deposit]
        )
        await self._hire(Reconcile)

    def buy(self, account: str, quantity: int, limit: int | None = None) -> int:
        """Make an intent by hand; return its id."""
        row = self.desk.execute(
            "select create_intent(%s, '005930', 'BUY', %s, %s)", [account, quantity, limit]
        ).fetchone()
        assert row is not None
        return int(row[0])

    def rows(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        return self.db.execute(query.encode(), args).fetchall()
