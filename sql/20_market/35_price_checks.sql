-- 35_price_checks: which quotes and trades are accepted.  Each rule is stated once.  PostgreSQL inlines these
-- functions into the ingest statements, so they must stay single expressions without SET clauses.

create or replace function market.is_timely(
    p_ts  timestamptz,
    p_now timestamptz,
    p_seq bigint
)
returns boolean
language sql
stable
parallel safe
begin atomic
    select p_ts <= p_now + interval '2 s' and p_ts >= '1970-01-01' and p_seq between 0 and 9000000000000000000;
end;

comment on function market.is_timely is
    'Whether a price can be ordered among others: at most 2 s ahead of our clock, not before 1970, and with a valid '
    'sequence number.';

create or replace function market.is_quote(
    p_ts       timestamptz,
    p_now      timestamptz,
    p_seq      bigint,
    p_bid      numeric,
    p_bid_size numeric,
    p_ask      numeric,
    p_ask_size numeric
)
returns boolean
language sql
stable
parallel safe
begin atomic
    -- A missing side is null or 0. Present values must be amounts (bus.is_amount); NaN sorts above Infinity, so this
    -- rejects it.
    select market.is_timely(p_ts, p_now, p_seq)
        and coalesce(least(p_bid, p_ask, p_bid_size, p_ask_size), 0) >= 0
        and coalesce(greatest(p_bid, p_ask, p_bid_size, p_ask_size), 0) < 1e18
        and coalesce(greatest(
            min_scale(p_bid), min_scale(p_ask), min_scale(p_bid_size), min_scale(p_ask_size)
        ), 0) <= 18;
end;

comment on function market.is_quote is
    'Whether a quote is accepted; the others are quarantined. Null when a required value is missing.';

create or replace function market.is_trade(
    p_ts    timestamptz,
    p_now   timestamptz,
    p_seq   bigint,
    p_price numeric,
    p_size  numeric
)
returns boolean
language sql
stable
parallel safe
begin atomic
    select market.is_timely(p_ts, p_now, p_seq)
        and p_price > 0 and p_size >= 0 and greatest(p_price, p_size) < 1e18
        and greatest(min_scale(p_price), min_scale(p_size)) <= 18;
end;

comment on function market.is_trade is
    'Whether a trade is accepted; the others are quarantined. Null when a required value is missing.';

create or replace function market.why_quarantined(
    p_instrument_id bigint,
    p_ts            timestamptz,
    p_now           timestamptz
)
returns text
language sql
stable
parallel safe
begin atomic
    select case
        when p_instrument_id is null then 'unknown symbol'
        when p_ts > p_now + interval '2 s' then 'from the future'
        else 'not a price'
    end;
end;

comment on function market.why_quarantined is 'The reason stored with a quarantined price.';

create or replace function market.last_seq_of(p_seqs bigint[])
returns bigint
language sql
immutable
parallel safe
begin atomic
    select max(s.seq) from unnest(p_seqs) as s (seq) where s.seq <= 9000000000000000000;
end;

comment on function market.last_seq_of is 'The highest valid sequence number of a batch.';

create or replace function market.lock_feed(p_feed text)
returns market.feeds
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_feed market.feeds;
begin
    select f.* into v_feed from market.feeds as f where f.feed = p_feed for no key update;

    if not found then
        raise exception 'feed % does not exist', left(p_feed, 100)
            using errcode = 'TRI02', hint = 'Call open_feed first.';
    end if;

    return v_feed;
end;
$$;

comment on function market.lock_feed is
    'Locks a feed, so that its batches are processed one after the other. Raises TRI02.';
