-- 28_judge_requests: what the database makes of requests for intents: quantity, price, and why one is refused.  One query
-- judges a whole set.  PostgreSQL inlines these functions into it, so they must stay single queries without SET clauses.

create or replace function trade.market_price(
    p_instrument market.instruments,
    p_quote      market.quotes_now,
    p_venue      market.venues,
    p_side       text,
    p_action     text
)
returns numeric
language sql
stable
begin atomic
    select case p_side
        when 'BUY' then least(p_quote.ask * (1 + p_venue.taker_cap_rate), p_instrument.limit_high)
        else greatest(
            p_quote.bid
                * (1 - case p_action when 'PROTECTIVE_SELL' then p_venue.stop_cap_rate else p_venue.taker_cap_rate end),
            p_instrument.limit_low
        )
    end;
end;

comment on function trade.market_price is
    'The worst price of a request without a limit: the ask plus the venue''s cap for a buy, the bid minus the cap for a '
    'sell, within the price limits of the day; not yet on a tick.';

create or replace function trade.why_unpriced(
    p_instrument  market.instruments,
    p_quote       market.quotes_now,
    p_side        text,
    p_limit_price numeric,
    p_price       numeric,
    p_needs_live  boolean
)
returns text
language sql
stable
begin atomic
    select case
        -- A sell needs a sound bid and a buy a sound ask; the other side of the quote does not matter.
        when p_limit_price is null and (
            (case p_side when 'BUY' then p_quote.can_buy else p_quote.can_sell end) is not true
            or (p_needs_live is not false and p_quote.source is distinct from 'live')
        ) then 'no fresh price'
        when (p_price > 0 and bus.is_amount(p_price)) is not true then 'no price'
        when p_price < p_instrument.limit_low or p_price > p_instrument.limit_high then 'outside the limits'
    end;
end;

comment on function trade.why_unpriced is
    'Why a request cannot be priced at a price on a tick, as trade.refusal names it; null when it can.';

create or replace function trade.look_up_requests(p_requests trade.intent_request[])
returns table (
    nr            integer,
    request       trade.intent_request,
    asked         jsonb,
    instrument    market.instruments,
    account       trade.accounts,
    quote         market.quotes_now,
    is_real       boolean,
    known_id      bigint,
    known_request jsonb,
    mode          text,
    verdict       text,
    action        text,
    quantity      numeric,
    price         numeric,
    rate          numeric,
    is_closed     boolean
)
language sql
stable
begin atomic
    with venues as materialized (  -- their fees and sessions are looked up once, not for each request
        select
            v.venue,
            v,
            market.buy_cost_rate(d.venue, bus.clock()) as buy_cost_rate,
            market.phase_at(d.venue, bus.clock()) is null as is_closed
        from (
            select distinct a.venue
            from unnest(p_requests) as r
            join trade.accounts as a on a.account_id = r.account_id
        ) as d
        join market.venues as v on v.venue = d.venue
    )

    select
        r.ordinality,
        row(
            r.account_id, r.instrument_id, r.owner, r.intent_type, r.side, r.quantity, r.limit_price, r.reason,
            r.idempotency_key, r.ttl, r.pick_id, r.quote_at
        )::trade.intent_request,
        jsonb_build_object(
            'instrument_id', r.instrument_id, 'owner', r.owner, 'intent_type', r.intent_type, 'side', r.side,
            'quantity', trim_scale(r.quantity), 'limit_price', trim_scale(r.limit_price)
        ),
        i, a, r.quote, b.is_real, k.intent_id, k.request, v.mode, v.verdict, t.action,
        div(r.quantity, i.lot_size) * i.lot_size,
        market.round_to_tick(
            i.tick_table, coalesce(r.limit_price, trade.market_price(i, r.quote, n.v, r.side, t.action)), r.side
        ),
        case r.side when 'BUY' then n.buy_cost_rate else 0 end,
        n.is_closed is not false
    from (
        select u.*, (select q from market.quotes_now as q where q.instrument_id = u.instrument_id) as quote
        from unnest(p_requests) with ordinality as u
    ) as r
    join trade.accounts as a on a.account_id = r.account_id
    join trade.brokers as b on b.broker = a.broker
    join market.instruments as i on i.instrument_id = r.instrument_id
    left join venues as n on n.venue = i.venue
    left join trade.intent_types as t on t.intent_type = r.intent_type and t.side = r.side
    left join risk.verdicts as v on v.account_id = r.account_id and v.action = t.action
    left join trade.order_intents as k on k.account_id = r.account_id and k.idempotency_key = r.idempotency_key;
end;

comment on function trade.look_up_requests is
    'What it takes to judge requests: their instruments, accounts, quotes and verdicts, whole lots, and a price on a tick.';

create or replace function trade.judge_requests(p_requests trade.intent_request[])
returns setof trade.judged_request
language sql
stable
begin atomic
    select
        j.nr, j.request, j.asked, j.known_id, j.mode, j.verdict, j.action, j.quantity, j.price, j.rate, null::numeric,
        case
            when j.action is null then 'unknown type'
            when j.verdict in ('ALLOW', 'APPROVE') is not true then 'mode'
            when j.known_id is not null and j.known_request <> j.asked then 'another request'
            when j.known_id is not null then null
            when (j.instrument).venue <> (j.account).venue or (j.instrument).currency <> (j.account).currency
                then 'another venue'
            when (j.request).side = 'BUY' and (j.instrument).is_active is not true then 'inactive'
            when j.is_closed then 'closed'
            else coalesce(
                trade.why_unpriced(
                    j.instrument, j.quote, (j.request).side, (j.request).limit_price, j.price, j.is_real
                ),
                case
                    when market.is_enough(j.instrument, (j.request).quantity, j.price) is not true then 'too little'
                    when (
                        bus.is_amount(j.quantity) and isfinite((j.request).ttl)
                        and octet_length((j.request).reason) <= 2000
                        and octet_length((j.request).idempotency_key) <= 250
                    ) is not true then 'out of bounds'
                end
            )
        end
    from trade.look_up_requests(p_requests) as j;
end;

comment on function trade.judge_requests is
    'Why each request is refused, looked at alone: the first reason that applies, null for none. What is free of its '
    'position or cash is another question: see trade.allot_requests.';
