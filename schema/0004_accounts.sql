-- 0004_accounts: brokers, accounts, cash and positions.  What we hold is numbers that only facts change;
-- what we have promised of it is numbers that only reservations change; the checks compare the two.

create table trade.brokers (
    broker           text     not null,
    is_real          boolean  not null,
    send_within      interval not null default '1 s',
    answer_timeout   interval not null default '5 s',
    visibility_lag   interval not null default '0 s',
    not_found_needed integer  not null default 1,
    lease            interval not null default '10 s',

    constraint brokers_pkey primary key (broker),
    constraint brokers_times_positive check (
        send_within > '0 s' and answer_timeout > '0 s' and visibility_lag >= '0 s' and lease > '0 s'
    ),
    constraint brokers_not_found_needed_positive check (not_found_needed > 0)
);

comment on table trade.brokers is 'Brokers and how long their answers may take.';
comment on column trade.brokers.broker is 'Name of the adapter: paper, kis, ccxt.';
comment on column trade.brokers.is_real is 'True where real money moves: such a broker needs live prices.';
comment on column trade.brokers.send_within is 'A claimed order must leave within this time or not at all.';
comment on column trade.brokers.answer_timeout is 'How long the worker waits for an answer.';
comment on column trade.brokers.visibility_lag is 'How long an accepted order may be missing from the broker''s own lists.';
comment on column trade.brokers.not_found_needed is 'How many clean "not found" answers make it definite.';
comment on column trade.brokers.lease is 'How long one worker has an order in doubt, or a cancel, to itself.';

create table trade.accounts (
    account_id     bigint      generated always as identity,
    account        text        not null,
    broker         text        not null,
    broker_account text        not null,
    venue          text        not null,
    currency       text        not null,
    day_boundary   time        not null default '00:00',
    fills_cursor   text        not null default '',
    reconciled_at  timestamptz,
    created_at     timestamptz not null default bus.now(),

    constraint accounts_pkey primary key (account_id),
    constraint accounts_account_key unique (account),
    constraint accounts_broker_account_key unique (broker, broker_account, currency),
    constraint accounts_broker_fkey foreign key (broker) references trade.brokers,
    constraint accounts_venue_fkey foreign key (venue) references market.venues,
    constraint accounts_account_plain check (account ~ '^[a-z][a-z0-9_-]{0,39}$')
);

comment on table trade.accounts is 'One broker account and one currency each.';
comment on column trade.accounts.account_id is 'Our number for it; locks are taken in its order.';
comment on column trade.accounts.account is 'The name people use.';
comment on column trade.accounts.broker is 'Which adapter serves it.';
comment on column trade.accounts.broker_account is 'The broker''s own number for it.';
comment on column trade.accounts.venue is 'The venue whose symbols it trades.';
comment on column trade.accounts.currency is 'The currency of its cash.';
comment on column trade.accounts.day_boundary is 'Where the account''s day begins, in the venue''s zone.';
comment on column trade.accounts.fills_cursor is 'How far the broker''s fills have been read, in the broker''s own terms; empty at the start.';
comment on column trade.accounts.reconciled_at is
    'The last reconciliation that agreed; null before the first. Claims wait for one since bus.instance.started_at.';
comment on column trade.accounts.created_at is 'When it was added.';

create table trade.balances (
    account_id  bigint  not null,
    cash        numeric not null default 0,
    locked_cash numeric not null default 0,
    breach_cash numeric not null default 0,

    constraint balances_pkey primary key (account_id),
    constraint balances_account_fkey foreign key (account_id) references trade.accounts,
    constraint balances_locked_within_cash check (locked_cash <= cash + breach_cash),
    constraint balances_not_negative check (locked_cash >= 0 and breach_cash >= 0)
) with (fillfactor = 50);

comment on table trade.balances is 'The cash of each account: the sum of its entries, and what live buys have reserved of it.';
comment on column trade.balances.account_id is 'The account.';
comment on column trade.balances.cash is 'Sum of trade.cash_entries. A fact: it may be anything, even negative.';
comment on column trade.balances.locked_cash is 'Sum of reserved_cash of live intents.';
comment on column trade.balances.breach_cash is 'By how much facts have undercut the reservations. Above zero no new buy is taken.';

