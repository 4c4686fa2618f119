-- The tables as all migrations leave them, written by tests/sql/test_current.py. To read, never to apply.
-- Partitions are left out; functions, views and triggers are in sql/.

-- How far each reader of the events has come. A cursor below the xmin horizon: nothing can appear behind it.
create table bus.consumers (
    -- Name of the reader.
    consumer   text not null,
    -- Generation of the last event it has done with.
    generation integer not null default 0,
    -- Transaction of that event.
    xid        xid8 not null default '0'::xid8,
    -- Id of that event.
    event_id   bigint not null default 0,
    -- When it last moved on.
    changed_at timestamp with time zone not null default bus.clock(),
    constraint consumers_pkey PRIMARY KEY (consumer)
);

-- Which sql/ is in force here: one row, written by the migrator alone.
create table bus.deployments (
    -- Makes a second row impossible.
    singleton    boolean not null default true,
    -- What this database was created for; it never changes.
    kind         text not null,
    -- One SHA-256 over the names and contents of sql/.
    sql_checksum text not null,
    -- Version of the package that deployed it.
    code_version text not null,
    -- When sql/ was last applied, by the real clock.
    applied_at   timestamp with time zone not null default clock_timestamp(),
    constraint deployments_pkey PRIMARY KEY (singleton),
    constraint deployments_kind_known CHECK (kind = ANY (ARRAY['live'::text, 'demo'::text, 'replay'::text, 'test'::text])),
    constraint deployments_one_row CHECK (singleton)
);

-- Each epoch this database sent orders under. One ends when the database turns out to be a restored backup or a copy.
create table bus.epochs (
    -- How the client_order_ids of that time begin.
    epoch               text not null,
    -- The generation of its events.
    generation          integer not null,
    -- When it began.
    began_at            timestamp with time zone not null default bus.clock(),
    -- When the next one began; null for the present one.
    ended_at            timestamp with time zone,
    -- The last order the paper broker had heard of when the next epoch began; null for the present one.
    last_paper_order_id bigint,
    constraint epochs_pkey PRIMARY KEY (epoch),
    constraint epochs_generation_key UNIQUE (generation),
    constraint epochs_last_paper_order_iff_ended CHECK ((last_paper_order_id IS NULL) = (ended_at IS NULL))
);
CREATE UNIQUE INDEX epochs_one_goes_on ON bus.epochs USING btree ((true)) WHERE (ended_at IS NULL);

-- The durable history: one row for each change of a mode, intent, order, fill or position. Append-only.
create table bus.events (
    -- Order of writing. Becomes visible out of order: readers go by (generation, xid, event_id).
    event_id       bigint not null generated always as identity,
    -- The generation of the instance that wrote it: transaction numbers start again in a restored copy.
    generation     integer not null,
    -- The transaction that wrote it.
    xid            xid8 not null default pg_current_xact_id(),
    -- The instant of the change.
    at             timestamp with time zone not null default bus.clock(),
    -- The login that did it.
    actor          text not null default SESSION_USER,
    -- The door function it happened in, or direct SQL.
    cause          text not null,
    -- What changed: mode, intent, order, fill, position, pick, feed, strategy, incident, refusal, error.
    entity         text not null,
    -- The id of what changed; null where it has no number.
    entity_id      bigint,
    -- created, or the new status, or the kind of change.
    change         text not null,
    -- The intent this belongs to; null where there is none.
    intent_id      bigint,
    -- The pick or intent where the story began; null where there is none.
    correlation_id text,
    -- The facts after the change.
    data           jsonb not null,
    constraint events_pkey PRIMARY KEY (event_id)
) partition by RANGE (event_id);
CREATE INDEX events_by_entity ON ONLY bus.events USING btree (entity, event_id);
CREATE INDEX events_by_intent ON ONLY bus.events USING btree (intent_id) WHERE (intent_id IS NOT NULL);
CREATE INDEX events_in_order ON ONLY bus.events USING btree (generation, xid, event_id);

-- What this database is. One row.
create table bus.instance (
    -- Always true: there is one row.
    singleton       boolean not null default true,
    -- live, demo, replay or test; chosen when the database is created and never changed.
    kind            text not null,
    -- Part of every client_order_id, so that a copy of this database cannot reuse the ids of the original. Random, but fixed in a replay.
    epoch           text not null,
    -- Raised, with a new epoch, each time a person adopts a restored or copied database.
    generation      integer not null default 1,
    -- How often the workers were started together; a marker outside the database knows it too.
    run_number      bigint not null default 0,
    -- System identifier and timeline of the server, and the number there of this database; empty before the first start.
    identity        text not null default ''::text,
    -- True from the start at which this turned out to be a restored backup or a copy, until a person adopts it.
    is_foreign      boolean not null default false,
    -- When the database was created.
    created_at      timestamp with time zone not null default bus.now(),
    -- When the workers were last started together. For people: rules compare run_number.
    started_at      timestamp with time zone not null default bus.now(),
    -- Where this table lies in the server's files, which names the database by its number: compared before identity, because that is cheap.
    home_path       text not null default ''::text,
    -- When the server was started that this database was last seen on by its supervisor: compared before identity, because that is cheap.
    home_started_at timestamp with time zone not null default '-infinity'::timestamp with time zone,
    constraint instance_pkey PRIMARY KEY (singleton),
    constraint instance_counts_up CHECK (generation > 0 AND run_number >= 0),
    constraint instance_is_one_row CHECK (singleton),
    constraint instance_kind_known CHECK (kind = ANY (ARRAY['live'::text, 'demo'::text, 'replay'::text, 'test'::text]))
);

-- What is done by the clock. Change how often by changing the row.
create table bus.jobs (
    -- The function of api that does it, called without arguments; it returns how much it did.
    job           text not null,
    -- Time between two runs.
    every         interval not null,
    -- When it is due.
    next_run_at   timestamp with time zone not null default bus.now(),
    -- When it last ran; null before the first time.
    last_run_at   timestamp with time zone,
    -- How much it did the last time; null before the first time.
    last_result   bigint,
    -- How often it ran.
    runs          bigint not null default 0,
    -- How often in a row it failed or did not get its locks; 0 when it last ran well.
    misses        bigint not null default 0,
    -- Since when it has not run; null when it last ran well.
    missing_since timestamp with time zone,
    -- The result that means more is waiting, so that it runs again at once; null when it always does all there is.
    full_batch    bigint,
    constraint jobs_pkey PRIMARY KEY (job),
    constraint jobs_every_positive CHECK (every > '00:00:00'::interval),
    constraint jobs_full_batch_positive CHECK (full_batch > 0),
    constraint jobs_job_plain CHECK (job ~ '^[a-z][a-z0-9_]*$'::text),
    constraint jobs_missing_since_iff_missed CHECK ((misses > 0) = (missing_since IS NOT NULL))
);

-- The files of schema/ that have run here; written by the migrator alone.
create table bus.migrations (
    -- The number the file name begins with.
    version    integer not null,
    -- The file name without .sql.
    name       text not null,
    -- SHA-256 of the file as it ran; a released file may not change.
    checksum   text not null,
    -- When it ran, by the real clock.
    applied_at timestamp with time zone not null default clock_timestamp(),
    constraint migrations_pkey PRIMARY KEY (version)
);

-- Token buckets shared by all processes, since they are rows. A broker without a row is not limited.
create table bus.rate_limits (
    -- The broker whose orders it limits.
    bucket      text not null,
    -- Tokens added each second.
    per_second  numeric not null,
    -- The most tokens it holds.
    burst       numeric not null,
    -- Tokens held at refilled_at.
    tokens      numeric not null,
    -- When tokens was last computed.
    refilled_at timestamp with time zone not null default bus.now(),
    constraint rate_limits_pkey PRIMARY KEY (bucket),
    constraint rate_limits_positive CHECK (per_second > 0::numeric AND burst >= 1::numeric),
    constraint rate_limits_tokens_within_burst CHECK (tokens >= 0::numeric AND tokens <= burst)
);

-- A hash chain over the events, written behind the xmin horizon and off the hot path. Append-only.
create table bus.seals (
    -- Counts without gaps from 1: a gap is a removed seal.
    seal_no      bigint not null,
    -- The event it seals.
    event_id     bigint not null,
    -- Generation of the event.
    generation   integer not null,
    -- Transaction of the event.
    xid          xid8 not null,
    -- sha256 of the event in the way hash_version says, as hex.
    event_hash   text not null,
    -- sha256 of the chain before and event_hash, as hex.
    chain        text not null,
    -- When it was sealed.
    sealed_at    timestamp with time zone not null default bus.clock(),
    -- How event_hash was made. 1: fields joined by |, which lets text move between fields. 2: a JSON array.
    hash_version integer not null default 1,
    constraint seals_pkey PRIMARY KEY (seal_no),
    constraint seals_event_id_key UNIQUE (event_id)
);

-- How long sessions may stay in a transaction before the watcher ends them. Of several groups of a login the longest counts.
create table bus.session_limits (
    -- The group of logins; other is everybody whom we may not end, who becomes an incident instead.
    role_group          text not null,
    -- Longest time in a transaction without a statement.
    idle_in_transaction interval not null,
    -- Longest statement.
    statement           interval not null,
    -- Longest transaction, and so the oldest snapshot.
    transaction         interval not null,
    -- Oldest transaction of an idle session that makes a stop, a fill or another worker wait.
    idle_in_the_way     interval not null,
    -- Oldest transaction of a busy session that makes a stop, a fill or another worker wait.
    in_the_way          interval not null,
    constraint session_limits_pkey PRIMARY KEY (role_group),
    constraint session_limits_not_negative CHECK (LEAST(idle_in_transaction, statement, transaction, idle_in_the_way, in_the_way) >= '00:00:00'::interval)
);

