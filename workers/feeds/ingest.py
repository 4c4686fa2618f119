"""Pass events to SQL: one statement per batch, so a batch is taken whole or not at all.

The arrays are sent as text literals that PostgreSQL casts.  Building such a literal is one string join, while
asyncpg's codecs would convert every price to a Decimal first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from workers.feeds import Event, Quote, Trade

ONLY_QUOTES = """
select q.applied, q.superseded, q.quarantined, api.prices_reach($2::text[])
from api.ingest_quotes(
    $1, $2::text[], $3::text::timestamptz[], $4::text::bigint[],
    $5::text::numeric[], $6::text::numeric[], $7::text::numeric[], $8::text::numeric[]
) as q
"""
ONLY_TRADES = """
select t.applied, t.superseded, t.quarantined, false
from api.ingest_trades(
    $1, $2::text[], $3::text::timestamptz[], $4::text::bigint[], $5::text::numeric[], $6::text::numeric[]
) as t
"""
BOTH = """
select q.applied + t.applied, q.superseded + t.superseded, q.quarantined + t.quarantined,
    api.prices_reach($2::text[])
from api.ingest_quotes(
    $1, $2::text[], $3::text::timestamptz[], $4::text::bigint[],
    $5::text::numeric[], $6::text::numeric[], $7::text::numeric[], $8::text::numeric[]
) as q
cross join api.ingest_trades(
    $1, $9::text[], $10::text::timestamptz[], $11::text::bigint[], $12::text::numeric[], $13::text::numeric[]
) as t
"""


class Database(Protocol):
    """What this module needs of a connection or a pool."""

    async def fetchrow(self, query: str, *args: object) -> Any: ...


@dataclass(slots=True)
class Counts:
    """How many events SQL applied, superseded and quarantined."""

    applied: int = 0
    superseded: int = 0
    quarantined: int = 0

    def add(self, other: Counts) -> None:
        self.applied += other.applied
        self.superseded += other.superseded
        self.quarantined += other.quarantined

    @property
    def total(self) -> int:
        return self.applied + self.superseded + self.quarantined


async def ingest(db: Database, feed: str, first_seq: int, events: Sequence[Event]) -> tuple[Counts, bool]:
    """Pass a batch to SQL in one transaction, its events numbered in order from `first_seq`.

    Return also whether the new prices have reached an exit or an order.
    """
    quotes: list[Quote] = []
    trades: list[Trade] = []
    quote_seqs: list[int] = []
    trade_seqs: list[int] = []
    for seq, event in enumerate(events, start=first_seq):
        if type(event) is Quote:
            quotes.append(event)
            quote_seqs.append(seq)
        else:
            trades.append(event)  # type: ignore[arg-type]  # the only other kind; isinstance costs twice
            trade_seqs.append(seq)
    if not trades:
        row = await db.fetchrow(ONLY_QUOTES, feed, *_quotes(quotes, quote_seqs))
    elif not quotes:
        row = await db.fetchrow(ONLY_TRADES, feed, *_trades(trades, trade_seqs))
    else:
        row = await db.fetchrow(BOTH, feed, *_quotes(quotes, quote_seqs), *_trades(trades, trade_seqs))
    *counts, reached = row
    return Counts(*counts), reached


def _quotes(quotes: list[Quote], seqs: list[int]) -> tuple[object, ...]:
    return (
        [quote.symbol for quote in quotes],
        _literal([quote.ts.isoformat() for quote in quotes]),
        _literal(map(str, seqs)),
        _literal([quote.bid for quote in quotes]),
        _literal([quote.bid_size for quote in quotes]),
        _literal([quote.ask for quote in quotes]),
        _literal([quote.ask_size for quote in quotes]),
    )


def _trades(trades: list[Trade], seqs: list[int]) -> tuple[object, ...]:
    return (
        [trade.symbol for trade in trades],
        _literal([trade.ts.isoformat() for trade in trades]),
        _literal(map(str, seqs)),
        _literal([trade.price for trade in trades]),
        _literal([trade.size for trade in trades]),
    )


def _literal(values: Iterable[str]) -> str:
    """An array literal of numbers or times, which need no quotes."""
    return "{" + ",".join(values) + "}"
