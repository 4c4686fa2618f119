-- 0007_strategies: who proposes trades, what became of each proposal, and the exits that protect a position.

create table trade.exit_profiles (
    profile          text    not null,
    stop_loss_rate   numeric,
    take_profit_rate numeric,

    constraint exit_profiles_pkey primary key (profile),
    constraint exit_profiles_stop_sane check (stop_loss_rate > 0 and stop_loss_rate < 1),
    constraint exit_profiles_take_sane check (take_profit_rate > 0)
);

comment on table trade.exit_profiles is 'How far from the average price a position is closed.';
comment on column trade.exit_profiles.profile is 'Name.';
comment on column trade.exit_profiles.stop_loss_rate is 'Sell at the bid when it falls this fraction below; null for no stop.';
comment on column trade.exit_profiles.take_profit_rate is 'Sell at the bid when it rises this fraction above; null for no target.';

create table trade.position_exits (
    account_id    bigint      not null,
    instrument_id bigint      not null,
    owner         text        not null,
    profile       text        not null,
    stop_price    numeric,
    take_price    numeric,
    is_armed      boolean     not null,
    fired         integer     not null default 0,
    rejections    integer     not null default 0,
    not_before    timestamptz,
    note          text        not null default '',
    changed_at    timestamptz not null default bus.clock(),

    constraint position_exits_pkey primary key (account_id, instrument_id, owner),
    constraint position_exits_position_fkey foreign key (account_id, instrument_id, owner) references trade.positions,
    constraint position_exits_profile_fkey foreign key (profile) references trade.exit_profiles
);

create index position_exits_armed on trade.position_exits (instrument_id) where is_armed;

comment on table trade.position_exits is 'The prices at which each position is sold by itself.';
comment on column trade.position_exits.account_id is 'The account.';
comment on column trade.position_exits.instrument_id is 'The instrument.';
comment on column trade.position_exits.owner is 'The owner of the position.';
comment on column trade.position_exits.profile is 'Where the prices come from.';
comment on column trade.position_exits.stop_price is 'Sell when the bid is at or below; null for no stop.';
comment on column trade.position_exits.take_price is 'Sell when the bid is at or above; null for no target.';
comment on column trade.position_exits.is_armed is 'Whether it fires.';
comment on column trade.position_exits.fired is 'How many exit intents it has made: part of their idempotency keys.';
comment on column trade.position_exits.rejections is 'Exits the broker definitely refused since the last fill.';
comment on column trade.position_exits.not_before is 'Does not fire before this, after a refusal; null when it may.';
comment on column trade.position_exits.note is 'Why it is not armed, where somebody should know.';
comment on column trade.position_exits.changed_at is 'When it last changed.';

create table strategy.strategies (
    strategy       text        not null,
    class          text        not null,
    account_id     bigint      not null,
    symbols        text[]      not null,
    parameters     jsonb       not null default '{}',
    budget         numeric     not null,
    order_notional numeric     not null,
    exit_profile   text        not null,
    status         text        not null default 'STOPPED',
    created_at     timestamptz not null default bus.now(),
    changed_at     timestamptz not null default bus.now(),

    constraint strategies_pkey primary key (strategy),
    constraint strategies_account_fkey foreign key (account_id) references trade.accounts,
    constraint strategies_exit_profile_fkey foreign key (exit_profile) references trade.exit_profiles,
    constraint strategies_name_plain check (strategy ~ '^[a-z][a-z0-9_]{0,30}$' and strategy <> 'manual'),
    constraint strategies_status_known check (status in ('RUNNING', 'STOPPED')),
    constraint strategies_money_positive check (budget > 0 and order_notional > 0),
    constraint strategies_symbols_some check (cardinality(symbols) > 0)
);

comment on table strategy.strategies is 'Strategies: each trades one account as its own login aegis_s_<strategy>.';
comment on column strategy.strategies.strategy is 'Name, and owner of its positions.';
comment on column strategy.strategies.class is 'Python class, as module:Class or a file path and class.';
comment on column strategy.strategies.account_id is 'The account it trades.';
comment on column strategy.strategies.symbols is 'What it may trade.';
comment on column strategy.strategies.parameters is 'Handed to the class.';
comment on column strategy.strategies.budget is 'The most it may have invested, at cost, in the account''s currency.';
comment on column strategy.strategies.order_notional is 'What one entry is worth when the strategy names no quantity.';
comment on column strategy.strategies.exit_profile is 'How its positions are protected.';
comment on column strategy.strategies.status is 'RUNNING or STOPPED; the supervisor follows it.';
comment on column strategy.strategies.created_at is 'When it was added.';
comment on column strategy.strategies.changed_at is 'When it was last started, stopped or changed.';

