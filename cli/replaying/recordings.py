"""Checks of a recording, made before anything is started for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from cli.common.context import fetch
from workers.feeds.errors import FeedError

if TYPE_CHECKING:
    from cli.database.catalog import Connection
    from workers.feeds.recording import RecordingFeed

Bands: TypeAlias = list[tuple[Decimal, Decimal]]

VENUES = """
select
    v.venue,
    exists (select from api.session_phases as p where p.venue = v.venue) as has_phases,
    exists (
        select from api.fee_rates as f
        where f.venue = v.venue and f.valid_from <= coalesce(%s::timestamptz, now())::date
    ) as has_fees
from api.venues as v
order by v.venue
"""


def check_venue(conn: Connection, venue: str, at: datetime | None = None) -> None:
    """Raise FeedError unless the venue exists, with session phases and with fees at `at` (default: now)."""
    venues = {row["venue"]: row for row in fetch(conn, VENUES, [at])}
    found = venues.get(venue)
    if found is None:
        raise FeedError(
            f"there is no venue {venue}",
            hint=f"It is --venue, or else the first word of the file's name. There are {', '.join(venues)}.",
        )
    if not found["has_phases"]:
        raise FeedError(f"venue {venue} has no session phases", hint="select * from session_phases;")
    if not found["has_fees"]:
        day = "today" if at is None else f"{at:%Y-%m-%d}"
        raise FeedError(f"venue {venue} has no fees for {day}", hint="select * from fee_rates;")


def check_played(conn: Connection, feed: RecordingFeed) -> Iterator[str]:
    """Check the first events of a recording that will be played as if it happened now.

    Raise FeedError if it cannot be played; yield the warnings to show before it starts.
    """
    from workers.feeds.grid import Grid
    from workers.feeds.survey import HEAD, Survey

    check_venue(conn, feed.venue)
    tables = tick_tables(conn)
    rows = fetch(
        conn, "select symbol, tick_table, lot_size from api.instruments where venue = %s", [feed.venue]
    )
    grids = {row["symbol"]: Grid(tables[row["tick_table"]], row["lot_size"]) for row in rows}
    head = Survey.of(feed.recording.path, grids, HEAD)
    head.check()
    if not head.quotes:
        yield f"The first {head.events} events of {head.file} are trades; nothing trades before a quote."
    if unknown := sorted(head.decimals.keys() - grids.keys()):
        listed = ", ".join(unknown[:5]) + ", ..." * (len(unknown) > 5)
        yield f"Not in the universe of {feed.venue}, so ignored: {listed}. Next: aegis universe add."
    if not fetch(conn, "select from api.accounts where venue = %s limit 1", [feed.venue]):
        yield f"No account trades on {feed.venue}, so nothing is bought. Next: aegis account add."


def tick_tables(conn: Connection) -> dict[str, Bands]:
    """All tick tables by name, each as a list of (price from, tick)."""
    found: dict[str, Bands] = {}
    for row in fetch(conn, "select tick_table, price_from, tick_size from api.tick_sizes order by 1, 2"):
        found.setdefault(row["tick_table"], []).append((row["price_from"], row["tick_size"]))
    return found
