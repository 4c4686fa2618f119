"""Measure from rows how long stops and picks wait during an attack.

A trigger on the prices, which only a superuser can add, records when an exit's price was reached.  The quote
that the exit fired on may be a later one and would hide how long the stop had to wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from tests.e2e.system import System

SET_UP = """
create schema attack;

-- One row each time a bid comes to an armed stop or target, until the position changed or the bid went away.
create table attack.reached (
    account_id bigint, instrument_id bigint, owner text, version bigint, stop_price numeric,
    take_price numeric, reached_at timestamptz, quote_at timestamptz, left_at timestamptz,
    left_quote_at timestamptz default 'infinity'
);
create index on attack.reached (instrument_id) where left_at is null;

create function attack.tg_note() returns trigger language plpgsql security definer as $$
begin
    update attack.reached as r
    set left_at = clock_timestamp(), left_quote_at = new.received_at
    where r.instrument_id = new.instrument_id
      and r.left_at is null
      and not coalesce(new.bid <= r.stop_price or new.bid >= r.take_price, false);

    insert into attack.reached (
        account_id, instrument_id, owner, version, stop_price, take_price, reached_at, quote_at
    )
    select
        e.account_id, e.instrument_id, e.owner, p.version, e.stop_price, e.take_price,
        clock_timestamp(), new.received_at
    from trade.position_exits as e
    join trade.positions as p using (account_id, instrument_id, owner)
    where e.instrument_id = new.instrument_id
      and e.is_armed
      and p.qty > p.locked_qty
      and (e.not_before is null or e.not_before <= clock_timestamp())
      and new.bid > 0 and new.bid < new.ask
      and (new.bid <= e.stop_price or new.bid >= e.take_price)
      and not exists (
          select
          from attack.reached as r
          where (r.instrument_id, r.account_id, r.owner, r.version)
              = (e.instrument_id, e.account_id, e.owner, p.version)
            and r.left_at is null
      );
    return null;
end;
$$;

create trigger zzz_note after update on market.prices_best for each row execute function attack.tg_note();

-- A fill changes the average price and so stop and target: what was reached before is over, fired or not.
create function attack.tg_changed() returns trigger language plpgsql security definer as $$
begin
    update attack.reached as r
    set left_at = clock_timestamp(), left_quote_at = clock_timestamp()
    where (r.account_id, r.instrument_id, r.owner) = (new.account_id, new.instrument_id, new.owner)
      and r.version < new.version
      and r.left_at is null;
    return null;
end;
$$;

create trigger zzz_changed after update on trade.positions for each row execute function attack.tg_changed();
"""
# If the bid left the exit's price before the exit fired, count how long it was there: a lower bound.
STOPS = """
select extract(epoch from coalesce(o.created_at, r.left_at) - r.reached_at)::float8
from attack.reached as r
left join lateral (
    select o.created_at
    from trade.order_intents as i
    join trade.orders as o on o.intent_id = i.intent_id
    where (i.account_id, i.instrument_id, i.owner) = (r.account_id, r.instrument_id, r.owner)
      and i.intent_type = 'EXIT' and i.pick_id is null
      and i.quote_at >= r.quote_at and i.quote_at < r.left_quote_at
    order by o.order_id
    limit 1
) as o on true
where r.reached_at between %s and %s
  and coalesce(o.created_at, r.left_at) is not null
  -- A stop waits for a person while the system is halted, and shortly after for what the halt left.
  and not exists (
      select
      from unnest(%s::timestamptz[], %s::timestamptz[]) as h (halted, resumed)
      where r.reached_at between h.halted - interval '1 s' and h.resumed + interval '1 s'
  )
"""
PICKS = """
select extract(epoch from p.routed_at - p.created_at)::float8
from strategy.picks as p
where p.strategy = any(%s) and p.created_at between %s and %s and p.routed_at is not null
"""
WAITING = """
select count(*) from strategy.picks as p
where p.strategy = any(%s) and p.status = 'NEW' and p.created_at < clock_timestamp() - interval '1 s'
"""


@dataclass
class Figures:
    """Delays in seconds, sorted."""

    stops: list[float] = field(default_factory=list)
    picks: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stops.sort()
        self.picks.sort()


class Observer:
    """Observes one system as a superuser."""

    def __init__(self, system: System, honest: list[str]) -> None:
        self.system = system
        self.honest = honest
        self.halts: list[tuple[datetime, datetime]] = []
        system.admin.execute(SET_UP)

    def now(self) -> datetime:
        moment: datetime = self.system.value("select clock_timestamp()")
        return moment

    def figures(self, since: datetime, until: datetime) -> Figures:
        halted, resumed = [h[0] for h in self.halts], [h[1] for h in self.halts]
        stops = self.system.rows(STOPS, [since, until, halted, resumed])
        picks = self.system.rows(PICKS, [self.honest, since, until])
        return Figures([row[0] for row in stops], [row[0] for row in picks])

    def overdue_picks(self) -> int:
        """The number of picks of honest strategies that have waited for more than a second."""
        return int(self.system.value(WAITING, [self.honest]))


def percentile(values: list[float], share: float) -> float:
    """A percentile of sorted values; NaN if there are none."""
    return values[min(int(len(values) * share), len(values) - 1)] if values else float("nan")
