-- 0003_market: instruments, the rules of their venues, and the best prices we know.

create table market.venues (
    venue          text    not null,
    name           text    not null,
    time_zone      text    not null,
    taker_cap_rate numeric not null default 0.005,
    stop_cap_rate  numeric not null default 0.03,

    constraint venues_pkey primary key (venue),
    constraint venues_cap_rates_sane check (
        taker_cap_rate between 0 and 0.5 and stop_cap_rate between taker_cap_rate and 0.5
    )
);

comment on table market.venues is 'Where instruments trade.';
comment on column market.venues.venue is 'Short name, such as KRX.';
comment on column market.venues.name is 'What people call it.';
comment on column market.venues.time_zone is 'IANA name; trading days and phases are in this zone.';
comment on column market.venues.taker_cap_rate is
    'How far beyond the best price a taker order may go, as a fraction. It sets the worst price that is reserved.';
comment on column market.venues.stop_cap_rate is 'The same for protective sells, which must get out.';

create table market.tick_sizes (
    tick_table text    not null,
    price_from numeric not null,
    tick_size  numeric not null,

    constraint tick_sizes_pkey primary key (tick_table, price_from),
    constraint tick_sizes_positive check (tick_size > 0 and price_from >= 0)
);

comment on table market.tick_sizes is 'The smallest price steps, by price band. Source of KRX: exchange rule in force since 2023-01-25.';
comment on column market.tick_sizes.tick_table is 'Name of the table an instrument uses.';
comment on column market.tick_sizes.price_from is 'The band begins at this price, inclusive.';
comment on column market.tick_sizes.tick_size is 'Price step within the band.';

create table market.session_phases (
    venue         text     not null,
    phase         text     not null,
    starts        time     not null,
    ends          time     not null,
    weekdays      int[]    not null default '{1,2,3,4,5}',
    is_auction    boolean  not null default false,
    poll_interval interval not null default '2 s',
    exits_fire    boolean  not null default true,

    constraint session_phases_pkey primary key (venue, phase),
    constraint session_phases_venue_fkey foreign key (venue) references market.venues,
    constraint session_phases_in_order check (starts < ends),
    constraint session_phases_weekdays_iso check (weekdays <@ '{1,2,3,4,5,6,7}')
);

comment on table market.session_phases is 'The daily phases in which a venue trades; outside them it is closed.';
comment on column market.session_phases.venue is 'The venue.';
comment on column market.session_phases.phase is 'Name of the phase.';
comment on column market.session_phases.starts is 'Venue time, inclusive.';
comment on column market.session_phases.ends is 'Venue time, exclusive; 24:00 is the end of the day.';
comment on column market.session_phases.weekdays is 'ISO days of the week, 1 Monday to 7 Sunday.';
comment on column market.session_phases.is_auction is 'True for a call auction: orders wait for the uncross.';
comment on column market.session_phases.poll_interval is 'How often exits look even if no quote arrives.';
comment on column market.session_phases.exits_fire is 'Whether exits may fire in this phase.';

create table market.sessions (
    venue       text    not null,
    trading_day date    not null,
    is_open     boolean not null,
    note        text    not null,

    constraint sessions_pkey primary key (venue, trading_day),
    constraint sessions_venue_fkey foreign key (venue) references market.venues
);

comment on table market.sessions is 'Days that are not as their weekday says: holidays and extra sessions.';
comment on column market.sessions.venue is 'The venue.';
comment on column market.sessions.trading_day is 'The day, in the venue''s zone.';
comment on column market.sessions.is_open is 'Whether the venue trades on that day.';
comment on column market.sessions.note is 'Why.';

create table market.fee_rates (
    venue         text    not null,
    valid_from    date    not null,
    maker_rate    numeric not null,
    taker_rate    numeric not null,
    buy_tax_rate  numeric not null default 0,
    sell_tax_rate numeric not null default 0,

    constraint fee_rates_pkey primary key (venue, valid_from),
    constraint fee_rates_venue_fkey foreign key (venue) references market.venues,
    constraint fee_rates_are_fractions check (
        maker_rate between -0.01 and 0.1 and taker_rate between 0 and 0.1
        and buy_tax_rate between 0 and 0.1 and sell_tax_rate between 0 and 0.1
    )
);

comment on table market.fee_rates is 'Commission and tax by venue, dated; as fractions of the notional.';
comment on column market.fee_rates.venue is 'The venue.';
comment on column market.fee_rates.valid_from is 'First day of validity, in the venue''s zone.';
comment on column market.fee_rates.maker_rate is 'Commission when the order rests; negative for a rebate.';
comment on column market.fee_rates.taker_rate is 'Commission when the order takes.';
comment on column market.fee_rates.buy_tax_rate is 'Tax on buys.';
comment on column market.fee_rates.sell_tax_rate is 'Tax on sells.';

