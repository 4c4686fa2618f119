-- 0019_sides: a quote is sound side by side.  A book at its upper price limit has no ask, one at its lower
-- limit no bid, and what is there trades; only a crossed quote is sound on neither side.  Also: growth of an
-- account between deposits and withdrawals, and the symbols that venues really list.

alter table market.prices_best
    add column bid_is_sound boolean not null default false,
    add column ask_is_sound boolean not null default false,
    drop constraint prices_best_tradable_is_sound;

update market.prices_best
set bid_is_sound = is_tradable and coalesce(bid_size > 0, false),
    ask_is_sound = is_tradable and coalesce(ask_size > 0, false),
    bid = case when bid > 0 and bid_size > 0 then bid end,
    bid_size = case when bid > 0 and bid_size > 0 then bid_size end,
    ask = case when ask > 0 and ask_size > 0 then ask end,
    ask_size = case when ask > 0 and ask_size > 0 then ask_size end;

alter table market.prices_best
    drop column is_tradable,
    -- They are asked for each quote, so they compare no number twice.
    add constraint prices_best_sides_are_whole check (
        (bid is null) = (bid_size is null) and (ask is null) = (ask_size is null)
    ),
    add constraint prices_best_sound_is_there_and_not_crossed check (
        case
            when bid_is_sound or ask_is_sound
                then received_at is not null
                    and (bid <= ask) is not false
                    and (not bid_is_sound or bid > 0) is true
                    and (not ask_is_sound or ask > 0) is true
            else true
        end
    );

comment on column market.prices_best.bid is 'Best bid; null when nobody bids, and until the first quote.';
comment on column market.prices_best.bid_size is 'Quantity at the best bid; null when there is no bid.';
comment on column market.prices_best.ask is 'Best ask; null when nobody offers, and until the first quote.';
comment on column market.prices_best.ask_size is 'Quantity at the best ask; null when there is no ask.';
comment on column market.prices_best.bid_is_sound is
    'Whether one may sell to the bid: it is there, inside the limits of the day, and the quote is not crossed.';
comment on column market.prices_best.ask_is_sound is
    'Whether one may buy at the ask: it is there, inside the limits of the day, and the quote is not crossed.';
comment on column market.prices_best.mark is
    'What a unit is worth: the last price, not below the sound bid nor above the sound ask; kept while neither is sound, null until then.';

-- What came or went since the last measure is taken into it the old way, once; from now on a deposit and a
-- withdrawal carry the row along themselves.
with late as (
    select
        q.account_id,
        q.day_start,
        coalesce((
            select sum(c.amount)
            from trade.cash_entries as c
            where c.account_id = q.account_id and c.kind in ('deposit', 'withdrawal')
        ), 0) - q.external as flow
    from risk.account_equity as q
    where q.day_start = (select max(n.day_start) from risk.account_equity as n where n.account_id = q.account_id)
)

update risk.account_equity as q
set equity = q.equity + l.flow,
    flows = q.flows + l.flow,
    peak = q.peak + l.flow
from late as l
where (l.account_id, l.day_start) = (q.account_id, q.day_start);

alter table risk.account_equity
    drop column external,
    add column growth numeric not null default 1,
    add column base numeric not null default 0;

-- A day that has had flows goes on as if they had come at its beginning.
update risk.account_equity set base = opening_equity + flows;

alter table risk.account_equity alter column base drop default;

comment on column risk.account_equity.opening_equity is
    'Equity when the day was first measured: that of the last measure of the day before.';
comment on column risk.account_equity.flows is 'Deposits less withdrawals since the day was first measured: left out of profit.';
comment on column risk.account_equity.growth is
    'By what factor the account grew from the beginning of its day to its last deposit or withdrawal; 1 before the first.';
comment on column risk.account_equity.base is
    'Equity right after the last deposit or withdrawal of the day, before the first the opening equity: what growth since then is a fraction of.';
comment on column risk.account_equity.peak is
    'Highest equity so far, over all measures with fresh prices; a deposit or withdrawal moves it so that the drawdown stays what it was.';
comment on column risk.account_equity.is_flagged is
    'True when a mark was missing or stale and the last good one was used: such a measure never raises the peak.';

-- Printable ASCII without space, quotes, comma, backslash, brackets and the like, and letters of other scripts.
-- Spelled as code points, so that it means the same in every locale.
alter table market.instruments
    drop constraint instruments_symbol_plain,
    add constraint instruments_symbol_plain check (
        symbol ~ '^[A-Za-z0-9._/:=^&!+@#*$\u00C0-\u024F\u0370-\u052F\u3041-\u30FF\u3400-\u9FFF\uAC00-\uD7A3-]{1,40}$'
    ),
    add constraint instruments_sizes_are_finite check (lot_size < 'Infinity' and min_notional < 'Infinity');

comment on column market.instruments.symbol is
    'The venue''s code, such as 005930, BTC/USDT or ES=F: 1 to 40 letters of any script, digits and . _ / : = ^ & ! + @ # * $ -';

alter table market.tick_sizes
    add constraint tick_sizes_are_finite check (tick_size < 'Infinity' and price_from < 'Infinity'),
    add constraint tick_sizes_table_plain check (tick_table ~ '^[A-Za-z0-9._-]{1,40}$');