create table strategy.picks (
    pick_id         bigint      generated always as identity,
    strategy        text        not null,
    account_id      bigint      not null,
    instrument_id   bigint      not null,
    intent_type     text        not null,
    side            text        not null,
    quantity        numeric,
    limit_price     numeric,
    reason          text        not null,
    idempotency_key text        not null,
    request         jsonb       not null,
    status          text        not null default 'NEW',
    quote_at        timestamptz,
    created_at      timestamptz not null default bus.clock(),
    expires_at      timestamptz not null,
    routed_at       timestamptz,

    constraint picks_pkey primary key (pick_id),
    constraint picks_idempotency_key unique (strategy, idempotency_key),
    constraint picks_strategy_fkey foreign key (strategy) references strategy.strategies,
    constraint picks_instrument_fkey foreign key (instrument_id) references market.instruments,
    constraint picks_type_fkey foreign key (intent_type, side) references trade.intent_types,
    constraint picks_quantity_positive check (quantity > 0),
    constraint picks_limit_price_positive check (limit_price > 0),
    constraint picks_status_known check (status in ('NEW', 'ROUTED', 'REFUSED', 'CANCELLED', 'EXPIRED')),
    constraint picks_routed_iff_answered check ((routed_at is not null) = (status <> 'NEW'))
);

create index picks_waiting on strategy.picks (pick_id) where status = 'NEW';

comment on table strategy.picks is 'What strategies propose. The router answers each one.';
comment on column strategy.picks.pick_id is 'Our number for it.';
comment on column strategy.picks.strategy is 'Who proposes.';
comment on column strategy.picks.account_id is 'The strategy''s account.';
comment on column strategy.picks.instrument_id is 'What to trade.';
comment on column strategy.picks.intent_type is 'Kind of intent wanted.';
comment on column strategy.picks.side is 'BUY or SELL.';
comment on column strategy.picks.quantity is 'Quantity wanted; null lets the router size it.';
comment on column strategy.picks.limit_price is 'The worst price wanted; null for the venue''s taker cap.';
comment on column strategy.picks.reason is 'Why, in the strategy''s words.';
comment on column strategy.picks.idempotency_key is 'Chosen by the strategy: the same key again returns this pick.';
comment on column strategy.picks.request is 'What was asked; the same key with another request is refused.';
comment on column strategy.picks.status is 'NEW, ROUTED (an intent exists), REFUSED (a gate said no), CANCELLED or EXPIRED.';
comment on column strategy.picks.quote_at is 'When the database took the quote that was best at the time; null where there was none.';
comment on column strategy.picks.created_at is 'When it was proposed.';
comment on column strategy.picks.expires_at is 'Not routed after this.';
comment on column strategy.picks.routed_at is 'When it was answered; null while it waits.';

create table strategy.gate_results (
    pick_id    bigint      not null,
    gate       integer     not null,
    passed     boolean     not null,
    code       text        not null,
    message    text        not null,
    detail     jsonb       not null,
    decided_at timestamptz not null default bus.clock(),

    constraint gate_results_pkey primary key (pick_id, gate),
    constraint gate_results_pick_fkey foreign key (pick_id) references strategy.picks,
    constraint gate_results_gate_known check (gate between 1 and 3)
);

comment on table strategy.gate_results is 'The answer of each gate to each pick: why it traded, or did not. Append-only.';
comment on column strategy.gate_results.pick_id is 'The pick.';
comment on column strategy.gate_results.gate is '1 system and strategy, 2 market, 3 portfolio.';
comment on column strategy.gate_results.passed is 'Whether the gate let it through.';
comment on column strategy.gate_results.code is 'SQLSTATE of the refusal, or ok.';
comment on column strategy.gate_results.message is 'One fact.';
comment on column strategy.gate_results.detail is 'The numbers it decided on.';
comment on column strategy.gate_results.decided_at is 'When.';

insert into trade.exit_profiles (profile, stop_loss_rate, take_profit_rate) values
('tight', 0.003, 0.004),
('brisk', 0.01, 0.015),
('swing', 0.03, 0.06),
('scalp', 0.0003, 0.0004);
