-- 0018_late_facts: what a broker says of an order after we have ended it, and orders that it no longer knows.  An
-- order that we ended and that may live at the broker is a stray: what it may still trade is reserved, its symbol
-- and side wait, and it is cancelled until the broker says that it is gone.

alter table trade.orders
    add column state_since timestamptz not null default bus.clock(),
    add column check_at timestamptz,
    add column broker_ended_at timestamptz,
    add column stray_since timestamptz,
    add constraint orders_stray_is_being_cancelled check (
        stray_since is null
        or (
            closed_at is not null and broker_ended_at is null and cancel_requested_at is not null
            and filled_qty < quantity
        )
    );

-- An adopted order may be in doubt when the child that replaces it is heard of.
insert into trade.order_transitions (from_status, to_status) values ('IN_DOUBT', 'REPLACED');

drop index trade.orders_unsettled;
create index orders_unsettled on trade.orders (account_id, instrument_id, side)
    where status in ('SENDING', 'IN_DOUBT') or stray_since is not null;
create index orders_check_due on trade.orders (check_at)
    where check_at is not null and closed_at is null and cancel_requested_at is null;
drop index trade.orders_cancel_asked;
create index orders_cancel_asked on trade.orders (order_id)
    where cancel_requested_at is not null and (closed_at is null or stray_since is not null);

comment on column trade.orders.state_since is 'When it came to its status.';
comment on column trade.orders.check_at is
    'When the broker is asked whether it still has it; null before it was accepted.';
comment on column trade.orders.broker_ended_at is
    'When the broker said that nothing more of it will trade; null where it ended by our own conclusion, or lives.';
comment on column trade.orders.stray_since is
    'Since when a fact says that the broker has it though we ended it; null again once the broker is rid of it.';
comment on column trade.orders.cancel_requested_at is
    'When somebody asked to cancel it, or it was found to be a stray; null when nobody did.';

alter table trade.positions
    add column stray_qty numeric not null default 0,
    add constraint positions_stray_within_locked check (stray_qty between 0 and locked_qty);
alter table trade.balances
    add column stray_cash numeric not null default 0,
    add constraint balances_stray_within_locked check (stray_cash between 0 and locked_cash);

comment on column trade.positions.locked_qty is 'Sum of reserved_qty of live sell intents, and of what stray sells may still sell.';
comment on column trade.positions.stray_qty is 'The part of locked_qty that stray orders may still sell.';
comment on column trade.balances.locked_cash is 'Sum of reserved_cash of live buy intents, and of what stray buys may still spend.';
comment on column trade.balances.stray_cash is 'The part of locked_cash that stray orders may still spend.';

alter table trade.brokers
    add column check_every interval not null default '1 min',
    add column checked_at timestamptz,
    add constraint brokers_check_every_positive check (check_every > '0 s');

comment on column trade.brokers.check_every is 'After how long without a question a live order is asked about.';
comment on column trade.brokers.checked_at is 'When live orders were last handed out to be asked about: at most one batch each second; null before.';

alter table trade.accounts
    add column fills_read_at timestamptz;

comment on column trade.accounts.fills_read_at is
    'When the broker''s fills were last read to their end or to a page of them; null before the first time.';

-- An execution is the same whatever the day it is reported for, as long as its order is the same; one that was
-- taken back and is reported with another price or quantity is a further revision of it.
alter table trade.fills
    add column revision integer not null default 0,
    add column corrected_qty numeric not null default 0,
    add constraint fills_revision_not_negative check (revision >= 0),
    add constraint fills_corrected_within_quantity check (corrected_qty between 0 and quantity),
    drop constraint fills_broker_fill_key;

alter table trade.fills disable trigger user;
update trade.fills as f
set revision = d.revision
from (
    select
        t.fill_id,
        row_number() over (partition by t.order_id, t.broker_fill_id order by t.fill_id) - 1 as revision
    from trade.fills as t
) as d
where d.fill_id = f.fill_id and d.revision > 0;
alter table trade.fills enable trigger user;

alter table trade.fills
    add constraint fills_broker_fill_key unique (account_id, instrument_id, trade_date, broker_fill_id, revision),
    add constraint fills_order_fill_key unique (order_id, broker_fill_id, revision);
drop index trade.fills_by_order;

comment on column trade.fills.broker_fill_id is 'The broker''s own number: one execution of its order, and of its instrument and day.';
comment on column trade.fills.revision is 'How often the execution had been taken back before this report of it; 0 for the first.';
comment on column trade.fills.corrected_qty is
    'Of its quantity, what an execution that was taken back had used up of the order and intent already.';

create table trade.unmatched_fills (
    unmatched_fill_id bigint      generated always as identity,
    account_id        bigint      not null,
    subject           text        not null,
    digest            text        not null,
    facts             jsonb       not null,
    times             bigint      not null default 1,
    first_at          timestamptz not null default bus.clock(),
    last_at           timestamptz not null default bus.clock(),

    constraint unmatched_fills_pkey primary key (unmatched_fill_id),
    constraint unmatched_fills_fact_key unique (account_id, digest),
    constraint unmatched_fills_account_fkey foreign key (account_id) references trade.accounts,
    constraint unmatched_fills_times_positive check (times > 0)
);

create index unmatched_fills_by_subject on trade.unmatched_fills (account_id, md5(subject));

comment on table trade.unmatched_fills is
    'Executions, totals and busts that fit nothing we know: each different fact once, never removed.';
comment on column trade.unmatched_fills.unmatched_fill_id is 'Order of hearing of them.';
comment on column trade.unmatched_fills.account_id is 'The account they were reported for.';
comment on column trade.unmatched_fills.subject is 'Account, order and number, as the incident names them.';
comment on column trade.unmatched_fills.digest is 'md5 of subject and facts as they were reported.';
comment on column trade.unmatched_fills.facts is 'What was reported; what is very long is cut and says how long it was.';
comment on column trade.unmatched_fills.times is 'How often it was reported.';
comment on column trade.unmatched_fills.first_at is 'When it was first reported.';
comment on column trade.unmatched_fills.last_at is 'When it was last reported.';

create table trade.state_limits (
    state   text     not null,
    longest interval not null,
    because text     not null,

    constraint state_limits_pkey primary key (state),
    constraint state_limits_longest_positive check (longest > '0 s')
);

comment on table trade.state_limits is 'How long orders and intents may stay as they are before an incident is opened.';
comment on column trade.state_limits.state is 'The state.';
comment on column trade.state_limits.longest is 'The longest time in it.';
comment on column trade.state_limits.because is 'What ends the state in time, and how long that takes.';

insert into trade.state_limits (state, longest, because) values
('order SENDING', '1 min', 'after send_before and answer_timeout, 6 s by default, orders_in_doubt makes it IN_DOUBT'),
('order IN_DOUBT', '5 min', 'asked about each lease, 10 s; not_found_needed looks a second apart end it'),
('order with a cancel asked', '5 min', 'sent each lease, 10 s; an order the broker does not know comes into doubt'),
('order not checked', '5 min', 'check_at comes each check_every, 1 min, at most ten orders a second'),
('order stray', '5 min', 'cancelled each lease, 10 s, until the broker is rid of it'),
('intent past its time', '1 min', 'expire_due ends it, or asks to cancel its order, each second'),
('intent CLAIMED', '10 min', 'as long as its order is SENDING and IN_DOUBT');

drop function if exists trade.take_fill(
    trade.orders, text, numeric, numeric, numeric, numeric, numeric, timestamptz, numeric
);