-- Every worker process that ever registered.
create table bus.workers (
    -- The name a claim is made under; a new one for each start of a process.
    worker_id    bigint not null generated always as identity,
    -- What it does, such as execution.
    name         text not null,
    -- The login it registered with.
    login        text not null default SESSION_USER,
    -- Process id on its host.
    pid          integer not null,
    -- Host name.
    host         text not null,
    -- running, degraded (its listener is down), draining (stopping) or stopped.
    state        text not null default 'running'::text,
    -- What it says of itself: memory in bytes, drains, work done.
    detail       jsonb not null default '{}'::jsonb,
    -- When it registered.
    started_at   timestamp with time zone not null default bus.clock(),
    -- When it last spoke.
    heartbeat_at timestamp with time zone not null default bus.clock(),
    -- When it said goodbye; null while it runs or when it died without a word.
    stopped_at   timestamp with time zone,
    constraint workers_pkey PRIMARY KEY (worker_id),
    constraint workers_state_known CHECK (state = ANY (ARRAY['running'::text, 'degraded'::text, 'draining'::text, 'stopped'::text])),
    constraint workers_stopped_iff_stopped_at CHECK ((state = 'stopped'::text) = (stopped_at IS NOT NULL))
);
CREATE INDEX workers_by_login ON bus.workers USING btree (login, started_at);

-- Commission and tax by venue, dated; as fractions of the notional.
create table market.fee_rates (
    -- The venue.
    venue         text not null,
    -- First day of validity, in the venue's zone.
    valid_from    date not null,
    -- Commission when the order rests; negative for a rebate.
    maker_rate    numeric not null,
    -- Commission when the order takes.
    taker_rate    numeric not null,
    -- Tax on buys.
    buy_tax_rate  numeric not null default 0,
    -- Tax on sells.
    sell_tax_rate numeric not null default 0,
    constraint fee_rates_pkey PRIMARY KEY (venue, valid_from),
    constraint fee_rates_venue_fkey FOREIGN KEY (venue) REFERENCES market.venues(venue),
    constraint fee_rates_are_fractions CHECK (maker_rate >= '-0.01'::numeric AND maker_rate <= 0.1 AND taker_rate >= 0::numeric AND taker_rate <= 0.1 AND buy_tax_rate >= 0::numeric AND buy_tax_rate <= 0.1 AND sell_tax_rate >= 0::numeric AND sell_tax_rate <= 0.1)
);

-- Where prices come from, whether it is alive, and what became of everything it brought.
create table market.feeds (
    -- Name of the feed.
    feed               text not null,
    -- The venue whose symbols it carries.
    venue              text not null,
    -- live, sim or replay. Only live counts for a real broker.
    source             text not null,
    -- CONNECTED, DISCONNECTED or ENDED (a recording that is over).
    status             text not null default 'DISCONNECTED'::text,
    -- What the feed said last about itself.
    detail             text not null default ''::text,
    -- Without a word for longer, the feed counts as dead and its prices as stale.
    max_silence        interval not null default '00:00:05'::interval,
    -- When it last brought a price or a heartbeat.
    last_heard_at      timestamp with time zone not null default bus.clock(),
    -- The highest received_seq it has used.
    last_seq           bigint not null default 0,
    -- The run of the workers it was last opened in, see bus.instance.
    run_number         bigint not null default 0,
    -- last_seq when that run opened it: what came since is of this run.
    seq_before_run     bigint not null default 0,
    -- Quotes that became the best price.
    quotes_applied     bigint not null default 0,
    -- Quotes older than one already known, within a batch or before.
    quotes_superseded  bigint not null default 0,
    -- Quotes refused: see market.quarantine.
    quotes_quarantined bigint not null default 0,
    -- Trades that became the last price.
    trades_applied     bigint not null default 0,
    -- Trades older than one already known.
    trades_superseded  bigint not null default 0,
    -- Trades refused: see market.quarantine.
    trades_quarantined bigint not null default 0,
    constraint feeds_pkey PRIMARY KEY (feed),
    constraint feeds_venue_fkey FOREIGN KEY (venue) REFERENCES market.venues(venue),
    constraint feeds_source_known CHECK (source = ANY (ARRAY['live'::text, 'sim'::text, 'replay'::text])),
    constraint feeds_status_known CHECK (status = ANY (ARRAY['CONNECTED'::text, 'DISCONNECTED'::text, 'ENDED'::text]))
);

-- What can be traded and the rules an order for it must keep.
create table market.instruments (
    -- Our number for it.
    instrument_id bigint not null generated always as identity,
    -- The venue's code, such as 005930, BTC/USDT or ES=F: 1 to 40 letters of any script, digits and . _ / : = ^ & ! + @ # * $ -
    symbol        text not null,
    -- Where it trades.
    venue         text not null,
    -- What people call it.
    name          text not null,
    -- What prices are in.
    currency      text not null,
    -- Which rows of market.tick_sizes apply.
    tick_table    text not null,
    -- Quantities are whole multiples of this.
    lot_size      numeric not null default 1,
    -- The least price times quantity of an order.
    min_notional  numeric not null default 0,
    -- Lower price limit of the day; null where there is none.
    limit_low     numeric,
    -- Upper price limit of the day; null where there is none.
    limit_high    numeric,
    -- A quote older than this is stale: it fires nothing.
    max_quote_age interval not null default '00:00:05'::interval,
    -- Whether new entries are allowed.
    is_active     boolean not null default true,
    constraint instruments_pkey PRIMARY KEY (instrument_id),
    constraint instruments_symbol_key UNIQUE (symbol, venue),
    constraint instruments_venue_fkey FOREIGN KEY (venue) REFERENCES market.venues(venue),
    constraint instruments_limits_in_order CHECK (limit_low > 0::numeric AND limit_low <= limit_high),
    constraint instruments_lot_positive CHECK (lot_size > 0::numeric AND min_notional >= 0::numeric),
    constraint instruments_rules_bounded CHECK (lot_size < '1000000000000000000'::numeric AND min_notional < '1000000000000000000'::numeric AND min_scale(lot_size) <= 18 AND min_scale(min_notional) <= 18 AND COALESCE(limit_low < '1000000000000000000'::numeric, true) AND COALESCE(limit_high < '1000000000000000000'::numeric, true)),
    constraint instruments_sizes_are_finite CHECK (lot_size < 'Infinity'::numeric AND min_notional < 'Infinity'::numeric),
    constraint instruments_symbol_plain CHECK (symbol ~ '^[A-Za-z0-9._/:=^&!+@#*$\u00C0-\u024F\u0370-\u052F\u3041-\u30FF\u3400-\u9FFF\uAC00-\uD7A3-]{1,40}$'::text)
);

-- The newest best bid, best ask and last trade of each instrument.
create table market.prices_best (
    -- The instrument.
    instrument_id bigint not null,
    -- The feed that brought it.
    feed          text not null,
    -- live, sim or replay, from the feed.
    source        text not null,
    -- Best bid; null when nobody bids, and until the first quote.
    bid           numeric,
    -- Quantity at the best bid; null when there is no bid.
    bid_size      numeric,
    -- Best ask; null when nobody offers, and until the first quote.
    ask           numeric,
    -- Quantity at the best ask; null when there is no ask.
    ask_size      numeric,
    -- The venue's time of the quote; null until the first.
    quote_ts      timestamp with time zone,
    -- Order of arrival within the feed; null until the first quote.
    received_seq  bigint,
    -- When the database took the quote; null until the first.
    received_at   timestamp with time zone,
    -- What a unit is worth: the last price, not below the sound bid nor above the sound ask; kept while neither is sound, null until then.
    mark          numeric,
    -- Price of the last trade; null until the first.
    last          numeric,
    -- Quantity of the last trade; null until the first.
    last_size     numeric,
    -- The venue's time of the last trade; null until the first.
    trade_ts      timestamp with time zone,
    -- Order of arrival of the last trade; null until the first.
    trade_seq     bigint,
    -- Close of the previous trading day; null where unknown.
    prev_close    numeric,
    -- Whether one may sell to the bid: it is there, inside the limits of the day, and the quote is not crossed.
    bid_is_sound  boolean not null default false,
    -- Whether one may buy at the ask: it is there, inside the limits of the day, and the quote is not crossed.
    ask_is_sound  boolean not null default false,
    constraint prices_best_pkey PRIMARY KEY (instrument_id),
    constraint prices_best_feed_fkey FOREIGN KEY (feed) REFERENCES market.feeds(feed),
    constraint prices_best_instrument_fkey FOREIGN KEY (instrument_id) REFERENCES market.instruments(instrument_id),
    constraint prices_best_sides_are_whole CHECK ((bid IS NULL) = (bid_size IS NULL) AND (ask IS NULL) = (ask_size IS NULL)),
    constraint prices_best_sound_is_there_and_not_crossed CHECK (
CASE
    WHEN bid_is_sound OR ask_is_sound THEN received_at IS NOT NULL AND (bid <= ask) IS NOT FALSE AND (NOT bid_is_sound OR bid > 0::numeric) IS TRUE AND (NOT ask_is_sound OR ask > 0::numeric) IS TRUE
    ELSE true
END)
);

-- Prices that were refused, kept as they came.
create table market.quarantine (
    -- Order of arrival.
    quarantine_id bigint not null generated always as identity,
    -- The feed that brought it.
    feed          text not null,
    -- The symbol it claimed.
    symbol        text not null,
    -- unknown symbol, from the future, or not a price.
    reason        text not null,
    -- The price as it came.
    data          jsonb not null,
    -- When it came.
    received_at   timestamp with time zone not null default bus.clock(),
    constraint quarantine_pkey PRIMARY KEY (quarantine_id)
);