create table market.instruments (
    instrument_id bigint   generated always as identity,
    symbol        text     not null,
    venue         text     not null,
    name          text     not null,
    currency      text     not null,
    tick_table    text     not null,
    lot_size      numeric  not null default 1,
    min_notional  numeric  not null default 0,
    limit_low     numeric,
    limit_high    numeric,
    max_quote_age interval not null default '5 s',
    is_active     boolean  not null default true,

    constraint instruments_pkey primary key (instrument_id),
    -- Symbol first: prices are looked up by it, and a venue alone is half the universe.
    constraint instruments_symbol_key unique (symbol, venue),
    constraint instruments_venue_fkey foreign key (venue) references market.venues,
    constraint instruments_symbol_plain check (symbol ~ '^[A-Za-z0-9._/:-]{1,40}$'),
    constraint instruments_lot_positive check (lot_size > 0 and min_notional >= 0),
    constraint instruments_limits_in_order check (limit_low > 0 and limit_low <= limit_high)
);

comment on table market.instruments is 'What can be traded and the rules an order for it must keep.';
comment on column market.instruments.instrument_id is 'Our number for it.';
comment on column market.instruments.symbol is 'The venue''s code, such as 005930 or BTC/USDT.';
comment on column market.instruments.venue is 'Where it trades.';
comment on column market.instruments.name is 'What people call it.';
comment on column market.instruments.currency is 'What prices are in.';
comment on column market.instruments.tick_table is 'Which rows of market.tick_sizes apply.';
comment on column market.instruments.lot_size is 'Quantities are whole multiples of this.';
comment on column market.instruments.min_notional is 'The least price times quantity of an order.';
comment on column market.instruments.limit_low is 'Lower price limit of the day; null where there is none.';
comment on column market.instruments.limit_high is 'Upper price limit of the day; null where there is none.';
comment on column market.instruments.max_quote_age is 'A quote older than this is stale: it fires nothing.';
comment on column market.instruments.is_active is 'Whether new entries are allowed.';

create table market.feeds (
    feed               text        not null,
    venue              text        not null,
    source             text        not null,
    status             text        not null default 'DISCONNECTED',
    detail             text        not null default '',
    max_silence        interval    not null default '5 s',
    last_heard_at      timestamptz not null default bus.clock(),
    last_seq           bigint      not null default 0,
    run_number         bigint      not null default 0,
    seq_before_run     bigint      not null default 0,
    quotes_applied     bigint      not null default 0,
    quotes_superseded  bigint      not null default 0,
    quotes_quarantined bigint      not null default 0,
    trades_applied     bigint      not null default 0,
    trades_superseded  bigint      not null default 0,
    trades_quarantined bigint      not null default 0,

    constraint feeds_pkey primary key (feed),
    constraint feeds_venue_fkey foreign key (venue) references market.venues,
    constraint feeds_source_known check (source in ('live', 'sim', 'replay')),
    constraint feeds_status_known check (status in ('CONNECTED', 'DISCONNECTED', 'ENDED'))
) with (fillfactor = 50);

comment on table market.feeds is 'Where prices come from, whether it is alive, and what became of everything it brought.';
comment on column market.feeds.feed is 'Name of the feed.';
comment on column market.feeds.venue is 'The venue whose symbols it carries.';
comment on column market.feeds.source is 'live, sim or replay. Only live counts for a real broker.';
comment on column market.feeds.status is 'CONNECTED, DISCONNECTED or ENDED (a recording that is over).';
comment on column market.feeds.detail is 'What the feed said last about itself.';
comment on column market.feeds.max_silence is 'Without a word for longer, the feed counts as dead and its prices as stale.';
comment on column market.feeds.last_heard_at is 'When it last brought a price or a heartbeat.';
comment on column market.feeds.last_seq is 'The highest received_seq it has used.';
comment on column market.feeds.run_number is 'The run of the workers it was last opened in, see bus.instance.';
comment on column market.feeds.seq_before_run is 'last_seq when that run opened it: what came since is of this run.';
comment on column market.feeds.quotes_applied is 'Quotes that became the best price.';
comment on column market.feeds.quotes_superseded is 'Quotes older than one already known, within a batch or before.';
comment on column market.feeds.quotes_quarantined is 'Quotes refused: see market.quarantine.';
comment on column market.feeds.trades_applied is 'Trades that became the last price.';
comment on column market.feeds.trades_superseded is 'Trades older than one already known.';
comment on column market.feeds.trades_quarantined is 'Trades refused: see market.quarantine.';

create table market.prices_best (
    instrument_id bigint      not null,
    feed          text        not null,
    source        text        not null,
    bid           numeric,
    bid_size      numeric,
    ask           numeric,
    ask_size      numeric,
    quote_ts      timestamptz,
    received_seq  bigint,
    received_at   timestamptz,
    is_tradable   boolean     not null default false,
    mark          numeric,
    last          numeric,
    last_size     numeric,
    trade_ts      timestamptz,
    trade_seq     bigint,
    prev_close    numeric,

    constraint prices_best_pkey primary key (instrument_id),
    constraint prices_best_instrument_fkey foreign key (instrument_id) references market.instruments,
    constraint prices_best_feed_fkey foreign key (feed) references market.feeds,
    constraint prices_best_tradable_is_sound check (
        not is_tradable or (bid > 0 and ask >= bid and bid_size >= 0 and ask_size >= 0 and received_at is not null)
    )
) with (fillfactor = 50);

