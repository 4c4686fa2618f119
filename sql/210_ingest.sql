-- 210_ingest: prices come in.  Set-based and monotone: the newest by (venue time, arrival) wins, whatever
-- the order batches arrive in, so a batch may be sent again.  Whatever is not applied is counted.

create or replace function api.open_feed(
    p_feed   text,
    p_venue  text,
    p_source text
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_next_seq bigint;
begin
    perform bus.require_text('the feed', p_feed), bus.require_text('the venue', p_venue);

    if p_feed is null or (p_source in ('live', 'sim', 'replay')) is not true then
        perform bus.refuse_argument('a feed', 'named, and its source live, sim or replay');
    end if;

    if p_source is distinct from 'live' and exists (select from bus.instance as n where n.kind = 'live') then
        raise exception 'a % feed cannot bring prices into a live database', p_source
            using errcode = 'TRI04',
                  hint = 'Simulated and recorded prices belong in the demo or a replay: aegis up, aegis replay.';
    end if;

    if not exists (select from market.venues as v where v.venue = p_venue) then
        raise exception 'there is no venue %', p_venue
            using errcode = 'TRI02',
                  hint = 'select * from venues; a recording is named after its venue: binance_20240808.csv.gz.';
    end if;

    insert into market.feeds as f (feed, venue, source, status, run_number)
    select p_feed, p_venue, p_source, 'CONNECTED', n.run_number
    from bus.instance as n
    on conflict (feed) do update
    set venue = excluded.venue,
        source = excluded.source,
        status = 'CONNECTED',
        detail = '',
        seq_before_run = case when f.run_number = excluded.run_number then f.seq_before_run else f.last_seq end,
        run_number = excluded.run_number,
        last_heard_at = bus.clock()
    returning f.last_seq + 1 into v_next_seq;

    return v_next_seq;
end;
$$;

comment on function api.open_feed(text, text, text) is
    'Declares a feed connected; source is live, sim or replay. Returns the next received_seq to use. Raises TRI01, TRI02, TRI04.';

create or replace function api.feed_position(p_feed text)
returns bigint
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select f.last_seq - f.seq_before_run from market.feeds as f where f.feed = p_feed;
end;

comment on function api.feed_position(text) is
    'How many events a feed has brought since all workers were last started: where a recording goes on after a crash of its reader.';

create or replace function api.feed_status(
    p_feed   text,
    p_status text,
    p_detail text
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before text;
    v_detail text := left(coalesce(p_detail, ''), 2000);
begin
    if (p_status in ('CONNECTED', 'DISCONNECTED', 'ENDED')) is not true then
        perform bus.refuse_argument('the status', 'CONNECTED, DISCONNECTED or ENDED');
    end if;

    select f.status into v_before from market.feeds as f where f.feed = p_feed for no key update;

    if not found then
        raise exception 'feed % does not exist', left(p_feed, 100) using errcode = 'TRI02', hint = 'Call open_feed first.';
    end if;

    update market.feeds as f
    set status = p_status,
        detail = v_detail,
        last_heard_at = bus.clock()
    where f.feed = p_feed;

    if v_before is distinct from p_status then
        perform bus.record_event('feed', null, p_status, null,
            jsonb_build_object('feed', p_feed, 'before', v_before, 'detail', v_detail));
    end if;
end;
$$;

comment on function api.feed_status(text, text, text) is
    'Heartbeat of a feed: CONNECTED, DISCONNECTED or ENDED, and a word for people. Raises TRI01, TRI02.';

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
    v_feed        market.feeds;
    v_now         timestamptz := bus.clock();
    v_total       integer := cardinality(p_symbols);
    v_good        integer;
    v_applied     integer;
    v_quarantined integer := 0;
begin
    select f.* into v_feed from market.feeds as f where f.feed = p_feed for no key update;

    if not found then
        raise exception 'feed % does not exist', left(p_feed, 100) using errcode = 'TRI02', hint = 'Call open_feed first.';
    end if;

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
        where r.ts <= v_now + interval '2 s'
          and r.ts >= '1970-01-01'
          and r.seq between 0 and 9000000000000000000
          -- A side that is not there is null or 0; what is there is an amount (bus.is_amount), and NaN sorts last.
          and coalesce(least(r.bid, r.ask, r.bid_size, r.ask_size), 0) >= 0
          and coalesce(greatest(r.bid, r.ask, r.bid_size, r.ask_size), 0) < 1e18
          and coalesce(greatest(
              min_scale(r.bid), min_scale(r.ask), min_scale(r.bid_size), min_scale(r.ask_size)
          ), 0) <= 18
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
        v_quarantined := market.quarantine_rest(v_feed, v_now, p_symbols, p_quote_ts, p_seqs, p_bids, p_bid_sizes,
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

comment on function api.ingest_quotes(text, text[], timestamptz[], bigint[], numeric[], numeric[], numeric[], numeric[]) is
    'Takes a batch of quotes; a side that is not there is null or 0, in price or size. Returns how many were applied, superseded by newer ones and quarantined. Raises TRI02.';

create or replace function market.quarantine_rest(
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
        case
            when i.instrument_id is null then 'unknown symbol'
            when r.ts > p_now + interval '2 s' then 'from the future'
            else 'not a price'
        end,
        jsonb_build_object(
            'ts', r.ts, 'seq', r.seq, 'bid', bus.clip_number(r.bid), 'bid_size', bus.clip_number(r.bid_size),
            'ask', bus.clip_number(r.ask), 'ask_size', bus.clip_number(r.ask_size)
        )
    from unnest(p_symbols, p_ts, p_seqs, p_bids, p_bid_sizes, p_asks, p_ask_sizes)
        as r (symbol, ts, seq, bid, bid_size, ask, ask_size)
    left join market.instruments as i on i.venue = p_feed.venue and i.symbol = r.symbol
    where i.instrument_id is null
       or (r.ts <= p_now + interval '2 s'
           and r.ts >= '1970-01-01'
           and r.seq between 0 and 9000000000000000000
           -- A side that is not there is null or 0; what is there is an amount (bus.is_amount), and NaN sorts last.
           and coalesce(least(r.bid, r.ask, r.bid_size, r.ask_size), 0) >= 0
           and coalesce(greatest(r.bid, r.ask, r.bid_size, r.ask_size), 0) < 1e18
           and coalesce(greatest(
               min_scale(r.bid), min_scale(r.ask), min_scale(r.bid_size), min_scale(r.ask_size)
           ), 0) <= 18
       ) is not true;

    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

comment on function market.quarantine_rest(
    market.feeds, timestamptz, text[], timestamptz[], bigint[], numeric[], numeric[], numeric[], numeric[]
) is 'Keeps the quotes of a batch that cannot be used, with the reason; returns how many.';

create or replace function api.ingest_trades(
    p_feed     text,
    p_symbols  text[],
    p_trade_ts timestamptz[],
    p_seqs     bigint[],
    p_prices   numeric[],
    p_sizes    numeric[]
)
returns table (applied integer, superseded integer, quarantined integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan  -- a plan for each batch takes longer than the batch
as $$
declare
    v_feed        market.feeds;
    v_now         timestamptz := bus.clock();
    v_total       integer := cardinality(p_symbols);
    v_good        integer;
    v_applied     integer;
    v_quarantined integer := 0;
begin
    select f.* into v_feed from market.feeds as f where f.feed = p_feed for no key update;

    if not found then
        raise exception 'feed % does not exist', left(p_feed, 100) using errcode = 'TRI02', hint = 'Call open_feed first.';
    end if;

    with good as (
        select
            i.instrument_id,
            r.*
        from unnest(p_symbols, p_trade_ts, p_seqs, p_prices, p_sizes) as r (symbol, ts, seq, price, size)
        join market.instruments as i on i.venue = v_feed.venue and i.symbol = r.symbol
        where r.ts <= v_now + interval '2 s'
          and r.ts >= '1970-01-01'
          and r.seq between 0 and 9000000000000000000
          and r.price > 0 and r.size >= 0 and greatest(r.price, r.size) < 1e18
          and greatest(min_scale(r.price), min_scale(r.size)) <= 18
    ),

    newest as (
        select distinct on (g.instrument_id) g.*
        from good as g
        order by g.instrument_id, g.ts desc, g.seq desc
    ),

    written as (
        insert into market.prices_best as b (instrument_id, feed, source, last, last_size, trade_ts, trade_seq)
        select n.instrument_id, p_feed, v_feed.source, n.price, n.size, n.ts, n.seq
        from newest as n
        order by n.instrument_id
        on conflict (instrument_id) do update
        set last = excluded.last,
            last_size = excluded.last_size,
            trade_ts = excluded.trade_ts,
            trade_seq = excluded.trade_seq,
            mark = market.mark(
                excluded.last, b.mark, case when b.bid_is_sound then b.bid end, case when b.ask_is_sound then b.ask end
            )
        where b.trade_ts is null
           or (excluded.trade_ts, excluded.trade_seq) > (b.trade_ts, b.trade_seq)
        returning 1
    )

    select
        (select count(*) from good),
        (select count(*) from written)
    into v_good, v_applied;

    if v_good < v_total then
        insert into market.quarantine (feed, symbol, reason, data)
        select
            p_feed,
            left(coalesce(r.symbol, ''), 100),
            case
                when i.instrument_id is null then 'unknown symbol'
                when r.ts > v_now + interval '2 s' then 'from the future'
                else 'not a price'
            end,
            jsonb_build_object(
                'ts', r.ts, 'seq', r.seq, 'price', bus.clip_number(r.price), 'size', bus.clip_number(r.size)
            )
        from unnest(p_symbols, p_trade_ts, p_seqs, p_prices, p_sizes) as r (symbol, ts, seq, price, size)
        left join market.instruments as i on i.venue = v_feed.venue and i.symbol = r.symbol
        where i.instrument_id is null
           or (r.ts <= v_now + interval '2 s' and r.ts >= '1970-01-01' and r.seq between 0 and 9000000000000000000
               and r.price > 0 and r.size >= 0 and greatest(r.price, r.size) < 1e18
               and greatest(min_scale(r.price), min_scale(r.size)) <= 18) is not true;

        get diagnostics v_quarantined = row_count;
    end if;

    update market.feeds as f
    set trades_applied = f.trades_applied + v_applied,
        trades_superseded = f.trades_superseded + v_good - v_applied,
        trades_quarantined = f.trades_quarantined + v_quarantined,
        last_seq = greatest(f.last_seq, (
            select max(s.seq) from unnest(p_seqs) as s (seq) where s.seq <= 9000000000000000000
        )),
        last_heard_at = v_now
    where f.feed = p_feed;

    return query select v_applied, v_good - v_applied, v_quarantined;
end;
$$;

comment on function api.ingest_trades(text, text[], timestamptz[], bigint[], numeric[], numeric[]) is
    'Takes a batch of trades as last prices; returns how many were applied, superseded and quarantined. Raises TRI02.';
