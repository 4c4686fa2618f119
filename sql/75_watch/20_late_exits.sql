-- 20_late_exits: stops and targets that fired late because of an outage.

create or replace function risk.late_exits_of(p_outage_id bigint)
returns jsonb
language sql
stable
begin atomic
    select coalesce(jsonb_agg(jsonb_build_object(
        'account', a.account,
        'symbol', i.symbol,
        'owner', e.owner,
        'reason', e.reason,
        'price', e.price,
        'reached_at', e.reached_at,
        'fired_at', f.created_at,
        'late_s', round(extract(epoch from f.created_at - e.reached_at), 3)
    ) order by e.reached_at), '[]')
    from risk.late_exits as e
    join trade.accounts as a on a.account_id = e.account_id
    join market.instruments as i on i.instrument_id = e.instrument_id
    left join lateral (
        select min(t.created_at) as created_at
        from trade.order_intents as t
        where t.account_id = e.account_id
          and t.instrument_id = e.instrument_id
          and t.owner = e.owner
          and t.side = 'SELL'
          and t.created_at >= e.reached_at
    ) as f on true
    where e.outage_id = p_outage_id;
end;

comment on function risk.late_exits_of is
    'The stops and targets reached during an outage, when each fired and how many seconds late; null while it has not '
    'fired.';

create or replace function api.record_late_exits(
    p_outage_id bigint,
    p_feed      text,
    p_symbols   text[],
    p_quote_ts  timestamptz[],
    p_bids      numeric[]
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    insert into risk.late_exits (outage_id, account_id, instrument_id, owner, reason, price, reached_at)
    select distinct on (e.account_id, e.instrument_id, e.owner)
        o.outage_id,
        e.account_id,
        e.instrument_id,
        e.owner,
        e.reason,
        q.bid,
        q.ts
    from unnest(p_symbols, p_quote_ts, p_bids) as q (symbol, ts, bid)
    join market.feeds as f on f.feed = p_feed
    join market.instruments as i on i.venue = f.venue and i.symbol = q.symbol
    join trade.exit_prices as e on e.instrument_id = i.instrument_id
    -- A recorded feed has timestamps of another day: ignore those.
    join risk.outages as o
        on o.outage_id = p_outage_id and q.ts between o.began_at - interval '1 min' and bus.clock()
    where q.bid > 0 and q.bid < 1e18
      and (q.bid <= e.sell_below or q.bid >= e.sell_above)
    order by e.account_id, e.instrument_id, e.owner, q.ts, e.priority
    on conflict do nothing;

    get diagnostics v_count = row_count;

    if v_count > 0 then
        perform risk.describe_outage(p_outage_id);
    end if;

    return v_count;
end;
$$;

comment on function api.record_late_exits is
    'Records which stops and targets were reached by the bids that a feed kept during an outage, and when first; '
    'returns how many.';
