-- 0002_rooms: the private schemas and what this database is.

create schema market;
create schema trade;
create schema risk;
create schema strategy;
create schema learn;
create schema paper;

comment on schema market is 'Instruments, their rules, and the best prices we know.';
comment on schema trade is 'Accounts, cash, positions, intents, orders, fills: the facts and the laws about money.';
comment on schema risk is 'The mode of the system, incidents, limits and override codes.';
comment on schema strategy is 'Strategies, what they propose, and why a proposal became a trade or did not.';
comment on schema learn is 'What executions taught us.';
comment on schema paper is 'The matching engine of the paper broker: to everyone else it is a broker like any other.';
comment on schema bus is 'What processes share: time, events, workers, rate limits, migrations.';

create table bus.instance (
    singleton  boolean     not null default true,
    kind       text        not null,
    epoch      text        not null,
    generation integer     not null default 1,
    run_number bigint      not null default 0,
    identity   text        not null default '',
    is_foreign boolean     not null default false,
    sealed_xid xid8        not null default '0',
    created_at timestamptz not null default bus.now(),
    started_at timestamptz not null default bus.now(),

    constraint instance_pkey primary key (singleton),
    constraint instance_is_one_row check (singleton),
    constraint instance_kind_known check (kind in ('live', 'demo', 'replay', 'test')),
    constraint instance_counts_up check (generation > 0 and run_number >= 0)
);

comment on table bus.instance is 'What this database is. One row.';
comment on column bus.instance.singleton is 'Always true: there is one row.';
comment on column bus.instance.kind is 'live, demo, replay or test; chosen when the database is created and never changed.';
comment on column bus.instance.epoch is
    'Part of every client_order_id, so that a copy of this database cannot reuse the ids of the original. Random, but fixed in a replay.';
comment on column bus.instance.generation is
    'Raised, with a new epoch, each time a person adopts a restored or copied database.';
comment on column bus.instance.run_number is
    'How often the workers were started together; a marker outside the database knows it too.';
comment on column bus.instance.identity is
    'System identifier and timeline of the server, and the number there of this database; empty before the first start.';
comment on column bus.instance.is_foreign is
    'True from the start at which this turned out to be a restored backup or a copy, until a person adopts it.';
comment on column bus.instance.sealed_xid is
    'Transaction of the last sealed event. A later one with a lower number is of another server, so of the next generation.';
comment on column bus.instance.created_at is 'When the database was created.';
comment on column bus.instance.started_at is
    'When the workers were last started together. An account takes part again after its first reconciliation since.';

insert into bus.instance (kind, epoch)
select
    k.kind,
    case when k.kind = 'replay' then 'replay' else left(replace(gen_random_uuid()::text, '-', ''), 8) end
from (select coalesce(nullif(current_setting('aegis.kind', true), ''), 'live') as kind) as k;

create table bus.epochs (
    epoch      text        not null,
    generation integer     not null,
    began_at   timestamptz not null default bus.clock(),
    ended_at   timestamptz,

    constraint epochs_pkey primary key (epoch),
    constraint epochs_generation_key unique (generation)
);

-- One goes on; what the others sent may have happened in a history this database does not know.
create unique index epochs_one_goes_on on bus.epochs ((true)) where ended_at is null;

comment on table bus.epochs is
    'Each epoch this database sent orders under. One ends when the database turns out to be a restored backup or a copy.';
comment on column bus.epochs.epoch is 'How the client_order_ids of that time begin.';
comment on column bus.epochs.generation is 'The generation of its events.';
comment on column bus.epochs.began_at is 'When it began.';
comment on column bus.epochs.ended_at is 'When the next one began; null for the present one.';

insert into bus.epochs (epoch, generation)
select n.epoch, n.generation
from bus.instance as n;

