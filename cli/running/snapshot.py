"""Read what the live status shows, from the views in `api` at one moment.

SQL computes the sums and distances from the same rows everybody sees; this module only passes them on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, LiteralString

from cli.common.context import fetch
from cli.common.formats import Row, since
from cli.common.health import HEALTH
from cli.database.catalog import Connection

STATUS = "select * from status"
TOTALS = "select * from totals"
LATENCY = "select hop, samples, p50_ms, p99_ms from latency"
FEEDS = "select * from feeds order by last_heard_at desc"
INCIDENTS = """
select kind, subject, coalesce(detail ->> 'message', detail::text) as what, opened_at
from incidents
where closed_at is null
order by opened_at desc
"""
REFUSAL = "select at, code, message, who, symbol from refusals order by at desc limit 1"
UNWELL = (
    "select name, state, detail ->> 'last_error' as error from workers where is_alive and state <> 'running'"
)
ACCOUNTS = """
select
    a.account, a.venue, a.currency, a.cash, a.equity, a.is_open, a.mode,
    coalesce(sum(p.realized_pnl), 0) as realized,
    coalesce(sum(p.unrealized_pnl), 0) as unrealized
from accounts as a
left join positions as p on p.account = a.account
group by a.account, a.venue, a.currency, a.cash, a.equity, a.is_open, a.mode
order by a.account
"""
POSITIONS = """
select
    p.account, p.symbol, p.owner, p.qty, p.locked_qty, p.bid, p.unrealized_pnl, p.note,
    trim_scale(round(p.avg_price, coalesce(scale(p.bid), 8) + 2)) as avg_price,
    round(100 * p.unrealized_pnl / nullif(p.cost, 0), 2) as gain,
    round(100 * (p.bid - p.stop_price) / nullif(p.bid, 0), 2) as to_stop,
    round(100 * (p.take_price - p.bid) / nullif(p.bid, 0), 2) as to_target
from positions as p
where p.qty > 0
order by p.opened_at, p.symbol, p.owner
"""
EVENTS = """
select e.event_id, e.at, e.entity, e.change,
    case e.entity
        when 'fill' then format('%%s%%s %%s %%s at %%s for %%s (%%s%%s)',
            case when e.change <> f.side then e.change || ': ' end, f.side,
            trim_scale(f.quantity), f.symbol, trim_scale(f.price), f.owner, f.reason,
            case f.side when 'SELL' then ', realized ' || trim_scale(round(f.realized_pnl, 2)) end)
        when 'mode' then format('%%s is %%s: %%s', e.data ->> 'name', e.change, e.data ->> 'reason')
        when 'feed' then format('%%s %%s: %%s', e.data ->> 'feed', e.change, e.data ->> 'detail')
        when 'strategy' then format('%%s %%s', e.data ->> 'strategy', e.change)
        when 'account' then format('%%s %%s', e.data ->> 'account', e.change)
        when 'refusal' then format('%%s: %%s', e.change, e.data ->> 'message')
        when 'incident' then format('%%s %%s %%s: %%s', e.change, e.data ->> 'kind', e.data ->> 'subject',
            coalesce(e.data -> 'detail' ->> 'message', e.data ->> 'detail'))
        else e.data ->> 'message'
    end as what
from events as e
left join fills as f on e.entity = 'fill' and f.fill_id = e.entity_id
where e.entity = any(array['fill', 'mode', 'feed', 'strategy', 'account', 'refusal', 'error', 'incident'])
  and e.event_id > %s
order by e.event_id desc
limit %s
"""

ABOUT_ALL = ("database", "workers")  # with problems of these the mode alone would mislead
MOST_EVENTS = 50
EVERY = 0.5  # the least number of seconds between two reads
SHARE = 0.1  # of the time may be spent reading: counting a year of rows takes a while


@dataclass(frozen=True)
class Snapshot:
    """Everything at one moment; `events` are those since the previous snapshot, oldest first."""

    status: Row
    totals: Row
    accounts: Sequence[Row]
    positions: Sequence[Row]
    feeds: Sequence[Row]
    latency: Sequence[Row]
    incidents: Sequence[Row]
    unwell: Sequence[Row]
    refusal: Row | None
    events: Sequence[Row]
    health: Sequence[Row] = ()
    unreachable: str = ""
    """Why this snapshot is out of date; empty if it is current."""

    @property
    def at(self) -> datetime:
        moment: datetime = self.status["at"]
        return moment

    @property
    def is_halted(self) -> bool:
        return bool(self.status["mode"] == "HALT")

    def as_of(self, moment: datetime, unreachable: str) -> Snapshot:
        """The same snapshot, shown later because no newer one can be read."""
        return replace(self, status={**self.status, "at": moment}, events=(), unreachable=unreachable)

    @property
    def last_event(self) -> int:
        return self.events[-1]["event_id"] if self.events else 0

    @property
    def doubt(self) -> str:
        """Why the mode shown may not describe what happens; empty if it does."""
        if self.unreachable:
            return f", but {self.unreachable}"
        about_all = [row for row in self.health if row["subject"] in ABOUT_ALL]
        dated = [row for row in about_all if row["since"] is not None]
        if dated:
            return f", but {dated[0]['problem']}{since(dated[0]['since'], self.at)}"
        return ", but the database accepts no writes" if about_all else ""

    def quotes(self) -> int:
        return int(self.totals["quotes"])

    def is_quiet(self) -> bool:
        """Whether there is no live intent and no live order."""
        return not self.status["live_intents"] and not self.status["live_orders"]


def look(conn: Connection, *, after_event: int = 0, events: int = MOST_EVENTS) -> Snapshot:
    """Read everything in one transaction, so that the numbers belong together."""

    def rows(query: LiteralString, *parameters: Any) -> list[dict[str, Any]]:
        return fetch(conn, query, parameters)

    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read, read only")
        conn.execute("set local statement_timeout = '30s'")  # another session may have locked what we read
        refusals = rows(REFUSAL)
        return Snapshot(
            status=rows(STATUS)[0],
            totals=rows(TOTALS)[0],
            accounts=rows(ACCOUNTS),
            positions=rows(POSITIONS),
            feeds=rows(FEEDS),
            latency=rows(LATENCY),
            incidents=rows(INCIDENTS),
            unwell=rows(UNWELL),
            refusal=refusals[0] if refusals else None,
            events=rows(EVENTS, after_event, events)[::-1],
            health=rows(HEALTH),
        )


def pause_after(took: float) -> float:
    """How many seconds to wait after a read that took `took` seconds."""
    return max(EVERY, took / SHARE)
