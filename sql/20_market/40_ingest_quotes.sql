-- 40_ingest_quotes: prices come in.  Set-based and monotone: the newest by (venue time, arrival) wins, whatever
-- the order batches arrive in, so a batch may be sent again.  Whatever is not applied is counted.

create or replace function market.quarantine_quotes(
    p_feed      market.feeds,
    p_now       timestamptz,
    p_symbols   text[],
    p_ts        timestamptz[],
    p_seqs      bigint[],
    p_bids      numeric[],
    p_bid_sizes numeric[],
    p_asks      numeric[],
    p_ask_sizes numeric[]
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    insert into market.quarantine (feed, symbol, reason, data)
    select
        p_feed.feed,
        left(coalesce(r.symbol, ''), 100),
        market.why_quarantined(i.instrument_id, r.ts, p_now),
        jsonb_build_object(
            'ts', r.ts, 'seq', r.seq, 'bid', bus.clip_number(r.bid), 'bid_size', bus.clip_number(r.bid_size),
            'ask', bus.clip_number(r.ask), 'ask_size', bus.clip_number(r.ask_size)
        )
    from unnest(p_symbols, p_ts, p_seqs, p_bids, p_bid_sizes, p_asks, p_ask_sizes)
        as r (symbol, ts, seq, bid, bid_size, ask, ask_size)
    left join market.instruments as i on i.venue = p_feed.venue and i.symbol = r.symbol
    where i.instrument_id is null
       or market.is_quote(r.ts, p_now, r.seq, r.bid, r.bid_size, r.ask, r.ask_size) is not true;

    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

comment on function market.quarantine_quotes is
    'Keeps the quotes of a batch that cannot be used, with the reason; returns how many.';

create or replace function api.ingest_quotes(
    p_feed      text,
    p_symbols   text[],
    p_quote_ts  timestamptz[],
    p_seqs      bigint[],
    p_bids      numeric[],
    p_bid_sizes numeric[],
    p_asks      numeric[],
    p_ask_sizes numeric[]
)
returns table (applied integer, superseded integer, quarantined integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan  -- a plan for each batch takes longer than the batch
as $$
declare
    v_feed        market.feeds := market.lock_feed(p_feed);
    v_now         timestamptz := bus.clock();
    v_total       integer := cardinality(p_symbols);
    v_good        integer;
    v_applied     integer;
    v_quarantined integer := 0;
begin
    with raw as (
        select *
        from unnest(p_symbols, p_quote_ts, p_seqs, p_bids, p_bid_sizes, p_asks, p_ask_sizes)
            as r (symbol, ts, seq, bid, bid_size, ask, ask_size)
    ),

    good as (
        select
            i.instrument_id,
            i.limit_low,
            i.limit_high,
            r.*,
            coalesce(r.bid > 0 and r.bid_size > 0, false) as has_bid,
            coalesce(r.ask > 0 and r.ask_size > 0, false) as has_ask
        from raw as r
        join market.instruments as i on i.venue = v_feed.venue and i.symbol = r.symbol
        where market.is_quote(r.ts, v_now, r.seq, r.bid, r.bid_size, r.ask, r.ask_size)
    ),

    newest as (
        select distinct on (g.instrument_id) g.*
        from good as g
        order by g.instrument_id, g.ts desc, g.seq desc
    ),

    judged as (
        -- A quote is crossed only where it has both sides; a limit that is not set limits nothing.
        select
            n.*,
            n.has_bid and (not n.has_ask or n.bid <= n.ask)
            and (n.bid < n.limit_low or n.bid > n.limit_high) is not true as bid_is_sound,
            n.has_ask and (not n.has_bid or n.bid <= n.ask)
            and (n.ask < n.limit_low or n.ask > n.limit_high) is not true as ask_is_sound
        from newest as n
    ),

    written as (
        insert into market.prices_best as b (
            instrument_id, feed, source, bid, bid_size, ask, ask_size, quote_ts, received_seq, received_at,
            bid_is_sound, ask_is_sound, mark
        )
        select
            j.instrument_id,
            p_feed,
            v_feed.source,
            case when j.has_bid then j.bid end,
            case when j.has_bid then j.bid_size end,
            case when j.has_ask then j.ask end,
            case when j.has_ask then j.ask_size end,
            j.ts,
            j.seq,
            v_now,
            j.bid_is_sound,
            j.ask_is_sound,
            case when j.bid_is_sound then j.bid when j.ask_is_sound then j.ask end
        from judged as j
        order by j.instrument_id
        on conflict (instrument_id) do update
        set feed = excluded.feed,
            source = excluded.source,
            bid = excluded.bid,
            bid_size = excluded.bid_size,
            ask = excluded.ask,
            ask_size = excluded.ask_size,
            quote_ts = excluded.quote_ts,
            received_seq = excluded.received_seq,
            received_at = excluded.received_at,
            bid_is_sound = excluded.bid_is_sound,
            ask_is_sound = excluded.ask_is_sound,
            mark = case
                -- What market.mark says of both sides, without asking about either again: nearly every quote.
                when excluded.bid_is_sound and excluded.ask_is_sound
                    then least(greatest(coalesce(b.last, excluded.bid), excluded.bid), excluded.ask)
                else market.mark(
                    b.last, b.mark,
                    case when excluded.bid_is_sound then excluded.bid end,
                    case when excluded.ask_is_sound then excluded.ask end
                )
            end
        where b.quote_ts is null
           or (excluded.quote_ts, excluded.received_seq) > (b.quote_ts, b.received_seq)
        returning 1
    )

    select
        (select count(*) from good),
        (select count(*) from written)
    into v_good, v_applied;

    if v_good < v_total then
        v_quarantined := market.quarantine_quotes(v_feed, v_now, p_symbols, p_quote_ts, p_seqs, p_bids, p_bid_sizes,
            p_asks, p_ask_sizes);
    end if;

    update market.feeds as f
    set quotes_applied = f.quotes_applied + v_applied,
        quotes_superseded = f.quotes_superseded + v_good - v_applied,
        quotes_quarantined = f.quotes_quarantined + v_quarantined,
        last_seq = greatest(f.last_seq, (
            select max(s.seq) from unnest(p_seqs) as s (seq) where s.seq <= 9000000000000000000
        )),
        last_heard_at = v_now
    where f.feed = p_feed;

    return query select v_applied, v_good - v_applied, v_quarantined;
end;
$$;

comment on function api.ingest_quotes is
    'Takes a batch of quotes; a side that is not there is null or 0, in price or size. Returns how many were '
    'applied, superseded by newer ones and quarantined. Raises TRI02.';