-- The daily phases in which a venue trades; outside them it is closed.
create table market.session_phases (
    -- The venue.
    venue         text not null,
    -- Name of the phase.
    phase         text not null,
    -- Venue time, inclusive.
    starts        time without time zone not null,
    -- Venue time, exclusive; 24:00 is the end of the day.
    ends          time without time zone not null,
    -- ISO days of the week, 1 Monday to 7 Sunday.
    weekdays      integer[] not null default '{1,2,3,4,5}'::integer[],
    -- True for a call auction: orders wait for the uncross.
    is_auction    boolean not null default false,
    -- How often exits look even if no quote arrives.
    poll_interval interval not null default '00:00:02'::interval,
    -- Whether exits may fire in this phase.
    exits_fire    boolean not null default true,
    constraint session_phases_pkey PRIMARY KEY (venue, phase),
    constraint session_phases_venue_fkey FOREIGN KEY (venue) REFERENCES market.venues(venue),
    constraint session_phases_in_order CHECK (starts < ends),
    constraint session_phases_weekdays_iso CHECK (weekdays <@ '{1,2,3,4,5,6,7}'::integer[])
);

-- Days that are not as their weekday says: holidays and extra sessions.
create table market.sessions (
    -- The venue.
    venue       text not null,
    -- The day, in the venue's zone.
    trading_day date not null,
    -- Whether the venue trades on that day.
    is_open     boolean not null,
    -- Why.
    note        text not null,
    constraint sessions_pkey PRIMARY KEY (venue, trading_day),
    constraint sessions_venue_fkey FOREIGN KEY (venue) REFERENCES market.venues(venue)
);

-- The smallest price steps, by price band. Source of KRX: exchange rule in force since 2023-01-25.
create table market.tick_sizes (
    -- Name of the table an instrument uses.
    tick_table text not null,
    -- The band begins at this price, inclusive.
    price_from numeric not null,
    -- Price step within the band.
    tick_size  numeric not null,
    constraint tick_sizes_pkey PRIMARY KEY (tick_table, price_from),
    constraint tick_sizes_are_finite CHECK (tick_size < 'Infinity'::numeric AND price_from < 'Infinity'::numeric),
    constraint tick_sizes_positive CHECK (tick_size > 0::numeric AND price_from >= 0::numeric),
    constraint tick_sizes_table_plain CHECK (tick_table ~ '^[A-Za-z0-9._-]{1,40}$'::text)
);

-- Where instruments trade.
create table market.venues (
    -- Short name, such as KRX.
    venue          text not null,
    -- What people call it.
    name           text not null,
    -- IANA name; trading days and phases are in this zone.
    time_zone      text not null,
    -- How far beyond the best price a taker order may go, as a fraction. It sets the worst price that is reserved.
    taker_cap_rate numeric not null default 0.005,
    -- The same for protective sells, which must get out.
    stop_cap_rate  numeric not null default 0.03,
    constraint venues_pkey PRIMARY KEY (venue),
    constraint venues_cap_rates_sane CHECK (taker_cap_rate >= 0::numeric AND taker_cap_rate <= 0.5 AND stop_cap_rate >= taker_cap_rate AND stop_cap_rate <= 0.5)
);

-- Equity of each account and day: the facts behind day P&L and drawdown.
create table risk.account_equity (
    -- The account.
    account_id     bigint not null,
    -- When the account's day began.
    day_start      timestamp with time zone not null,
    -- Equity when the day was first measured: that of the last measure of the day before.
    opening_equity numeric not null,
    -- Equity at measured_at: cash plus positions at marks clipped to bid and ask.
    equity         numeric not null,
    -- Deposits less withdrawals since the day was first measured: left out of profit.
    flows          numeric not null default 0,
    -- Highest equity so far, over all measures with fresh prices; a deposit or withdrawal moves it so that the drawdown stays what it was.
    peak           numeric not null,
    -- True when a mark was missing or stale and the last good one was used: such a measure never raises the peak.
    is_flagged     boolean not null default false,
    -- When it was last measured.
    measured_at    timestamp with time zone not null default bus.clock(),
    -- By what factor the account grew from the beginning of its day to its last deposit or withdrawal; 1 before the first.
    growth         numeric not null default 1,
    -- Equity right after the last deposit or withdrawal of the day, before the first the opening equity: what growth since then is a fraction of.
    base           numeric not null,
    constraint account_equity_pkey PRIMARY KEY (account_id, day_start),
    constraint account_equity_account_fkey FOREIGN KEY (account_id) REFERENCES trade.accounts(account_id)
);

-- Empty; only locked. Whoever admits or claims holds it in row share mode, a mode change holds it exclusively.
create table risk.gate (
    -- Never anything.
    nothing boolean,
    constraint gate_stays_empty CHECK (false)
);

-- Kinds of incidents, and what a person does about one.
create table risk.incident_kinds (
    -- Name of the kind.
    kind     text not null,
    -- critical: money or orders are uncertain, or trading has stopped. warning: look at it today.
    severity text not null,
    -- What to look at, and what to do.
    advice   text not null,
    constraint incident_kinds_pkey PRIMARY KEY (kind),
    constraint incident_kinds_advice_given CHECK (advice <> ''::text),
    constraint incident_kinds_severity_known CHECK (severity = ANY (ARRAY['warning'::text, 'critical'::text]))
);

-- What a person should look at. One open row per kind and subject.
create table risk.incidents (
    -- Our number for it.
    incident_id bigint not null generated always as identity,
    -- One of incident_kinds.
    kind        text not null,
    -- What it is about.
    subject     text not null,
    -- The facts.
    detail      jsonb not null,
    -- When it was noticed.
    opened_at   timestamp with time zone not null default bus.clock(),
    -- When it was over; null while it is open.
    closed_at   timestamp with time zone,
    constraint incidents_pkey PRIMARY KEY (incident_id),
    constraint incidents_kind_fkey FOREIGN KEY (kind) REFERENCES risk.incident_kinds(kind)
);
CREATE UNIQUE INDEX incidents_one_open_per_subject ON risk.incidents USING btree (kind, subject) WHERE (closed_at IS NULL);

-- Stops and targets that a quote reached during an outage, as the feed that kept the quotes reported afterwards.
create table risk.late_exits (
    -- The outage.
    outage_id     bigint not null,
    -- Account of the position.
    account_id    bigint not null,
    -- Instrument of the position.
    instrument_id bigint not null,
    -- Owner of the position.
    owner         text not null,
    -- One of exit_kinds.
    reason        text not null,
    -- The first bid at the stop or target.
    price         numeric not null,
    -- The venue's time of that bid.
    reached_at    timestamp with time zone not null,
    constraint late_exits_pkey PRIMARY KEY (outage_id, account_id, instrument_id, owner),
    constraint late_exits_outage_fkey FOREIGN KEY (outage_id) REFERENCES risk.outages(outage_id),
    constraint late_exits_reason_fkey FOREIGN KEY (reason) REFERENCES trade.exit_kinds(reason),
    constraint late_exits_price_is_amount CHECK (price > 0::numeric AND price < '1000000000000000000'::numeric)
);

-- Limits of an account on what strategies propose, checked when a pick is routed. A person's intent by hand passes them and counts. No row, no limit.
create table risk.limits (
    -- A limit_name of pick_bounds, which says what it bounds and in which unit.
    limit_name text not null,
    -- The account.
    account_id bigint not null,
    -- The limit.
    value      numeric not null,
    constraint limits_pkey PRIMARY KEY (account_id, limit_name),
    constraint limits_account_fkey FOREIGN KEY (account_id) REFERENCES trade.accounts(account_id),
    constraint limits_name_fkey FOREIGN KEY (limit_name) REFERENCES strategy.pick_bounds(limit_name),
    constraint limits_value_bounded CHECK (value < '1000000000000000000'::numeric AND min_scale(value) <= 18),
    constraint limits_value_not_negative CHECK (value >= 0::numeric)
);

-- Every change of a mode. Append-only.
create table risk.mode_history (
    -- Order of the changes.
    mode_change_id bigint not null generated always as identity,
    -- system, broker or account.
    scope          text not null,
    -- Name within the scope; system for the system.
    name           text not null,
    -- The mode before; null for the first.
    from_mode      text,
    -- The mode after.
    to_mode        text not null,
    -- Why.
    reason         text not null,
    -- The measurements behind it.
    evidence       jsonb not null default '{}'::jsonb,
    -- The login that did it.
    changed_by     text not null default SESSION_USER,
    -- When.
    changed_at     timestamp with time zone not null default bus.clock(),
    -- The last order that was stored before this change: later ones have higher numbers, whatever the clock says.
    last_order_id  bigint not null default 0,
    constraint mode_history_pkey PRIMARY KEY (mode_change_id)
);

-- What each mode lets through. A missing row denies.
create table risk.mode_rules (
    -- The mode that counts.
    mode    text not null,
    -- See trade.intent_types.
    action  text not null,
    -- ALLOW, APPROVE (a person must approve each intent) or DENY.
    verdict text not null,
    constraint mode_rules_pkey PRIMARY KEY (mode, action),
    constraint mode_rules_mode_fkey FOREIGN KEY (mode) REFERENCES risk.modes(mode),
    constraint mode_rules_verdict_known CHECK (verdict = ANY (ARRAY['ALLOW'::text, 'APPROVE'::text, 'DENY'::text]))
);

-- The modes, from free to strict. The strictest of system, broker and account counts.
create table risk.modes (
    -- NORMAL, SAFE or HALT.
    mode     text not null,
    -- Higher is stricter.
    severity integer not null,
    constraint modes_pkey PRIMARY KEY (mode),
    constraint modes_severity_key UNIQUE (severity)
);

