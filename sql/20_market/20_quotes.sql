-- 20_quotes: which quotes are fresh and sound, on which side, and the mark at which an instrument is valued.

-- A quote is fresh when its feed is alive and it is neither older than its limit nor from the future.  A time in the
-- future means that the clock was set back, so the age is unknown.  Whether a side may be traded on is a separate
-- question.
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
    'Best prices: whether each is fresh now, and whether one may sell at its bid and buy at its ask.';

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
    -- greatest and least ignore nulls, so only a side that exists bounds the mark.
    select case
        when p_bid is null and p_ask is null then p_mark
        else least(greatest(coalesce(p_last, p_bid, p_mark, p_ask), p_bid), p_ask)
    end;
end;

comment on function market.mark is
    'The value of a unit, from the last price, the previous mark, and the sound bid and ask: never below that bid or '
    'above that ask. With neither side, the previous mark.';

create or replace function market.mark_of_quote(
    p_last         numeric,
    p_mark         numeric,
    p_bid          numeric,
    p_bid_is_sound boolean,
    p_ask          numeric,
    p_ask_is_sound boolean
)
returns numeric
language sql
immutable
parallel safe
begin atomic
    select case
        -- What market.mark returns when both sides are sound, without checking either again: nearly every quote.
        when p_bid_is_sound and p_ask_is_sound then least(greatest(coalesce(p_last, p_bid), p_bid), p_ask)
        else market.mark(
            p_last, p_mark, case when p_bid_is_sound then p_bid end, case when p_ask_is_sound then p_ask end
        )
    end;
end;

comment on function market.mark_of_quote is 'The mark after a quote: market.mark of its sound sides.';
