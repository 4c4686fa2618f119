"""Quotes at the price limits, in a running system with its real exits, lanes and paper broker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from tests.e2e.system import Connection, System
from workers.feeds.recording import HEADER

BUY = "select create_intent('demo', %s, 'BUY', 10, null, 'test', 'momentum', 'ENTRY')"
INGEST = """
select ingest_quotes('limits', %s::text[], %s::timestamptz[], %s::bigint[],
    %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[])
"""
# symbol: (bid, bid size, ask, ask size) in phase 0, then in phase 1
BOOKS: dict[str, tuple[tuple[int | None, ...], tuple[int | None, ...]]] = {
    "005930": ((70_000, 999, 70_100, 999), (91_000, 500_000, None, None)),  # limit up: nobody offers
    "000660": ((186_500, 999, 187_000, 999), (150_000, 999, 150_000, 999)),  # locked
    "035420": ((168_900, 999, 169_000, 999), (0, 0, 118_300, 500_000)),  # limit down: nobody bids
    "005380": ((243_500, 999, 244_000, 999), (900_000, 999, 800_000, 999)),  # crossed
}
SALES = """
select f.symbol, f.reason, f.price, f.quantity
from api.fills as f
where f.side = 'SELL' and f.owner = 'momentum'
order by f.symbol
"""


def ended(file: Path) -> str:
    """Write a recording that ends at once, since the test sends the quotes; return the feed's name."""
    file.write_text(f"{HEADER}\n2025-01-02T00:00:00Z,005930,70000,1,70100,1,,\n")
    file.chmod(0o644)
    file.parent.chmod(0o755)
    return f"replay:{file}"


def market(feed: Connection, phase: int) -> Callable[[], None]:
    """Return a function that quotes every symbol once as the feed's login and notifies `prices_reached`."""
    numbers = count(phase * 1_000_000 + 1)

    def quote() -> None:
        now = datetime.now(UTC) + timedelta(seconds=phase)  # later than any quote before
        columns: list[Any] = [
            list(column) for column in zip(*(book[phase] for book in BOOKS.values()), strict=True)
        ]
        feed.execute(INGEST, [list(BOOKS), [now] * len(BOOKS), [next(numbers) for _ in BOOKS], *columns])
        feed.execute("select pg_notify('prices_reached', '')")

    return quote


def test_targets_and_stops_trade_the_side_that_is_sound_and_nothing_is_valued_by_another(
    system: System, tmp_path: Path
) -> None:
    system.start(ended(tmp_path / "sim_limits.csv"))
    with system.login("aegis_w_price_sync") as feed, system.desk() as desk:
        feed.execute("select open_feed('limits', 'SIM', 'sim')")

        def wait(quote: Callable[[], None], query: str, what: str) -> None:
            system.wait_until(lambda: (quote(), system.value(query))[1], within=60, what=what)

        two_sided, limits = market(feed, 0), market(feed, 1)
        two_sided()
        for symbol in BOOKS:
            desk.execute(BUY, [symbol])
        wait(two_sided, "select sum(qty) = 40 from api.positions where owner = 'momentum'", "four positions")

        wait(limits, "select sum(quantity) = 20 from api.fills where side = 'SELL'", "a target and a stop")

        assert [tuple(row) for row in system.rows(SALES)] == [
            ("000660", "STOP_LOSS", 150_000, 10),
            ("005930", "TAKE_PROFIT", 91_000, 10),
        ]
        notes = dict(
            system.rows("select symbol, note from api.positions where qty > 0 and owner = 'momentum'")
        )
        assert notes["035420"].startswith("nobody bids")
        assert notes["005380"].startswith("the quote is crossed")
        system.rows("select api.measure_equity()")
        assert system.value("select max(peak) < 101000000 from api.performance")
