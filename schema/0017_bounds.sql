-- 0017_bounds: what is set up has bounds as well, and one strategy's picks are counted, so that it delays
-- nobody else.

-- Where an older database holds what no bound knows, the strict side counts: nothing is bought by it.
update strategy.strategies
set status = 'STOPPED',
    budget = case when budget < 1e18 and min_scale(budget) <= 18 then budget else 1 end,
    order_notional = case when order_notional < 1e18 and min_scale(order_notional) <= 18 then order_notional else 1 end
where (budget < 1e18 and order_notional < 1e18 and min_scale(budget) <= 18 and min_scale(order_notional) <= 18)
    is not true;

update risk.limits set value = 0 where (value < 1e18 and min_scale(value) <= 18) is not true;

update market.instruments
set is_active = false,
    lot_size = case when lot_size < 1e18 and min_scale(lot_size) <= 18 then lot_size else 1 end,
    min_notional = case when min_notional < 1e18 and min_scale(min_notional) <= 18 then min_notional else 0 end,
    limit_low = case when limit_low < 1e18 and limit_high < 1e18 then limit_low end,
    limit_high = case when limit_low < 1e18 and limit_high < 1e18 then limit_high end
where (lot_size < 1e18 and min_notional < 1e18 and min_scale(lot_size) <= 18 and min_scale(min_notional) <= 18
       and coalesce(limit_low < 1e18, true) and coalesce(limit_high < 1e18, true)) is not true;

-- A waiting pick that could never be worked with is over, and a reason that nobody could read is cut.
update strategy.picks
set status = 'EXPIRED',
    routed_at = bus.clock()
where status = 'NEW'
  and (quantity >= 1e18 or limit_price >= 1e18 or min_scale(quantity) > 18 or min_scale(limit_price) > 18);

update strategy.picks set reason = left(reason, 500) where octet_length(reason) > 2000;
update trade.order_intents set reason = left(reason, 500) where octet_length(reason) > 2000;

-- The next quote brings another price; until then there is none to work with.
update market.prices_best
set is_tradable = false, bid = null, bid_size = null, ask = null, ask_size = null, mark = null, last = null,
    last_size = null
where greatest(bid, bid_size, ask, ask_size, mark, last, last_size) >= 1e18
   or greatest(
       min_scale(bid), min_scale(bid_size), min_scale(ask), min_scale(ask_size), min_scale(mark), min_scale(last),
       min_scale(last_size)
   ) > 18;

-- NaN sorts above every number, so that these refuse it too.
alter table strategy.strategies
    add constraint strategies_money_bounded check (
        budget < 1e18 and order_notional < 1e18 and min_scale(budget) <= 18 and min_scale(order_notional) <= 18
    );

alter table risk.limits
    add constraint limits_value_bounded check (value < 1e18 and min_scale(value) <= 18);

alter table market.instruments
    add constraint instruments_rules_bounded check (
        lot_size < 1e18 and min_notional < 1e18 and min_scale(lot_size) <= 18 and min_scale(min_notional) <= 18
        and coalesce(limit_low < 1e18, true) and coalesce(limit_high < 1e18, true)
    );

create table strategy.pick_rates (
    strategy     text        not null,
    per_minute   integer     not null default 600,
    most_waiting integer     not null default 100,
    tokens       numeric     not null default 600,
    refilled_at  timestamptz not null default bus.clock(),

    constraint pick_rates_pkey primary key (strategy),
    constraint pick_rates_strategy_fkey foreign key (strategy) references strategy.strategies,
    constraint pick_rates_positive check (per_minute > 0 and most_waiting > 0)
) with (fillfactor = 50);

comment on table strategy.pick_rates is
    'How many picks each strategy may have waiting and may make: no strategy delays another, or fills the disk. Made with its first pick.';
comment on column strategy.pick_rates.strategy is 'The strategy. Its sessions take turns on this row when they propose.';
comment on column strategy.pick_rates.per_minute is 'Picks a minute, and as many at once after a quiet minute.';
comment on column strategy.pick_rates.most_waiting is 'Picks that may wait for the router at a time.';
comment on column strategy.pick_rates.tokens is 'Picks it might have made at refilled_at.';
comment on column strategy.pick_rates.refilled_at is 'When it last made one.';

-- By strategy: the router takes turns, and each strategy's waiting picks are counted.
drop index strategy.picks_waiting;
create index picks_waiting on strategy.picks (strategy, pick_id) where status = 'NEW';

comment on table risk.limits is
    'Limits of an account on what strategies propose, checked when a pick is routed. A person''s intent by hand passes them and counts. No row, no limit.';
comment on column risk.limits.limit_name is
    'max_position_share: fraction of equity one instrument may be, with what is held and what live buys may still buy; max_entries_per_day: buys a day, filled or live.';
comment on column trade.order_intents.idempotency_key is
    'Chosen by the caller: the same key again returns this intent. Those of exits and picks begin with aegis:, which no caller''s may.';
