-- 200_market: ticks, sessions, fees, and which prices may be believed.

create or replace function market.tick_size(
    p_tick_table text,
    p_price      numeric
)
returns numeric
language sql
stable
parallel safe
begin atomic
    select t.tick_size
    from market.tick_sizes as t
    where t.tick_table = p_tick_table
      and t.price_from <= p_price
    order by t.price_from desc
    limit 1;
end;

comment on function market.tick_size(text, numeric) is 'The price step at a price.';

create or replace function market.round_to_tick(
    p_tick_table text,
    p_price      numeric,
    p_side       text
)
returns numeric
language sql
stable
parallel safe
begin atomic
    -- div is exact; a quotient is rounded before floor sees it and may already be the next whole number.
    select (div(p_price, s.tick) + case when p_side <> 'BUY' and p_price % s.tick > 0 then 1 else 0 end) * s.tick
    from (select market.tick_size(p_tick_table, p_price) as tick) as s;
end;

comment on function market.round_to_tick(text, numeric, text) is
    'The nearest valid price that is not worse for the sender of a limit order: down for a buy, up for a sell.';

create or replace function market.is_enough(
    p_instrument market.instruments,
    p_quantity   numeric,
    p_price      numeric
)
returns boolean
language sql
immutable
parallel safe
begin atomic
    -- One expression, so that the planner puts it into the views that ask it.
    select p_quantity >= p_instrument.lot_size
        and div(p_quantity, p_instrument.lot_size) * p_instrument.lot_size * p_price >= p_instrument.min_notional;
end;

comment on function market.is_enough(market.instruments, numeric, numeric) is
    'Whether the whole lots in a quantity are an order its venue takes at a price.';

create or replace function market.phase_at(
    p_venue text,
    p_at    timestamptz
)
returns market.session_phases
language sql
stable
begin atomic
    select ph
    from market.venues as v
    cross join lateral (select p_at at time zone v.time_zone as at) as local
    join market.session_phases as ph on ph.venue = v.venue
    left join market.sessions as s on s.venue = v.venue and s.trading_day = local.at::date
    where v.venue = p_venue
      and local.at::time >= ph.starts
      and local.at::time < ph.ends
      and coalesce(s.is_open, extract(isodow from local.at)::integer = any(ph.weekdays));
end;

comment on function market.phase_at(text, timestamptz) is 'The phase a venue is in at an instant; null when it is closed.';

create or replace function market.fees_at(
    p_venue text,
    p_at    timestamptz
)
returns market.fee_rates
language sql
stable
begin atomic
    select f
    from market.fee_rates as f
    join market.venues as v on v.venue = f.venue
    where f.venue = p_venue
      and f.valid_from <= (p_at at time zone v.time_zone)::date
    order by f.valid_from desc
    limit 1;
end;

comment on function market.fees_at(text, timestamptz) is 'The commission and tax in force at an instant.';

-- A quote is fresh when its feed is alive and it is not older than its limit, nor from the future: then the clock
-- was put back, and nobody knows how old it is.  Which of its sides may be traded on is a question of its own.
create or replace view market.quotes_now as
select
    n.*,
    n.is_fresh and n.bid_is_sound as can_sell,
    n.is_fresh and n.ask_is_sound as can_buy
from (
    select
        b.instrument_id,
        b.source,
        b.bid,
        b.bid_size,
        b.ask,
        b.ask_size,
        b.last,
        b.mark,
        b.received_at,
        b.received_seq,
        b.bid_is_sound,
        b.ask_is_sound,
        f.status = 'CONNECTED'
        and f.last_heard_at between bus.clock() - f.max_silence and bus.clock() + interval '2 s'
        and b.received_at <= bus.clock() + interval '2 s'
        and least(b.quote_ts, b.received_at) >= bus.clock() - i.max_quote_age as is_fresh
    from market.prices_best as b
    join market.feeds as f on f.feed = b.feed
    join market.instruments as i on i.instrument_id = b.instrument_id
) as n;

comment on view market.quotes_now is
    'Best prices, each with whether it is fresh at this instant, and whether one may sell to its bid and buy at its ask.';

create or replace function market.mark(
    p_last numeric,
    p_mark numeric,
    p_bid  numeric,
    p_ask  numeric
)
returns numeric
language sql
immutable
parallel safe
begin atomic
    -- greatest and least pass over nulls: only the side that is there bounds the mark.
    select case
        when p_bid is null and p_ask is null then p_mark
        else least(greatest(coalesce(p_last, p_bid, p_mark, p_ask), p_bid), p_ask)
    end;
end;

comment on function market.mark(numeric, numeric, numeric, numeric) is
    'What a unit is worth, from the last price, the mark before, and the sound bid and ask: never below that bid nor above that ask; without either the mark before.';

create or replace function market.day_start(
    p_time_zone text,
    p_boundary  time,
    p_at        timestamptz
)
returns timestamptz
language sql
stable
parallel safe
begin atomic
    select (
        date_trunc('day', (p_at at time zone p_time_zone) - p_boundary::interval) + p_boundary::interval
    ) at time zone p_time_zone;
end;

comment on function market.day_start(text, time, timestamptz) is
    'When the account day that an instant falls in began; days begin at the boundary in the venue''s zone.';