-- What each worker said about an outage when it could write again.
create table risk.outage_reports (
    -- The outage.
    outage_id bigint not null,
    -- The worker that could not work.
    worker_id bigint not null,
    -- Since when it could not, by the database's clock.
    began_at  timestamp with time zone not null,
    -- Until when.
    ended_at  timestamp with time zone not null,
    -- How many attempts failed.
    failures  integer not null,
    -- The first error.
    reason    text not null,
    constraint outage_reports_pkey PRIMARY KEY (outage_id, worker_id, began_at),
    constraint outage_reports_outage_fkey FOREIGN KEY (outage_id) REFERENCES risk.outages(outage_id),
    constraint outage_reports_end_after_they_begin CHECK (ended_at >= began_at),
    constraint outage_reports_reason_short CHECK (octet_length(reason) <= 500)
);

-- Times in which workers could not work with the database. Reports of the same time share one row and one incident.
create table risk.outages (
    -- Our number for it.
    outage_id   bigint not null generated always as identity,
    -- The incident a person sees.
    incident_id bigint not null,
    -- The earliest beginning that was reported.
    began_at    timestamp with time zone not null,
    -- The latest end that was reported.
    ended_at    timestamp with time zone not null,
    constraint outages_pkey PRIMARY KEY (outage_id),
    constraint outages_incident_key UNIQUE (incident_id),
    constraint outages_incident_fkey FOREIGN KEY (incident_id) REFERENCES risk.incidents(incident_id),
    constraint outages_end_after_they_begin CHECK (ended_at >= began_at)
);

-- Every try of the override code. Append-only.
create table risk.override_attempts (
    -- Its number, from risk.override_attempts_ever.
    attempt_id bigint not null,
    -- ACCEPTED, WRONG, or ROLLED_BACK: its transaction was undone, which does not undo the try.
    outcome    text not null,
    -- Who tried; null where that was rolled back.
    login      text default SESSION_USER,
    -- When it was made; for one that was rolled back, when that was noticed.
    noted_at   timestamp with time zone not null default bus.clock(),
    constraint override_attempts_pkey PRIMARY KEY (attempt_id),
    constraint override_attempts_login_iff_known CHECK ((login IS NULL) = (outcome = 'ROLLED_BACK'::text)),
    constraint override_attempts_outcome_known CHECK (outcome = ANY (ARRAY['ACCEPTED'::text, 'WRONG'::text, 'ROLLED_BACK'::text]))
);

-- The code that leaves HALT, salted and hashed. One row; without it nobody leaves HALT.
create table risk.override_codes (
    -- Always true: there is one row.
    singleton boolean not null default true,
    -- Random text.
    salt      text not null,
    -- sha256 of salt and code, so many rounds of it, as hex.
    digest    text not null,
    -- The login that set it.
    set_by    text not null default SESSION_USER,
    -- When it was set.
    set_at    timestamp with time zone not null default bus.clock(),
    -- How often it was hashed: 1 for a code that was set before it was made slow.
    rounds    integer not null,
    constraint override_codes_pkey PRIMARY KEY (singleton),
    constraint override_codes_is_one_row CHECK (singleton),
    constraint override_codes_rounds_positive CHECK (rounds > 0)
);

-- Modes of single brokers and accounts, so that a broken broker does not stop the others.
create table risk.scoped_modes (
    -- broker or account.
    scope      text not null,
    -- Name of the broker or account.
    name       text not null,
    -- NORMAL, SAFE or HALT.
    mode       text not null,
    -- Why it is so.
    reason     text not null,
    -- The measurements behind the change; empty when a person decided.
    evidence   jsonb not null default '{}'::jsonb,
    -- The login that changed it.
    changed_by text not null default SESSION_USER,
    -- When it was changed.
    changed_at timestamp with time zone not null default bus.clock(),
    constraint scoped_modes_pkey PRIMARY KEY (scope, name),
    constraint scoped_modes_mode_fkey FOREIGN KEY (mode) REFERENCES risk.modes(mode),
    constraint scoped_modes_scope_known CHECK (scope = ANY (ARRAY['broker'::text, 'account'::text]))
);

-- The mode of the whole system. One row; without it nothing trades.
create table risk.system_mode (
    -- Always true: there is one row.
    singleton  boolean not null default true,
    -- NORMAL, SAFE or HALT.
    mode       text not null,
    -- Why it is so.
    reason     text not null,
    -- The measurements behind the change; empty when a person decided.
    evidence   jsonb not null default '{}'::jsonb,
    -- The login that changed it.
    changed_by text not null default SESSION_USER,
    -- When it was changed, after the gate was locked.
    changed_at timestamp with time zone not null default bus.clock(),
    constraint system_mode_pkey PRIMARY KEY (singleton),
    constraint system_mode_mode_fkey FOREIGN KEY (mode) REFERENCES risk.modes(mode),
    constraint system_mode_is_one_row CHECK (singleton)
);

-- The latest sample of each trigger and subject.
create table risk.trigger_states (
    -- The trigger.
    trigger_name text not null,
    -- system, broker or account: what the mode would be changed of.
    scope        text not null,
    -- Which broker or account; system for the system.
    subject      text not null,
    -- The measured value; null when it could not be measured, which is never true.
    value        numeric,
    -- The facts behind the value.
    evidence     jsonb not null,
    -- Whether the value was beyond the threshold.
    is_true      boolean not null,
    -- True samples in a row.
    samples      integer not null,
    -- When the first of these was measured; null when it is not true.
    true_since   timestamp with time zone,
    -- When it was measured.
    measured_at  timestamp with time zone not null,
    -- When it last changed the mode; null when it never did.
    fired_at     timestamp with time zone,
    constraint trigger_states_pkey PRIMARY KEY (trigger_name, scope, subject),
    constraint trigger_states_trigger_fkey FOREIGN KEY (trigger_name) REFERENCES risk.triggers(trigger_name) ON DELETE CASCADE,
    constraint trigger_states_samples_not_negative CHECK (samples >= 0),
    constraint trigger_states_scope_known CHECK (scope = ANY (ARRAY['system'::text, 'broker'::text, 'account'::text])),
    constraint trigger_states_true_since_iff_true CHECK ((true_since IS NOT NULL) = is_true)
);

-- What changes a mode by itself: a measure compared with a threshold. Each measure is a view risk.measure_<measure>.
create table risk.triggers (
    -- Its name, as the history of modes shows it.
    trigger_name text not null,
    -- What is measured: the name of a view of risk without measure_.
    measure      text not null,
    -- How the measured value is compared with the threshold.
    comparison   text not null,
    -- In the unit of the measure.
    threshold    numeric not null,
    -- It fires after this many true samples in a row.
    samples      integer not null default 1,
    -- It fires after it has been true for so long.
    lasting      interval not null default '00:00:00'::interval,
    -- The mode to enter, in the scope that the measure names; never a milder one than now.
    mode         text not null,
    -- False: it is measured and shown, and changes nothing.
    is_enabled   boolean not null default true,
    -- What it protects from.
    meaning      text not null,
    constraint triggers_pkey PRIMARY KEY (trigger_name),
    constraint triggers_mode_fkey FOREIGN KEY (mode) REFERENCES risk.modes(mode),
    constraint triggers_comparison_known CHECK (comparison = ANY (ARRAY['<'::text, '<='::text, '>'::text, '>='::text])),
    constraint triggers_lasting_not_negative CHECK (lasting >= '00:00:00'::interval),
    constraint triggers_meaning_given CHECK (meaning <> ''::text),
    constraint triggers_measure_plain CHECK (measure ~ '^[a-z][a-z0-9_]{0,40}$'::text),
    constraint triggers_name_plain CHECK (trigger_name ~ '^[a-z][a-z0-9_]{0,40}$'::text),
    constraint triggers_samples_positive CHECK (samples > 0),
    constraint triggers_threshold_bounded CHECK (abs(threshold) < '1000000000000000000'::numeric AND min_scale(threshold) <= 18)
);

-- One broker account and one currency each.
create table trade.accounts (
    -- Our number for it; locks are taken in its order.
    account_id     bigint not null generated always as identity,
    -- The name people use.
    account        text not null,
    -- Which adapter serves it.
    broker         text not null,
    -- The broker's own number for it.
    broker_account text not null,
    -- The venue whose symbols it trades.
    venue          text not null,
    -- The currency of its cash.
    currency       text not null,
    -- Where the account's day begins, in the venue's zone.
    day_boundary   time without time zone not null default '00:00:00'::time without time zone,
    -- How far the broker's fills have been read, in the broker's own terms; empty at the start.
    fills_cursor   text not null default ''::text,
    -- The last reconciliation that agreed; null before the first. Claims wait for one since bus.instance.started_at.
    reconciled_at  timestamp with time zone,
    -- When it was added.
    created_at     timestamp with time zone not null default bus.now(),
    -- The run in which it last agreed with its broker: it takes part while that is the present one. Null before the first time.
    reconciled_run bigint,
    -- When the broker's fills were last read to their end or to a page of them; null before the first time.
    fills_read_at  timestamp with time zone,
    constraint accounts_pkey PRIMARY KEY (account_id),
    constraint accounts_account_key UNIQUE (account),
    constraint accounts_broker_account_key UNIQUE (broker, broker_account, currency),
    constraint accounts_broker_fkey FOREIGN KEY (broker) REFERENCES trade.brokers(broker),
    constraint accounts_venue_fkey FOREIGN KEY (venue) REFERENCES market.venues(venue),
    constraint accounts_account_plain CHECK (account ~ '^[a-z][a-z0-9_-]{0,39}$'::text)
);

-- The cash of each account: the sum of its entries, and what live buys have reserved of it.
create table trade.balances (
    -- The account.
    account_id  bigint not null,
    -- Sum of trade.cash_entries. A fact: it may be anything, even negative.
    cash        numeric not null default 0,
    -- Sum of reserved_cash of live buy intents, and of what stray buys may still spend.
    locked_cash numeric not null default 0,
    -- By how much facts have undercut the reservations. Above zero no new buy is taken.
    breach_cash numeric not null default 0,
    -- The part of locked_cash that stray orders may still spend.
    stray_cash  numeric not null default 0,
    constraint balances_pkey PRIMARY KEY (account_id),
    constraint balances_account_fkey FOREIGN KEY (account_id) REFERENCES trade.accounts(account_id),
    constraint balances_locked_within_cash CHECK (locked_cash <= (cash + breach_cash)),
    constraint balances_not_negative CHECK (locked_cash >= 0::numeric AND breach_cash >= 0::numeric),
    constraint balances_stray_within_locked CHECK (stray_cash >= 0::numeric AND stray_cash <= locked_cash)
);