create table trade.positions (
    account_id    bigint  not null,
    instrument_id bigint  not null,
    owner         text    not null,
    qty           numeric not null default 0,
    locked_qty    numeric not null default 0,
    breach_qty    numeric not null default 0,
    avg_price     numeric not null default 0,
    realized_pnl  numeric not null default 0,
    version       bigint  not null default 1,
    opened_at     timestamptz,

    constraint positions_pkey primary key (account_id, instrument_id, owner),
    constraint positions_account_fkey foreign key (account_id) references trade.accounts,
    constraint positions_instrument_fkey foreign key (instrument_id) references market.instruments,
    constraint positions_locked_within_qty check (locked_qty <= qty + breach_qty),
    constraint positions_not_negative check (qty >= 0 and locked_qty >= 0 and breach_qty >= 0),
    constraint positions_opened_iff_held check ((opened_at is not null) = (qty > 0)),
    constraint positions_avg_iff_held check ((avg_price > 0) = (qty > 0) and avg_price >= 0)
) with (fillfactor = 50);

comment on table trade.positions is 'What each owner holds of each instrument in each account. Long only.';
comment on column trade.positions.account_id is 'The account.';
comment on column trade.positions.instrument_id is 'The instrument.';
comment on column trade.positions.owner is 'The strategy it belongs to, or manual.';
comment on column trade.positions.qty is 'Quantity held: fills plus reconciliations.';
comment on column trade.positions.locked_qty is 'Sum of reserved_qty of live sell intents.';
comment on column trade.positions.breach_qty is 'By how much facts have undercut the reservations. Above zero no new intent is taken.';
comment on column trade.positions.avg_price is 'Average entry price without fees, to 12 decimals; 0 when flat.';
comment on column trade.positions.realized_pnl is 'Profit of what was sold, less all fees and taxes paid on buys and sells, in the account''s currency.';
comment on column trade.positions.version is 'Raised by each change of qty, avg_price or realized_pnl.';
comment on column trade.positions.opened_at is 'When it last went from flat to held; null when flat.';

create table trade.reconciliations (
    reconciliation_id bigint      generated always as identity,
    account_id        bigint      not null,
    instrument_id     bigint      not null,
    owner             text        not null,
    quantity          numeric     not null,
    price             numeric     not null,
    reason            text        not null,
    created_at        timestamptz not null default bus.clock(),

    constraint reconciliations_pkey primary key (reconciliation_id),
    constraint reconciliations_position_fkey foreign key (account_id, instrument_id, owner) references trade.positions,
    constraint reconciliations_not_nothing check (quantity <> 0 and price >= 0)
);

comment on table trade.reconciliations is 'Corrections of positions that no fill explains. Append-only.';
comment on column trade.reconciliations.reconciliation_id is 'Order of writing.';
comment on column trade.reconciliations.account_id is 'The account.';
comment on column trade.reconciliations.instrument_id is 'The instrument.';
comment on column trade.reconciliations.owner is 'The owner whose position was corrected.';
comment on column trade.reconciliations.quantity is 'Added to the position; negative when it was too large.';
comment on column trade.reconciliations.price is 'Price the correction is valued at.';
comment on column trade.reconciliations.reason is 'Why.';
comment on column trade.reconciliations.created_at is 'When.';

create table trade.reconciliation_runs (
    run_id      bigint      generated always as identity,
    account_id  bigint      not null,
    answer      text        not null,
    mark        text        not null,
    differences jsonb       not null default '[]',
    ran_at      timestamptz not null default bus.clock(),

    constraint reconciliation_runs_pkey primary key (run_id),
    constraint reconciliation_runs_account_fkey foreign key (account_id) references trade.accounts,
    constraint reconciliation_runs_answer_known check (answer in ('AGREES', 'DIFFERS', 'CORRECTED'))
);

create index reconciliation_runs_by_account on trade.reconciliation_runs (account_id, run_id desc);

comment on table trade.reconciliation_runs is
    'Comparisons with brokers that proved something. A difference counts when two in a row see the same.';
comment on column trade.reconciliation_runs.run_id is 'Order of the comparisons.';
comment on column trade.reconciliation_runs.account_id is 'The account.';
comment on column trade.reconciliation_runs.answer is 'AGREES, DIFFERS (seen once) or CORRECTED (seen twice and put right by recorded rows).';
comment on column trade.reconciliation_runs.mark is 'What we held and had in flight, see api.holdings_mark.';
comment on column trade.reconciliation_runs.differences is 'Each item with ours and theirs.';
comment on column trade.reconciliation_runs.ran_at is 'When.';

insert into trade.brokers (broker, is_real, send_within, answer_timeout) values
('paper', false, '1 s', '5 s');
