-- 15_sessions_and_fees: what depends on the time of day or the date: session phases, fees and taxes, and when an
-- account day begins.

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

comment on function market.phase_at is 'The session phase of a venue at an instant; null when the venue is closed.';

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

comment on function market.fees_at is 'The commission and tax rates of a venue in force at an instant.';

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

comment on function market.day_start is
    'When the account day that contains an instant began. Days begin at the boundary, in the venue''s zone.';

create or replace function market.buy_cost_rate(
    p_venue text,
    p_at    timestamptz
)
returns numeric
language sql
stable
begin atomic
    select greatest(f.maker_rate, f.taker_rate) + f.buy_tax_rate
    from market.fees_at(p_venue, p_at) as f;
end;

comment on function market.buy_cost_rate is
    'Fee and tax of a buy at a venue, as a fraction of its notional, at the higher of the maker and taker rates.';