-- Brokers and how long their answers may take.
create table trade.brokers (
    -- Name of the adapter: paper is the file workers/brokers/paper.py.
    broker           text not null,
    -- True where real money moves: such a broker needs live prices.
    is_real          boolean not null,
    -- A claimed order must leave within this time or not at all.
    send_within      interval not null default '00:00:01'::interval,
    -- How long the worker waits for the answer to an order it sent.
    answer_timeout   interval not null default '00:00:05'::interval,
    -- How long an accepted order may be missing from the broker's own lists.
    visibility_lag   interval not null default '00:00:00'::interval,
    -- How many clean "not found" answers make it definite.
    not_found_needed integer not null default 1,
    -- How long one worker has an order in doubt, or a cancel, to itself.
    lease            interval not null default '00:00:10'::interval,
    -- After how long without a question a live order is asked about.
    check_every      interval not null default '00:01:00'::interval,
    -- When live orders were last handed out to be asked about: at most one batch each second; null before.
    checked_at       timestamp with time zone,
    -- A view with a column account_id: accounts for which the broker may have a fill to read, so that the others are not asked. Null: it may have one at any time. Obeyed from the next deployment on; until then like null.
    fills_view       text,
    constraint brokers_pkey PRIMARY KEY (broker),
    constraint brokers_broker_plain CHECK (broker ~ '^[a-z][a-z0-9_]*$'::text),
    constraint brokers_check_every_positive CHECK (check_every > '00:00:00'::interval),
    constraint brokers_fills_view_plain CHECK (fills_view ~ '^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$'::text),
    constraint brokers_not_found_needed_positive CHECK (not_found_needed > 0),
    constraint brokers_times_positive CHECK (send_within > '00:00:00'::interval AND answer_timeout > '00:00:00'::interval AND visibility_lag >= '00:00:00'::interval AND lease > '00:00:00'::interval)
);

-- Executions a venue took back: what they did was undone by new rows. Append-only.
create table trade.busts (
    -- The fill that was taken back.
    fill_id           bigint not null,
    -- The row that undid it in the position.
    reconciliation_id bigint not null,
    -- What the venue said.
    reason            text not null,
    -- When we heard of it.
    created_at        timestamp with time zone not null default bus.clock(),
    constraint busts_pkey PRIMARY KEY (fill_id),
    constraint busts_fill_fkey FOREIGN KEY (fill_id) REFERENCES trade.fills(fill_id),
    constraint busts_reconciliation_fkey FOREIGN KEY (reconciliation_id) REFERENCES trade.reconciliations(reconciliation_id)
);

-- Every movement of cash; their sum is the balance. Append-only.
create table trade.cash_entries (
    -- Order of writing.
    cash_entry_id   bigint not null generated always as identity,
    -- The account.
    account_id      bigint not null,
    -- fill, fee, tax, deposit, withdrawal, dividend or correction.
    kind            text not null,
    -- Added to the balance, in the account's currency; negative when paid.
    amount          numeric not null,
    -- The fill it belongs to; null for what no fill caused.
    fill_id         bigint,
    -- What a person should know about it.
    note            text not null default ''::text,
    -- The login that wrote it.
    created_by      text not null default SESSION_USER,
    -- When it was written.
    created_at      timestamp with time zone not null default bus.clock(),
    -- Chosen by whoever books money by hand, so that the same twice is booked once; null where none was given.
    idempotency_key text,
    constraint cash_entries_pkey PRIMARY KEY (cash_entry_id),
    constraint cash_entries_account_fkey FOREIGN KEY (account_id) REFERENCES trade.accounts(account_id),
    constraint cash_entries_fill_fkey FOREIGN KEY (fill_id) REFERENCES trade.fills(fill_id),
    constraint cash_entries_fill_iff_traded CHECK ((fill_id IS NOT NULL) = (kind = ANY (ARRAY['fill'::text, 'fee'::text, 'tax'::text]))),
    constraint cash_entries_key_bounded CHECK (octet_length(idempotency_key) >= 1 AND octet_length(idempotency_key) <= 200),
    constraint cash_entries_kind_known CHECK (kind = ANY (ARRAY['fill'::text, 'fee'::text, 'tax'::text, 'deposit'::text, 'withdrawal'::text, 'dividend'::text, 'correction'::text])),
    constraint cash_entries_sign_fits CHECK (
CASE kind
    WHEN 'deposit'::text THEN amount > 0::numeric
    WHEN 'withdrawal'::text THEN amount < 0::numeric
    ELSE amount <> 0::numeric
END)
);
CREATE INDEX cash_entries_by_account ON trade.cash_entries USING btree (account_id, cash_entry_id);
CREATE INDEX cash_entries_by_fill ON trade.cash_entries USING btree (fill_id) WHERE (fill_id IS NOT NULL);
CREATE INDEX cash_entries_flows ON trade.cash_entries USING btree (account_id, created_at) WHERE (kind = ANY (ARRAY['deposit'::text, 'withdrawal'::text]));
CREATE UNIQUE INDEX cash_entries_idempotency_key ON trade.cash_entries USING btree (account_id, idempotency_key) WHERE (idempotency_key IS NOT NULL);

-- Reasons to leave a position. Each has a view trade.exit_on_<reason>, which says at which bids a position is sold.
create table trade.exit_kinds (
    -- The reason of the intents it makes, such as STOP_LOSS.
    reason   text not null,
    -- When several are reached at once, the lowest gives the reason.
    priority integer not null,
    -- True: it does not wait for a resting limit sell of the same shares but lowers the price of that sell.
    is_stop  boolean not null,
    -- What it does, and what the value of its rule means.
    meaning  text not null,
    constraint exit_kinds_pkey PRIMARY KEY (reason),
    constraint exit_kinds_priority_key UNIQUE (priority),
    constraint exit_kinds_meaning_given CHECK (meaning <> ''::text),
    constraint exit_kinds_reason_plain CHECK (reason ~ '^[A-Z][A-Z_]{0,40}$'::text)
);

-- How far from the average price a position is closed.
create table trade.exit_profiles (
    -- Name.
    profile text not null,
    constraint exit_profiles_pkey PRIMARY KEY (profile)
);

-- The rules of each exit profile. No row, no such exit.
create table trade.exit_rules (
    -- The profile.
    profile text not null,
    -- One of exit_kinds.
    reason  text not null,
    -- Its parameter; exit_kinds says what it means.
    value   numeric not null,
    constraint exit_rules_pkey PRIMARY KEY (profile, reason),
    constraint exit_rules_profile_fkey FOREIGN KEY (profile) REFERENCES trade.exit_profiles(profile),
    constraint exit_rules_reason_fkey FOREIGN KEY (reason) REFERENCES trade.exit_kinds(reason),
    constraint exit_rules_stop_below_one CHECK (reason <> 'STOP_LOSS'::text OR value < 1::numeric),
    constraint exit_rules_value_bounded CHECK (value < '1000000000000000000'::numeric AND min_scale(value) <= 18),
    constraint exit_rules_value_positive CHECK (value > 0::numeric)
);

-- What happened at the broker: executions, each counted once. Append-only.
create table trade.fills (
    -- Our number for it.
    fill_id        bigint not null generated always as identity,
    -- The order that was filled.
    order_id       bigint not null,
    -- The intent of the order.
    intent_id      bigint not null,
    -- The account.
    account_id     bigint not null,
    -- The instrument.
    instrument_id  bigint not null,
    -- Whose position it changed.
    owner          text not null,
    -- BUY or SELL.
    side           text not null,
    -- Day of the fill in the venue's zone.
    trade_date     date not null,
    -- The broker's own number: one execution of its order, and of its instrument and day.
    broker_fill_id text not null,
    -- Quantity filled.
    quantity       numeric not null,
    -- Price per unit as first reported; a difference reported later is an entry of cash.
    price          numeric not null,
    -- Commission as first reported, negative for a rebate; what is reported later is an entry of cash.
    fee            numeric not null,
    -- Tax as first reported; what is reported later is an entry of cash.
    tax            numeric not null,
    -- Commission taken in units of the instrument, as first reported; more of it reported later is a reconciliation.
    fee_qty        numeric not null default 0,
    -- What it added to the position's realized_pnl when it was recorded.
    realized_pnl   numeric not null,
    -- The broker's time of the fill.
    filled_at      timestamp with time zone not null,
    -- When we wrote it down.
    recorded_at    timestamp with time zone not null default bus.clock(),
    -- False where the broker did not say when: filled_at and trade_date are then of the moment we heard of it.
    is_time_told   boolean not null default true,
    -- How often the execution had been taken back before this report of it; 0 for the first.
    revision       integer not null default 0,
    -- Of its quantity, what an execution that was taken back had used up of the order and intent already.
    corrected_qty  numeric not null default 0,
    constraint fills_pkey PRIMARY KEY (fill_id),
    constraint fills_broker_fill_key UNIQUE (account_id, instrument_id, trade_date, broker_fill_id, revision),
    constraint fills_order_fill_key UNIQUE (order_id, broker_fill_id, revision),
    constraint fills_intent_fkey FOREIGN KEY (intent_id) REFERENCES trade.order_intents(intent_id),
    constraint fills_order_fkey FOREIGN KEY (order_id) REFERENCES trade.orders(order_id),
    constraint fills_position_fkey FOREIGN KEY (account_id, instrument_id, owner) REFERENCES trade.positions(account_id, instrument_id, owner),
    constraint fills_corrected_within_quantity CHECK (corrected_qty >= 0::numeric AND corrected_qty <= quantity),
    constraint fills_fee_qty_within_quantity CHECK (fee_qty >= 0::numeric AND fee_qty < quantity),
    constraint fills_quantity_positive CHECK (quantity > 0::numeric AND price > 0::numeric),
    constraint fills_revision_not_negative CHECK (revision >= 0),
    constraint fills_side_known CHECK (side = ANY (ARRAY['BUY'::text, 'SELL'::text]))
);
CREATE INDEX fills_by_intent ON trade.fills USING btree (intent_id);