create table bus.events (
    event_id       bigint      not null generated always as identity,
    generation     integer     not null,
    xid            xid8        not null default pg_current_xact_id(),
    at             timestamptz not null default bus.clock(),
    actor          text        not null default session_user,
    cause          text        not null,
    entity         text        not null,
    entity_id      bigint,
    change         text        not null,
    intent_id      bigint,
    correlation_id text,
    data           jsonb       not null,

    constraint events_pkey primary key (event_id)
) partition by range (event_id);

create table bus.events_default partition of bus.events default;

create index events_by_intent on bus.events (intent_id) where intent_id is not null;
create index events_by_entity on bus.events (entity, event_id);
create index events_in_order on bus.events (generation, xid, event_id);

comment on table bus.events is 'The durable history: one row for each change of a mode, intent, order, fill or position. Append-only.';
comment on column bus.events.event_id is 'Order of writing. Becomes visible out of order: readers go by (generation, xid, event_id).';
comment on column bus.events.generation is 'The generation of the instance that wrote it: transaction numbers begin anew in a restored copy.';
comment on column bus.events.xid is 'The transaction that wrote it.';
comment on column bus.events.at is 'The instant of the change.';
comment on column bus.events.actor is 'The login that did it.';
comment on column bus.events.cause is 'The door function it happened in, or direct SQL.';
comment on column bus.events.entity is 'What changed: mode, intent, order, fill, position, pick, feed, strategy, incident, refusal, error.';
comment on column bus.events.entity_id is 'The id of what changed; null where it has no number.';
comment on column bus.events.change is 'created, or the new status, or the kind of change.';
comment on column bus.events.intent_id is 'The intent this belongs to; null where there is none.';
comment on column bus.events.correlation_id is 'The pick or intent where the story began; null where there is none.';
comment on column bus.events.data is 'The facts after the change.';
comment on table bus.events_default is 'Events outside every partition made ahead.';
comment on column bus.events_default.event_id is 'See bus.events.';
comment on column bus.events_default.generation is 'See bus.events.';
comment on column bus.events_default.xid is 'See bus.events.';
comment on column bus.events_default.at is 'See bus.events.';
comment on column bus.events_default.actor is 'See bus.events.';
comment on column bus.events_default.cause is 'See bus.events.';
comment on column bus.events_default.entity is 'See bus.events.';
comment on column bus.events_default.entity_id is 'See bus.events.';
comment on column bus.events_default.change is 'See bus.events.';
comment on column bus.events_default.intent_id is 'See bus.events.';
comment on column bus.events_default.correlation_id is 'See bus.events.';
comment on column bus.events_default.data is 'See bus.events.';

create table bus.seals (
    seal_no    bigint      not null,
    event_id   bigint      not null,
    generation integer     not null,
    xid        xid8        not null,
    event_hash text        not null,
    chain      text        not null,
    sealed_at  timestamptz not null default bus.clock(),

    constraint seals_pkey primary key (seal_no),
    constraint seals_event_id_key unique (event_id)
);

comment on table bus.seals is
    'A hash chain over the events, written behind the xmin horizon and off the hot path. Append-only.';
comment on column bus.seals.seal_no is 'Counts without gaps from 1: a gap is a removed seal.';
comment on column bus.seals.event_id is 'The event it seals.';
comment on column bus.seals.generation is 'Generation of the event.';
comment on column bus.seals.xid is 'Transaction of the event.';
comment on column bus.seals.event_hash is 'sha256 of the event''s stored text, as hex.';
comment on column bus.seals.chain is 'sha256 of the chain before and event_hash, as hex.';
comment on column bus.seals.sealed_at is 'When it was sealed.';

create table bus.consumers (
    consumer   text        not null,
    generation integer     not null default 0,
    xid        xid8        not null default '0',
    event_id   bigint      not null default 0,
    changed_at timestamptz not null default bus.clock(),

    constraint consumers_pkey primary key (consumer)
);

