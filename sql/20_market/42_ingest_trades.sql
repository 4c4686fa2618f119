-- 42_ingest_trades: storing trades, as quotes are stored: newer ones replace older ones, and unusable ones are
-- quarantined.

create or replace function market.quarantine_trades(
    p_feed    market.feeds,
    p_now     timestamptz,
    p_symbols text[],
    p_ts      timestamptz[],
    p_seqs    bigint[],
    p_prices  numeric[],
    p_sizes   numeric[]
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
            'ts', r.ts, 'seq', r.seq, 'price', bus.clip_number(r.price), 'size', bus.clip_number(r.size)
        )
    from unnest(p_symbols, p_ts, p_seqs, p_prices, p_sizes) as r (symbol, ts, seq, price, size)
    left join market.instruments as i on i.venue = p_feed.venue and i.symbol = r.symbol
    where i.instrument_id is null
       or market.is_trade(r.ts, p_now, r.seq, r.price, r.size) is not true;

    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

comment on function market.quarantine_trades is
    'Quarantines the unusable trades of a batch, each with the reason; returns how many.';

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
set plan_cache_mode = force_generic_plan  -- planning a batch takes longer than running it
as $$
declare
    v_feed        market.feeds := market.lock_feed(p_feed);
    v_now         timestamptz := bus.clock();
    v_total       integer := cardinality(p_symbols);
    v_good        integer;
    v_applied     integer;
    v_quarantined integer := 0;
begin
    with good as (
        select
            i.instrument_id,
            r.*
        from unnest(p_symbols, p_trade_ts, p_seqs, p_prices, p_sizes) as r (symbol, ts, seq, price, size)
        join market.instruments as i on i.venue = v_feed.venue and i.symbol = r.symbol
        where market.is_trade(r.ts, v_now, r.seq, r.price, r.size)
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
        v_quarantined := market.quarantine_trades(v_feed, v_now, p_symbols, p_trade_ts, p_seqs, p_prices, p_sizes);
    end if;

    update market.feeds as f
    set trades_applied = f.trades_applied + v_applied,
        trades_superseded = f.trades_superseded + v_good - v_applied,
        trades_quarantined = f.trades_quarantined + v_quarantined,
        last_seq = greatest(f.last_seq, market.last_seq_of(p_seqs)),
        last_heard_at = v_now
    where f.feed = p_feed;

    return query select v_applied, v_good - v_applied, v_quarantined;
end;
$$;

comment on function api.ingest_trades is
    'Stores a batch of trades as last prices; returns how many were applied, superseded and quarantined. Raises '
    'TRI02.';