-- The moves an intent may make; everything else is refused.
create table trade.intent_transitions (
    -- Status before; BEGIN for a new row.
    from_status text not null,
    -- Status after.
    to_status   text not null,
    constraint intent_transitions_pkey PRIMARY KEY (from_status, to_status)
);

-- What kinds of intent there are and which row of risk.mode_rules decides on each.
create table trade.intent_types (
    -- Kind of intent.
    intent_type text not null,
    -- BUY or SELL.
    side        text not null,
    -- The action the mode allows or denies.
    action      text not null,
    constraint intent_types_pkey PRIMARY KEY (intent_type, side),
    constraint intent_types_action_known CHECK (action = ANY (ARRAY['NEW_BUY'::text, 'ADD'::text, 'PROTECTIVE_SELL'::text, 'OTHER_SELL'::text])),
    constraint intent_types_side_known CHECK (side = ANY (ARRAY['BUY'::text, 'SELL'::text]))
);

-- A decision to buy or sell that was admitted: what it may spend or sell is reserved.
create table trade.order_intents (
    -- Our number for it.
    intent_id       bigint not null generated always as identity,
    -- The account.
    account_id      bigint not null,
    -- The instrument.
    instrument_id   bigint not null,
    -- The strategy it belongs to, or manual.
    owner           text not null,
    -- ENTRY, ADD, PYRAMID, REENTRY, EXIT, FLATTEN or MANUAL.
    intent_type     text not null,
    -- BUY or SELL.
    side            text not null,
    -- Why, such as STOP_LOSS.
    reason          text not null,
    -- Quantity wanted, in whole lots.
    quantity        numeric not null,
    -- The caller's limit; null when it takes up to worst_price.
    limit_price     numeric,
    -- The worst price it may trade at; a buy reserves cash at it.
    worst_price     numeric not null,
    -- Fees and taxes reserved on top, as a fraction.
    reserve_rate    numeric not null default 0,
    -- Moves only along trade.intent_transitions.
    status          text not null default 'NEW'::text,
    -- Quantity of the position it has reserved; 0 for a buy.
    reserved_qty    numeric not null,
    -- Cash it has reserved; 0 for a sell.
    reserved_cash   numeric not null,
    -- Quantity filled, at most quantity.
    filled_qty      numeric not null default 0,
    -- Quantity the broker filled beyond what we asked.
    overfill_qty    numeric not null default 0,
    -- How many orders were made for it.
    attempts        integer not null default 0,
    -- Chosen by the caller: the same key again returns this intent. Those of exits and picks begin with aegis:, which no caller's may.
    idempotency_key text not null,
    -- What the caller asked; the same key with another request is refused.
    request         jsonb not null,
    -- The pick it came from; null for exits and intents by hand.
    pick_id         bigint,
    -- When the database took the quote that caused it; null where none did.
    quote_at        timestamp with time zone,
    -- The login that made it.
    created_by      text not null default SESSION_USER,
    -- When it was admitted.
    created_at      timestamp with time zone not null default bus.clock(),
    -- Not claimed before this instant; null when there is nothing to wait for.
    not_before      timestamp with time zone,
    -- After this instant it is ended.
    expires_at      timestamp with time zone not null,
    -- When a worker last took it; null while nobody has.
    claimed_at      timestamp with time zone,
    -- The login that approved it; null where nobody did.
    approved_by     text,
    -- When it was approved; null where nobody did.
    approved_at     timestamp with time zone,
    -- When it ended; null while it lives.
    closed_at       timestamp with time zone,
    -- Why it ended; null while it lives.
    closed_reason   text,
    -- When a stop turned a resting sell into one that must get out; null where none did.
    escalated_at    timestamp with time zone,
    -- Where its story began: the pick, else the intent itself.
    correlation_id  text not null generated always as (COALESCE(('pick:'::text || (pick_id)::text), ('intent:'::text || (intent_id)::text))) stored,
    -- How long it was asked to live, counted again from an approval; null for intents older than this column.
    ttl             interval,
    constraint order_intents_pkey PRIMARY KEY (intent_id),
    constraint order_intents_idempotency_key UNIQUE (account_id, idempotency_key),
    constraint order_intents_account_fkey FOREIGN KEY (account_id) REFERENCES trade.accounts(account_id),
    constraint order_intents_instrument_fkey FOREIGN KEY (instrument_id) REFERENCES market.instruments(instrument_id),
    constraint order_intents_type_fkey FOREIGN KEY (intent_type, side) REFERENCES trade.intent_types(intent_type, side)
);
CREATE INDEX order_intents_by_pick ON trade.order_intents USING btree (pick_id) WHERE (pick_id IS NOT NULL);
CREATE INDEX order_intents_entries ON trade.order_intents USING btree (account_id, created_at) WHERE ((side = 'BUY'::text) AND (filled_qty > (0)::numeric));
CREATE INDEX order_intents_live ON trade.order_intents USING btree (account_id, instrument_id, owner) WHERE (closed_at IS NULL);
CREATE INDEX order_intents_live_expiry ON trade.order_intents USING btree (expires_at) WHERE (closed_at IS NULL);
CREATE INDEX order_intents_waiting ON trade.order_intents USING btree (side DESC, intent_id) WHERE (status = 'NEW'::text);

-- The moves an order may make; everything else is refused.
create table trade.order_transitions (
    -- Status before; BEGIN for a new row.
    from_status text not null,
    -- Status after.
    to_status   text not null,
    constraint order_transitions_pkey PRIMARY KEY (from_status, to_status)
);

-- One row per order, stored before a broker hears of it.
create table trade.orders (
    -- Our number for it.
    order_id            bigint not null generated always as identity,
    -- The intent it carries out.
    intent_id           bigint not null,
    -- The order an amend replaces; null where it is no amend.
    parent_order_id     bigint,
    -- The account, copied from the intent.
    account_id          bigint not null,
    -- The instrument, copied from the intent.
    instrument_id       bigint not null,
    -- BUY or SELL, copied from the intent.
    side                text not null,
    -- Instance epoch, intent and attempt: the broker hears each one once.
    client_order_id     text not null,
    -- The broker's number; null until it answered. Where a broker uses numbers again the next day, its adapter puts the date in front.
    broker_order_id     text,
    -- Moves only along trade.order_transitions.
    status              text not null,
    -- LIMIT or MARKET.
    order_type          text not null default 'LIMIT'::text,
    -- Quantity sent.
    quantity            numeric not null,
    -- Limit sent; for a market order the price cash was reserved at.
    limit_price         numeric not null,
    -- Quantity filled, at most quantity.
    filled_qty          numeric not null default 0,
    -- Quantity filled beyond quantity.
    overfill_qty        numeric not null default 0,
    -- The worker that may answer for it; null for a child that waits.
    claimed_by          bigint,
    -- Raised when another worker takes it over; an answer with an older fence is refused.
    fence               bigint not null default 1,
    -- It leaves before this instant or not at all.
    send_before         timestamp with time zone not null,
    -- When it was claimed.
    created_at          timestamp with time zone not null default bus.clock(),
    -- When the broker's first answer was recorded; null until then.
    answered_at         timestamp with time zone,
    -- When somebody asked to cancel it, or it was found to be a stray; null when nobody did.
    cancel_requested_at timestamp with time zone,
    -- When the broker may be asked (again) to cancel it or about it; null when there is no need.
    next_ask_at         timestamp with time zone,
    -- When its rest is to be replaced by another order; null when it is not.
    amend_at            timestamp with time zone,
    -- Limit of the order that replaces it; null when none does.
    amend_price         numeric,
    -- True for the child of an amend until the broker has put it in its parent's place.
    is_pending          boolean not null default false,
    -- Clean "not found" answers so far.
    not_found_count     integer not null default 0,
    -- When it ended; null while it lives.
    closed_at           timestamp with time zone,
    -- Why it ended; null while it lives.
    closed_reason       text,
    -- When it came to its status.
    state_since         timestamp with time zone not null default bus.clock(),
    -- When the broker is asked whether it still has it; null before it was accepted.
    check_at            timestamp with time zone,
    -- When the broker said that nothing more of it will trade; null where it ended by our own conclusion, or lives.
    broker_ended_at     timestamp with time zone,
    -- Since when a fact says that the broker has it though we ended it; null again once the broker is rid of it.
    stray_since         timestamp with time zone,
    constraint orders_pkey PRIMARY KEY (order_id),
    constraint orders_client_order_id_key UNIQUE (client_order_id),
    constraint orders_claimed_by_fkey FOREIGN KEY (claimed_by) REFERENCES bus.workers(worker_id),
    constraint orders_intent_fkey FOREIGN KEY (intent_id) REFERENCES trade.order_intents(intent_id),
    constraint orders_parent_fkey FOREIGN KEY (parent_order_id) REFERENCES trade.orders(order_id)
);
CREATE INDEX orders_amend_due ON trade.orders USING btree (amend_at) WHERE ((amend_at IS NOT NULL) AND (closed_at IS NULL));
CREATE UNIQUE INDEX orders_broker_order_id_key ON trade.orders USING btree (account_id, broker_order_id) WHERE (broker_order_id IS NOT NULL);
CREATE INDEX orders_by_intent ON trade.orders USING btree (intent_id);
CREATE INDEX orders_cancel_asked ON trade.orders USING btree (order_id) WHERE ((cancel_requested_at IS NOT NULL) AND ((closed_at IS NULL) OR (stray_since IS NOT NULL)));
CREATE INDEX orders_check_due ON trade.orders USING btree (check_at) WHERE ((check_at IS NOT NULL) AND (closed_at IS NULL) AND (cancel_requested_at IS NULL));
CREATE UNIQUE INDEX orders_one_live_per_intent ON trade.orders USING btree (intent_id) WHERE ((closed_at IS NULL) AND (NOT is_pending));
CREATE UNIQUE INDEX orders_one_pending_child ON trade.orders USING btree (intent_id) WHERE ((closed_at IS NULL) AND is_pending);
CREATE INDEX orders_open ON trade.orders USING btree (account_id) WHERE (closed_at IS NULL);
CREATE INDEX orders_unanswered ON trade.orders USING btree (send_before) WHERE (status = ANY (ARRAY['SENDING'::text, 'IN_DOUBT'::text]));
CREATE INDEX orders_unsettled ON trade.orders USING btree (account_id, instrument_id, side) WHERE ((status = ANY (ARRAY['SENDING'::text, 'IN_DOUBT'::text])) OR (stray_since IS NOT NULL));

