-- 40_ingest_quotes: storing quotes.  Set-based and monotone: the newest by (venue time, arrival) wins, in whatever
-- order batches arrive, so a batch may be sent again.  Quotes that are not applied are counted.

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
    'Quarantines the unusable quotes of a batch, each with the reason; returns how many.';

create or replace function market.judge_quotes(
    p_feed      market.feeds,
    p_now       timestamptz,
    p_symbols   text[],
    p_quote_ts  timestamptz[],
    p_seqs      bigint[],
    p_bids      numeric[],
    p_bid_sizes numeric[],
    p_asks      numeric[],
    p_ask_sizes numeric[]
)
returns table (
    instrument_id bigint,
    ts            timestamptz,
    seq           bigint,
    bid           numeric,
    bid_size      numeric,
    ask           numeric,
    ask_size      numeric,
    bid_is_sound  boolean,
    ask_is_sound  boolean,
    is_newest     boolean
)
language sql
stable
begin atomic
    select
        g.instrument_id,
        g.ts,
        g.seq,
        case when g.has_bid then g.bid end,
        case when g.has_bid then g.bid_size end,
        case when g.has_ask then g.ask end,
        case when g.has_ask then g.ask_size end,
        -- A quote can be crossed only if it has both sides. A price limit that is null does not apply.
        g.has_bid and (not g.has_ask or g.bid <= g.ask)
        and (g.bid < g.limit_low or g.bid > g.limit_high) is not true,
        g.has_ask and (not g.has_bid or g.bid <= g.ask)
        and (g.ask < g.limit_low or g.ask > g.limit_high) is not true,
        row_number() over (partition by g.instrument_id order by g.ts desc, g.seq desc) = 1
    from (
        select
            i.instrument_id,
            i.limit_low,
            i.limit_high,
            r.ts,
            r.seq,
            r.bid,
            r.bid_size,
            r.ask,
            r.ask_size,
            coalesce(r.bid > 0 and r.bid_size > 0, false) as has_bid,
            coalesce(r.ask > 0 and r.ask_size > 0, false) as has_ask
        from unnest(p_symbols, p_quote_ts, p_seqs, p_bids, p_bid_sizes, p_asks, p_ask_sizes)
            as r (symbol, ts, seq, bid, bid_size, ask, ask_size)
        join market.instruments as i on i.venue = p_feed.venue and i.symbol = r.symbol
        where market.is_quote(r.ts, p_now, r.seq, r.bid, r.bid_size, r.ask, r.ask_size)
    ) as g;
end;

comment on function market.judge_quotes is
    'The accepted quotes of a batch: which sides exist and are sound, and which quote is the newest of its '
    'instrument.';

create or replace function market.write_quotes(
    p_feed        market.feeds,
    p_now         timestamptz,
    p_symbols     text[],
    p_ts          timestamptz[],
    p_seqs        bigint[],
    p_bids        numeric[],
    p_bid_sizes   numeric[],
    p_asks        numeric[],
    p_ask_sizes   numeric[],
    out p_good    integer,
    out p_applied integer
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan  -- planning a batch takes longer than running it
as $$
begin
    with judged as (
        select j.*
        from market.judge_quotes(
            p_feed, p_now, p_symbols, p_ts, p_seqs, p_bids, p_bid_sizes, p_asks, p_ask_sizes
        ) as j
    ),

    written as (
        insert into market.prices_best as b (
            instrument_id, feed, source, bid, bid_size, ask, ask_size, quote_ts, received_seq, received_at,
            bid_is_sound, ask_is_sound, mark
        )
        select
            j.instrument_id,
            p_feed.feed,
            p_feed.source,
            j.bid,
            j.bid_size,
            j.ask,
            j.ask_size,
            j.ts,
            j.seq,
            p_now,
            j.bid_is_sound,
            j.ask_is_sound,
            case when j.bid_is_sound then j.bid when j.ask_is_sound then j.ask end
        from judged as j
        where j.is_newest
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
            mark = market.mark_of_quote(
                b.last, b.mark, excluded.bid, excluded.bid_is_sound, excluded.ask, excluded.ask_is_sound
            )
        where b.quote_ts is null
           or (excluded.quote_ts, excluded.received_seq) > (b.quote_ts, b.received_seq)
        returning 1
    )

    select
        (select count(*) from judged),
        (select count(*) from written)
    into p_good, p_applied;
end;
$$;

comment on function market.write_quotes is
    'Writes the newest good quote of each instrument if it is newer than the stored one; returns how many quotes '
    'were good and how many were written.';

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
as $$
declare
    v_feed        market.feeds := market.lock_feed(p_feed);
    v_now         timestamptz := bus.clock();
    v_total       integer := cardinality(p_symbols);
    v_good        integer;
    v_applied     integer;
    v_quarantined integer := 0;
begin
    select w.p_good, w.p_applied
    into v_good, v_applied
    from market.write_quotes(
        v_feed, v_now, p_symbols, p_quote_ts, p_seqs, p_bids, p_bid_sizes, p_asks, p_ask_sizes
    ) as w;

    if v_good < v_total then
        v_quarantined := market.quarantine_quotes(v_feed, v_now, p_symbols, p_quote_ts, p_seqs, p_bids, p_bid_sizes,
            p_asks, p_ask_sizes);
    end if;

    update market.feeds as f
    set quotes_applied = f.quotes_applied + v_applied,
        quotes_superseded = f.quotes_superseded + v_good - v_applied,
        quotes_quarantined = f.quotes_quarantined + v_quarantined,
        last_seq = greatest(f.last_seq, market.last_seq_of(p_seqs)),
        last_heard_at = v_now
    where f.feed = p_feed;

    return query select v_applied, v_good - v_applied, v_quarantined;
end;
$$;

comment on function api.ingest_quotes is
    'Stores a batch of quotes. A missing side has null or 0 as its price or size. Returns how many were applied, '
    'superseded by newer ones, and quarantined. Raises TRI02.';
