-- 0020_silence: what could not be written while the database took no writes, and why a strategy waits to start.

create table risk.outages (
    outage_id   bigint      generated always as identity,
    incident_id bigint      not null,
    began_at    timestamptz not null,
    ended_at    timestamptz not null,

    constraint outages_pkey primary key (outage_id),
    constraint outages_incident_key unique (incident_id),
    constraint outages_incident_fkey foreign key (incident_id) references risk.incidents,
    constraint outages_end_after_they_begin check (ended_at >= began_at)
);

comment on table risk.outages is
    'Times in which workers could not work with the database. Reports of the same time share one row and one incident.';
comment on column risk.outages.outage_id is 'Our number for it.';
comment on column risk.outages.incident_id is 'The incident a person sees.';
comment on column risk.outages.began_at is 'The earliest beginning that was reported.';
comment on column risk.outages.ended_at is 'The latest end that was reported.';

create table risk.outage_reports (
    outage_id bigint      not null,
    worker_id bigint      not null,
    began_at  timestamptz not null,
    ended_at  timestamptz not null,
    failures  integer     not null,
    reason    text        not null,

    constraint outage_reports_pkey primary key (outage_id, worker_id, began_at),
    constraint outage_reports_outage_fkey foreign key (outage_id) references risk.outages,
    constraint outage_reports_end_after_they_begin check (ended_at >= began_at),
    constraint outage_reports_reason_short check (octet_length(reason) <= 500)
);

comment on table risk.outage_reports is 'What each worker said about an outage when it could write again.';
comment on column risk.outage_reports.outage_id is 'The outage.';
comment on column risk.outage_reports.worker_id is 'The worker that could not work.';
comment on column risk.outage_reports.began_at is 'Since when it could not, by the database''s clock.';
comment on column risk.outage_reports.ended_at is 'Until when.';
comment on column risk.outage_reports.failures is 'How many attempts failed.';
comment on column risk.outage_reports.reason is 'The first error.';

create table risk.late_exits (
    outage_id     bigint      not null,
    account_id    bigint      not null,
    instrument_id bigint      not null,
    owner         text        not null,
    reason        text        not null,
    price         numeric     not null,
    reached_at    timestamptz not null,

    constraint late_exits_pkey primary key (outage_id, account_id, instrument_id, owner),
    constraint late_exits_outage_fkey foreign key (outage_id) references risk.outages,
    constraint late_exits_reason_known check (reason in ('STOP_LOSS', 'TAKE_PROFIT')),
    constraint late_exits_price_is_amount check (price > 0 and price < 1e18)
);

comment on table risk.late_exits is
    'Stops and targets that a quote reached during an outage, as the feed that kept the quotes reported afterwards.';
comment on column risk.late_exits.outage_id is 'The outage.';
comment on column risk.late_exits.account_id is 'Account of the position.';
comment on column risk.late_exits.instrument_id is 'Instrument of the position.';
comment on column risk.late_exits.owner is 'Owner of the position.';
comment on column risk.late_exits.reason is 'STOP_LOSS or TAKE_PROFIT.';
comment on column risk.late_exits.price is 'The first bid at the stop or target.';
comment on column risk.late_exits.reached_at is 'The venue''s time of that bid.';

create table strategy.waits (
    strategy text        not null,
    reason   text        not null,
    since    timestamptz not null default bus.clock(),

    constraint waits_pkey primary key (strategy),
    constraint waits_strategy_fkey foreign key (strategy) references strategy.strategies,
    constraint waits_reason_short check (octet_length(reason) <= 500)
);

comment on table strategy.waits is 'Strategies that shall run and that the supervisor does not run now, and why.';
comment on column strategy.waits.strategy is 'The strategy.';
comment on column strategy.waits.reason is 'What it waits for.';
comment on column strategy.waits.since is 'Since when.';