-- The prices at which each position is sold by itself.
create table trade.position_exits (
    -- The account.
    account_id    bigint not null,
    -- The instrument.
    instrument_id bigint not null,
    -- The owner of the position.
    owner         text not null,
    -- Where the prices come from.
    profile       text not null,
    -- Sell when the bid is at or below; null for no stop.
    stop_price    numeric,
    -- Sell when the bid is at or above; null for no target.
    take_price    numeric,
    -- Whether it fires.
    is_armed      boolean not null,
    -- How many exit intents it has made: part of their idempotency keys.
    fired         integer not null default 0,
    -- Exits the broker definitely refused since the last fill.
    rejections    integer not null default 0,
    -- Does not fire before this, after a refusal; null when it may.
    not_before    timestamp with time zone,
    -- Why it is not armed, where somebody should know.
    note          text not null default ''::text,
    -- When it last changed.
    changed_at    timestamp with time zone not null default bus.clock(),
    constraint position_exits_pkey PRIMARY KEY (account_id, instrument_id, owner),
    constraint position_exits_position_fkey FOREIGN KEY (account_id, instrument_id, owner) REFERENCES trade.positions(account_id, instrument_id, owner),
    constraint position_exits_profile_fkey FOREIGN KEY (profile) REFERENCES trade.exit_profiles(profile)
);
CREATE INDEX position_exits_armed ON trade.position_exits USING btree (instrument_id) WHERE is_armed;

-- What each owner holds of each instrument in each account. Long only.
create table trade.positions (
    -- The account.
    account_id    bigint not null,
    -- The instrument.
    instrument_id bigint not null,
    -- The strategy it belongs to, or manual.
    owner         text not null,
    -- Quantity held: fills plus reconciliations.
    qty           numeric not null default 0,
    -- Sum of reserved_qty of live sell intents, and of what stray sells may still sell.
    locked_qty    numeric not null default 0,
    -- By how much facts have undercut the reservations. Above zero no new intent is taken.
    breach_qty    numeric not null default 0,
    -- Profit of what was sold, less all fees and taxes paid on buys and sells, in the account's currency.
    realized_pnl  numeric not null default 0,
    -- Raised by each change of qty, cost or realized_pnl.
    version       bigint not null default 1,
    -- When it last went from flat to held; null when flat.
    opened_at     timestamp with time zone,
    -- What the quantity held was bought for, without fees, in the account's currency; exact, 0 when flat.
    cost          numeric not null default 0,
    -- Average entry price without fees: cost / qty, to at least 16 digits; 0 when flat.
    avg_price     numeric not null generated always as (COALESCE(trim_scale((trim_scale(cost) / NULLIF(trim_scale(qty), (0)::numeric))), (0)::numeric)) stored,
    -- The part of locked_qty that stray orders may still sell.
    stray_qty     numeric not null default 0,
    constraint positions_pkey PRIMARY KEY (account_id, instrument_id, owner),
    constraint positions_account_fkey FOREIGN KEY (account_id) REFERENCES trade.accounts(account_id),
    constraint positions_instrument_fkey FOREIGN KEY (instrument_id) REFERENCES market.instruments(instrument_id),
    constraint positions_cost_while_held CHECK (cost >= 0::numeric AND (qty > 0::numeric OR cost = 0::numeric)),
    constraint positions_locked_within_qty CHECK (locked_qty <= (qty + breach_qty)),
    constraint positions_not_negative CHECK (qty >= 0::numeric AND locked_qty >= 0::numeric AND breach_qty >= 0::numeric),
    constraint positions_opened_iff_held CHECK ((opened_at IS NOT NULL) = (qty > 0::numeric)),
    constraint positions_stray_within_locked CHECK (stray_qty >= 0::numeric AND stray_qty <= locked_qty)
);

-- Comparisons with brokers that proved something. A difference counts when two in a row see the same.
create table trade.reconciliation_runs (
    -- Order of the comparisons.
    run_id      bigint not null generated always as identity,
    -- The account.
    account_id  bigint not null,
    -- AGREES, DIFFERS (seen once), WAITS (an order in flight may explain it) or CORRECTED (seen twice and put right by recorded rows).
    answer      text not null,
    -- What we held and had in flight, see api.holdings_fingerprint.
    fingerprint text not null,
    -- Each item with ours and theirs.
    differences jsonb not null default '[]'::jsonb,
    -- When.
    ran_at      timestamp with time zone not null default bus.clock(),
    constraint reconciliation_runs_pkey PRIMARY KEY (run_id),
    constraint reconciliation_runs_account_fkey FOREIGN KEY (account_id) REFERENCES trade.accounts(account_id),
    constraint reconciliation_runs_answer_known CHECK (answer = ANY (ARRAY['AGREES'::text, 'DIFFERS'::text, 'WAITS'::text, 'CORRECTED'::text]))
);
CREATE INDEX reconciliation_runs_by_account ON trade.reconciliation_runs USING btree (account_id, run_id DESC);

-- Corrections of positions that no fill explains. Append-only.
create table trade.reconciliations (
    -- Order of writing.
    reconciliation_id bigint not null generated always as identity,
    -- The account.
    account_id        bigint not null,
    -- The instrument.
    instrument_id     bigint not null,
    -- The owner whose position was corrected.
    owner             text not null,
    -- Added to the position; negative when it was too large.
    quantity          numeric not null,
    -- Price the correction is valued at.
    price             numeric not null,
    -- Why.
    reason            text not null,
    -- When.
    created_at        timestamp with time zone not null default bus.clock(),
    -- The fill whose fee in kind was reported after it; null otherwise.
    fill_id           bigint,
    constraint reconciliations_pkey PRIMARY KEY (reconciliation_id),
    constraint reconciliations_fill_fkey FOREIGN KEY (fill_id) REFERENCES trade.fills(fill_id),
    constraint reconciliations_position_fkey FOREIGN KEY (account_id, instrument_id, owner) REFERENCES trade.positions(account_id, instrument_id, owner),
    constraint reconciliations_not_nothing CHECK (quantity <> 0::numeric AND price >= 0::numeric)
);
CREATE INDEX reconciliations_by_fill ON trade.reconciliations USING btree (fill_id) WHERE (fill_id IS NOT NULL);

-- How long orders and intents may stay as they are before an incident is opened.
create table trade.state_limits (
    -- The state.
    state   text not null,
    -- The longest time in it.
    longest interval not null,
    -- What ends the state in time, and how long that takes.
    because text not null,
    constraint state_limits_pkey PRIMARY KEY (state),
    constraint state_limits_longest_positive CHECK (longest > '00:00:00'::interval)
);

-- Executions, totals and busts that fit nothing we know: each different fact once, never removed.
create table trade.unmatched_fills (
    -- Order of hearing of them.
    unmatched_fill_id bigint not null generated always as identity,
    -- The account they were reported for.
    account_id        bigint not null,
    -- Account, order and number, as the incident names them.
    subject           text not null,
    -- md5 of subject and facts as they were reported.
    digest            text not null,
    -- What was reported; what is very long is cut and says how long it was.
    facts             jsonb not null,
    -- How often it was reported.
    times             bigint not null default 1,
    -- When it was first reported.
    first_at          timestamp with time zone not null default bus.clock(),
    -- When it was last reported.
    last_at           timestamp with time zone not null default bus.clock(),
    constraint unmatched_fills_pkey PRIMARY KEY (unmatched_fill_id),
    constraint unmatched_fills_fact_key UNIQUE (account_id, digest),
    constraint unmatched_fills_account_fkey FOREIGN KEY (account_id) REFERENCES trade.accounts(account_id),
    constraint unmatched_fills_times_positive CHECK (times > 0)
);
CREATE INDEX unmatched_fills_by_subject ON trade.unmatched_fills USING btree (account_id, md5(subject));

-- The answer of each gate to each pick: why it traded, or did not. Append-only.
create table strategy.gate_results (
    -- The pick.
    pick_id    bigint not null,
    -- 1 system and strategy, 2 market, 3 portfolio.
    gate       integer not null,
    -- Whether the gate let it through.
    passed     boolean not null,
    -- SQLSTATE of the refusal, or ok.
    code       text not null,
    -- One fact.
    message    text not null,
    -- The numbers it decided on.
    detail     jsonb not null,
    -- When.
    decided_at timestamp with time zone not null default bus.clock(),
    constraint gate_results_pkey PRIMARY KEY (pick_id, gate),
    constraint gate_results_pick_fkey FOREIGN KEY (pick_id) REFERENCES strategy.picks(pick_id),
    constraint gate_results_gate_known CHECK (gate >= 1 AND gate <= 3)
);