comment on table bus.consumers is
    'How far each reader of the events has come. A cursor below the xmin horizon: nothing can appear behind it.';
comment on column bus.consumers.consumer is 'Name of the reader.';
comment on column bus.consumers.generation is 'Generation of the last event it has done with.';
comment on column bus.consumers.xid is 'Transaction of that event.';
comment on column bus.consumers.event_id is 'Id of that event.';
comment on column bus.consumers.changed_at is 'When it last moved on.';

create table bus.workers (
    worker_id    bigint      generated always as identity,
    name         text        not null,
    login        text        not null default session_user,
    pid          integer     not null,
    host         text        not null,
    state        text        not null default 'running',
    detail       jsonb       not null default '{}',
    started_at   timestamptz not null default bus.clock(),
    heartbeat_at timestamptz not null default bus.clock(),
    stopped_at   timestamptz,

    constraint workers_pkey primary key (worker_id),
    constraint workers_state_known check (state in ('running', 'degraded', 'draining', 'stopped')),
    constraint workers_stopped_iff_stopped_at check ((state = 'stopped') = (stopped_at is not null))
);

comment on table bus.workers is 'Every worker process that ever registered.';
comment on column bus.workers.worker_id is 'The name a claim is made under; a new one for each start of a process.';
comment on column bus.workers.name is 'What it does, such as execution.';
comment on column bus.workers.login is 'The login it registered with.';
comment on column bus.workers.pid is 'Process id on its host.';
comment on column bus.workers.host is 'Host name.';
comment on column bus.workers.state is 'running, degraded (its listener is down), draining (stopping) or stopped.';
comment on column bus.workers.detail is 'What it says of itself: memory in bytes, drains, work done.';
comment on column bus.workers.started_at is 'When it registered.';
comment on column bus.workers.heartbeat_at is 'When it last spoke.';
comment on column bus.workers.stopped_at is 'When it said goodbye; null while it runs or when it died without a word.';

create table bus.rate_limits (
    bucket      text        not null,
    per_second  numeric     not null,
    burst       numeric     not null,
    tokens      numeric     not null,
    refilled_at timestamptz not null default bus.now(),

    constraint rate_limits_pkey primary key (bucket),
    constraint rate_limits_positive check (per_second > 0 and burst >= 1),
    constraint rate_limits_tokens_within_burst check (tokens between 0 and burst)
);

comment on table bus.rate_limits is 'Token buckets shared by all processes, since they are rows. A broker without a row is not limited.';
comment on column bus.rate_limits.bucket is 'The broker whose orders it limits.';
comment on column bus.rate_limits.per_second is 'Tokens added each second.';
comment on column bus.rate_limits.burst is 'The most tokens it holds.';
comment on column bus.rate_limits.tokens is 'Tokens held at refilled_at.';
comment on column bus.rate_limits.refilled_at is 'When tokens was last computed.';

create table bus.jobs (
    job         text        not null,
    every       interval    not null,
    next_run_at timestamptz not null default bus.now(),
    last_run_at timestamptz,
    last_result bigint,
    runs        bigint      not null default 0,

    constraint jobs_pkey primary key (job),
    constraint jobs_job_known check (job in ('seal_events', 'measure_equity', 'make_partitions')),
    constraint jobs_every_positive check (every > '0 s')
);

comment on table bus.jobs is 'What is done by the clock. Change how often by changing the row.';
comment on column bus.jobs.job is 'The function of the door that does it.';
comment on column bus.jobs.every is 'Time between two runs.';
comment on column bus.jobs.next_run_at is 'When it is due.';
comment on column bus.jobs.last_run_at is 'When it last ran; null before the first time.';
comment on column bus.jobs.last_result is 'How much it did the last time; null before the first time.';
comment on column bus.jobs.runs is 'How often it ran.';

insert into bus.jobs (job, every) values
('seal_events', '1 s'),
('measure_equity', '5 s'),
('make_partitions', '1 h');