comment on table market.prices_best is 'The newest best bid, best ask and last trade of each instrument.';
comment on column market.prices_best.instrument_id is 'The instrument.';
comment on column market.prices_best.feed is 'The feed that brought it.';
comment on column market.prices_best.source is 'live, sim or replay, from the feed.';
comment on column market.prices_best.bid is 'Best bid; null until the first quote.';
comment on column market.prices_best.bid_size is 'Quantity at the best bid; null until the first quote.';
comment on column market.prices_best.ask is 'Best ask; null until the first quote.';
comment on column market.prices_best.ask_size is 'Quantity at the best ask; null until the first quote.';
comment on column market.prices_best.quote_ts is 'The venue''s time of the quote; null until the first.';
comment on column market.prices_best.received_seq is 'Order of arrival within the feed; null until the first quote.';
comment on column market.prices_best.received_at is 'When the database took the quote; null until the first.';
comment on column market.prices_best.is_tradable is 'False for a zero, crossed or out-of-limit quote: it is shown and fires nothing.';
comment on column market.prices_best.mark is 'What a unit was worth while the quote was sound: the last price clipped to bid and ask; null until then.';
comment on column market.prices_best.last is 'Price of the last trade; null until the first.';
comment on column market.prices_best.last_size is 'Quantity of the last trade; null until the first.';
comment on column market.prices_best.trade_ts is 'The venue''s time of the last trade; null until the first.';
comment on column market.prices_best.trade_seq is 'Order of arrival of the last trade; null until the first.';
comment on column market.prices_best.prev_close is 'Close of the previous trading day; null where unknown.';

create table market.quarantine (
    quarantine_id bigint      generated always as identity,
    feed          text        not null,
    symbol        text        not null,
    reason        text        not null,
    data          jsonb       not null,
    received_at   timestamptz not null default bus.clock(),

    constraint quarantine_pkey primary key (quarantine_id)
);

comment on table market.quarantine is 'Prices that were refused, kept as they came.';
comment on column market.quarantine.quarantine_id is 'Order of arrival.';
comment on column market.quarantine.feed is 'The feed that brought it.';
comment on column market.quarantine.symbol is 'The symbol it claimed.';
comment on column market.quarantine.reason is 'unknown symbol, from the future, or not a price.';
comment on column market.quarantine.data is 'The price as it came.';
comment on column market.quarantine.received_at is 'When it came.';

insert into market.tick_sizes (tick_table, price_from, tick_size) values
('KRX', 0, 1),
('KRX', 2000, 5),
('KRX', 5000, 10),
('KRX', 20000, 50),
('KRX', 50000, 100),
('KRX', 200000, 500),
('KRX', 500000, 1000),
('0.1', 0, 0.1),
('0.01', 0, 0.01),
('0.0001', 0, 0.0001),
('0.00000001', 0, 0.00000001);

insert into market.venues (venue, name, time_zone, taker_cap_rate, stop_cap_rate) values
('SIM', 'Built-in market simulator', 'Asia/Seoul', 0.005, 0.03),
('KRX', 'Korea Exchange', 'Asia/Seoul', 0.005, 0.03),
('BINANCE', 'Binance', 'UTC', 0.002, 0.02);

insert into market.session_phases (venue, phase, starts, ends, weekdays, is_auction, poll_interval, exits_fire) values
('SIM', 'regular', '00:00', '24:00', '{1,2,3,4,5,6,7}', false, '1 s', true),
('KRX', 'opening auction', '08:55', '09:00', '{1,2,3,4,5}', true, '200 ms', false),
('KRX', 'open', '09:00', '09:10', '{1,2,3,4,5}', false, '200 ms', true),
('KRX', 'regular', '09:10', '15:15', '{1,2,3,4,5}', false, '2 s', true),
('KRX', 'late', '15:15', '15:20', '{1,2,3,4,5}', false, '500 ms', true),
('KRX', 'closing auction', '15:20', '15:30', '{1,2,3,4,5}', true, '500 ms', true),
('BINANCE', 'regular', '00:00', '24:00', '{1,2,3,4,5,6,7}', false, '1 s', true);

-- KRX: broker commission of a typical online account and the transaction tax on sells (2025: 0.15 %);
-- Binance: the public spot schedule without discounts.  Change them for your own account.
insert into market.fee_rates (venue, valid_from, maker_rate, taker_rate, buy_tax_rate, sell_tax_rate) values
('SIM', '2000-01-01', 0.00015, 0.00015, 0, 0.0015),
('KRX', '2000-01-01', 0.00015, 0.00015, 0, 0.0015),
('BINANCE', '2000-01-01', 0.001, 0.001, 0, 0);