-- What bounds the quantity of a pick: the smallest applies. Each has a function strategy.bound_<bound>, with _ for spaces.
create table strategy.pick_bounds (
    -- Its name, as the answer of the portfolio gate shows it.
    bound      text not null,
    -- The limit of an account that sets it, a row of risk.limits; null when it needs none.
    limit_name text,
    -- What the answer says when it leaves nothing; null when the admission of the intent says it.
    refusal    text,
    -- What it bounds, and the unit of its limit.
    meaning    text not null,
    constraint pick_bounds_pkey PRIMARY KEY (bound),
    constraint pick_bounds_limit_name_key UNIQUE (limit_name),
    constraint pick_bounds_bound_plain CHECK (bound ~ '^[a-z][a-z ]{0,40}$'::text),
    constraint pick_bounds_meaning_given CHECK (meaning <> ''::text)
);

-- How many picks each strategy may have waiting and may make: no strategy delays another, or fills the disk. Made with its first pick.
create table strategy.pick_rates (
    -- The strategy. Its sessions take turns on this row when they propose.
    strategy     text not null,
    -- Picks a minute, and as many at once after a quiet minute.
    per_minute   integer not null default 600,
    -- Picks that may wait for the router at a time.
    most_waiting integer not null default 100,
    -- Picks it might have made at refilled_at.
    tokens       numeric not null default 600,
    -- When it last made one.
    refilled_at  timestamp with time zone not null default bus.clock(),
    constraint pick_rates_pkey PRIMARY KEY (strategy),
    constraint pick_rates_strategy_fkey FOREIGN KEY (strategy) REFERENCES strategy.strategies(strategy),
    constraint pick_rates_positive CHECK (per_minute > 0 AND most_waiting > 0)
);

-- What strategies propose. The router answers each one.
create table strategy.picks (
    -- Our number for it.
    pick_id         bigint not null generated always as identity,
    -- Who proposes.
    strategy        text not null,
    -- The strategy's account.
    account_id      bigint not null,
    -- What to trade.
    instrument_id   bigint not null,
    -- Kind of intent wanted.
    intent_type     text not null,
    -- BUY or SELL.
    side            text not null,
    -- Quantity wanted; null lets the router size it.
    quantity        numeric,
    -- The worst price wanted; null for the venue's taker cap.
    limit_price     numeric,
    -- Why, in the strategy's words.
    reason          text not null,
    -- Chosen by the strategy: the same key again returns this pick.
    idempotency_key text not null,
    -- What was asked; the same key with another request is refused.
    request         jsonb not null,
    -- NEW, ROUTED (an intent exists), REFUSED (a gate said no), CANCELLED or EXPIRED.
    status          text not null default 'NEW'::text,
    -- When the database took the quote that was best at the time; null where there was none.
    quote_at        timestamp with time zone,
    -- When it was proposed.
    created_at      timestamp with time zone not null default bus.clock(),
    -- Not routed after this.
    expires_at      timestamp with time zone not null,
    -- When it was answered; null while it waits.
    routed_at       timestamp with time zone,
    constraint picks_pkey PRIMARY KEY (pick_id),
    constraint picks_idempotency_key UNIQUE (strategy, idempotency_key),
    constraint picks_instrument_fkey FOREIGN KEY (instrument_id) REFERENCES market.instruments(instrument_id),
    constraint picks_strategy_fkey FOREIGN KEY (strategy) REFERENCES strategy.strategies(strategy),
    constraint picks_type_fkey FOREIGN KEY (intent_type, side) REFERENCES trade.intent_types(intent_type, side),
    constraint picks_limit_price_positive CHECK (limit_price > 0::numeric),
    constraint picks_quantity_positive CHECK (quantity > 0::numeric),
    constraint picks_routed_iff_answered CHECK ((routed_at IS NOT NULL) = (status <> 'NEW'::text)),
    constraint picks_status_known CHECK (status = ANY (ARRAY['NEW'::text, 'ROUTED'::text, 'REFUSED'::text, 'CANCELLED'::text, 'EXPIRED'::text]))
);
CREATE INDEX picks_waiting ON strategy.picks USING btree (strategy, pick_id) WHERE (status = 'NEW'::text);

-- Strategies: each trades one account as its own login aegis_s_<strategy>.
create table strategy.strategies (
    -- Name, and owner of its positions.
    strategy       text not null,
    -- Python class, as module:Class or a file path and class.
    class          text not null,
    -- The account it trades.
    account_id     bigint not null,
    -- What it may trade.
    symbols        text[] not null,
    -- Handed to the class.
    parameters     jsonb not null default '{}'::jsonb,
    -- The most it may have invested, at cost, in the account's currency.
    budget         numeric not null,
    -- What one entry is worth when the strategy names no quantity.
    order_notional numeric not null,
    -- How its positions are protected.
    exit_profile   text not null,
    -- RUNNING or STOPPED; the supervisor follows it.
    status         text not null default 'STOPPED'::text,
    -- When it was added.
    created_at     timestamp with time zone not null default bus.now(),
    -- When it was last started, stopped or changed.
    changed_at     timestamp with time zone not null default bus.now(),
    constraint strategies_pkey PRIMARY KEY (strategy),
    constraint strategies_account_fkey FOREIGN KEY (account_id) REFERENCES trade.accounts(account_id),
    constraint strategies_exit_profile_fkey FOREIGN KEY (exit_profile) REFERENCES trade.exit_profiles(profile),
    constraint strategies_money_bounded CHECK (budget < '1000000000000000000'::numeric AND order_notional < '1000000000000000000'::numeric AND min_scale(budget) <= 18 AND min_scale(order_notional) <= 18),
    constraint strategies_money_positive CHECK (budget > 0::numeric AND order_notional > 0::numeric),
    constraint strategies_name_plain CHECK (strategy ~ '^[a-z][a-z0-9_]{0,30}$'::text AND strategy <> 'manual'::text),
    constraint strategies_status_known CHECK (status = ANY (ARRAY['RUNNING'::text, 'STOPPED'::text])),
    constraint strategies_symbols_some CHECK (cardinality(symbols) > 0),
    constraint strategies_symbols_whole CHECK (
CASE
    WHEN array_ndims(symbols) = 1 THEN array_position(symbols, NULL::text) IS NULL
    ELSE false
END)
);

-- Strategies that shall run and that the supervisor does not run now, and why.
create table strategy.waits (
    -- The strategy.
    strategy text not null,
    -- What it waits for.
    reason   text not null,
    -- Since when.
    since    timestamp with time zone not null default bus.clock(),
    constraint waits_pkey PRIMARY KEY (strategy),
    constraint waits_strategy_fkey FOREIGN KEY (strategy) REFERENCES strategy.strategies(strategy),
    constraint waits_reason_short CHECK (octet_length(reason) <= 500)
);

-- Executions of the paper broker.
create table paper.fills (
    -- The broker's fill number.
    paper_fill_id  bigint not null generated always as identity,
    -- The order.
    paper_order_id bigint not null,
    -- The account.
    account        text not null,
    -- Quantity.
    quantity       numeric not null,
    -- Price.
    price          numeric not null,
    -- Commission.
    fee            numeric not null,
    -- Tax.
    tax            numeric not null,
    -- When.
    filled_at      timestamp with time zone not null default bus.clock(),
    constraint fills_pkey PRIMARY KEY (paper_fill_id),
    constraint fills_order_fkey FOREIGN KEY (paper_order_id) REFERENCES paper.orders(paper_order_id),
    constraint fills_quantity_positive CHECK (quantity > 0::numeric AND price > 0::numeric)
);
CREATE INDEX fills_by_account ON paper.fills USING btree (account, paper_fill_id);

-- Orders the paper broker has heard of.
create table paper.orders (
    -- The broker's order number.
    paper_order_id  bigint not null generated always as identity,
    -- The sender's number: heard once, a second time is answered with the first.
    client_order_id text not null,
    -- The account it trades for.
    account         text not null,
    -- The instrument.
    instrument_id   bigint not null,
    -- BUY or SELL.
    side            text not null,
    -- LIMIT or MARKET.
    order_type      text not null,
    -- Quantity ordered.
    quantity        numeric not null,
    -- Limit.
    limit_price     numeric not null,
    -- Quantity filled.
    filled_qty      numeric not null default 0,
    -- OPEN, FILLED, CANCELLED or REJECTED.
    status          text not null default 'OPEN'::text,
    -- Why it was rejected.
    message         text not null default ''::text,
    -- When it arrived.
    accepted_at     timestamp with time zone not null default bus.clock(),
    constraint orders_pkey PRIMARY KEY (paper_order_id),
    constraint orders_client_order_id_key UNIQUE (client_order_id),
    constraint orders_instrument_fkey FOREIGN KEY (instrument_id) REFERENCES market.instruments(instrument_id),
    constraint orders_filled_within_quantity CHECK (filled_qty >= 0::numeric AND filled_qty <= quantity),
    constraint orders_status_known CHECK (status = ANY (ARRAY['OPEN'::text, 'FILLED'::text, 'CANCELLED'::text, 'REJECTED'::text]))
);
CREATE INDEX orders_open ON paper.orders USING btree (instrument_id, paper_order_id) WHERE (status = 'OPEN'::text);

-- What our orders have taken of the size a quote shows: it is offered once, to all of them together.
create table paper.taken (
    -- The instrument.
    instrument_id bigint not null,
    -- BUY where asks were taken, SELL where bids were.
    side          text not null,
    -- The quote; the next one offers its whole size.
    received_seq  bigint not null,
    -- Quantity taken of it.
    quantity      numeric not null,
    constraint taken_pkey PRIMARY KEY (instrument_id, side),
    constraint taken_instrument_fkey FOREIGN KEY (instrument_id) REFERENCES market.instruments(instrument_id),
    constraint taken_quantity_positive CHECK (quantity > 0::numeric)
);
