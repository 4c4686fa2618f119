-- 30_market: prices, instruments and feeds.

create or replace view api.prices as
select
    i.symbol,
    i.venue,
    q.bid,
    q.bid_size,
    q.ask,
    q.ask_size,
    q.last,
    q.source,
    q.received_seq,
    q.received_at,
    q.is_fresh,
    q.bid_is_sound,
    q.ask_is_sound,
    q.can_sell,
    q.can_buy
from market.quotes_now as q
join market.instruments as i on i.instrument_id = q.instrument_id;

comment on view api.prices is
    'Best prices; null on a side without a quote. is_fresh says that the quote is current, can_sell and can_buy that '
    'one may sell to its bid and buy at its ask.';

create or replace view api.instruments as
select
    i.symbol, i.venue, i.name, i.currency, i.tick_table, i.lot_size, i.min_notional, i.limit_low, i.limit_high,
    i.max_quote_age, i.is_active
from market.instruments as i;

comment on view api.instruments is 'The universe: what can be traded and its rules.';

create or replace view api.feeds as
select
    f.feed, f.venue, f.source, f.status, f.detail, f.last_heard_at,
    f.quotes_applied, f.quotes_superseded, f.quotes_quarantined,
    f.trades_applied, f.trades_superseded, f.trades_quarantined
from market.feeds as f;

comment on view api.feeds is
    'Price feeds, their status, and how many of their quotes and trades were applied, superseded or quarantined.';

create or replace view api.quarantine as
select k.quarantine_id, k.feed, k.symbol, k.reason, k.data, k.received_at
from market.quarantine as k;

comment on view api.quarantine is 'Prices that were refused.';

create or replace view api.venues as
select v.venue, v.name, v.time_zone, v.taker_cap_rate, v.stop_cap_rate
from market.venues as v;

comment on view api.venues is 'Venues, and how far beyond the best price orders may go.';

create or replace view api.tick_sizes as
select t.tick_table, t.price_from, t.tick_size
from market.tick_sizes as t;

comment on view api.tick_sizes is 'Tick sizes by price band.';

create or replace view api.fee_rates as
select f.venue, f.valid_from, f.maker_rate, f.taker_rate, f.buy_tax_rate, f.sell_tax_rate
from market.fee_rates as f;

comment on view api.fee_rates is 'Commission and tax by venue, as fractions, each valid from its first day on.';

create or replace view api.session_phases as
select p.venue, p.phase, p.starts::text as starts, p.ends::text as ends, p.weekdays,
    p.is_auction, p.poll_interval, p.exits_fire
from market.session_phases as p;

comment on view api.session_phases is 'When venues trade, in the venue''s own time zone.';
