-- 42_ingest_trades: trades come in as quotes do: newer ones replace older ones, and what cannot be believed is
-- quarantined.

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

comment on function market.quarantine_rest is
    'Keeps the quotes of a batch that cannot be used, with the reason; returns how many.';

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

comment on function api.ingest_trades is
    'Takes a batch of trades as last prices; returns how many were applied, superseded and quarantined. Raises TRI02.';
