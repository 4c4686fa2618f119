-- 0006_risk: the mode of the system and who may change it, incidents, limits.

create table risk.gate (
    nothing boolean,

    constraint gate_stays_empty check (false)
);

comment on table risk.gate is
    'Empty; only locked. Whoever admits or claims holds it in row share mode, a mode change holds it exclusively.';
comment on column risk.gate.nothing is 'Never anything.';

create table risk.modes (
    mode     text    not null,
    severity integer not null,

    constraint modes_pkey primary key (mode),
    constraint modes_severity_key unique (severity)
);

comment on table risk.modes is 'The modes, from free to strict. The strictest of system, broker and account counts.';
comment on column risk.modes.mode is 'NORMAL, SAFE or HALT.';
comment on column risk.modes.severity is 'Higher is stricter.';

create table risk.mode_rules (
    mode    text not null,
    action  text not null,
    verdict text not null,

    constraint mode_rules_pkey primary key (mode, action),
    constraint mode_rules_mode_fkey foreign key (mode) references risk.modes,
    constraint mode_rules_verdict_known check (verdict in ('ALLOW', 'APPROVE', 'DENY'))
);

comment on table risk.mode_rules is 'What each mode lets through. A missing row denies.';
comment on column risk.mode_rules.mode is 'The mode that counts.';
comment on column risk.mode_rules.action is 'See trade.intent_types.';
comment on column risk.mode_rules.verdict is 'ALLOW, APPROVE (a person must approve each intent) or DENY.';

create table risk.system_mode (
    singleton  boolean     not null default true,
    mode       text        not null,
    reason     text        not null,
    evidence   jsonb       not null default '{}',
    changed_by text        not null default session_user,
    changed_at timestamptz not null default bus.clock(),

    constraint system_mode_pkey primary key (singleton),
    constraint system_mode_is_one_row check (singleton),
    constraint system_mode_mode_fkey foreign key (mode) references risk.modes
);

comment on table risk.system_mode is 'The mode of the whole system. One row; without it nothing trades.';
comment on column risk.system_mode.singleton is 'Always true: there is one row.';
comment on column risk.system_mode.mode is 'NORMAL, SAFE or HALT.';
comment on column risk.system_mode.reason is 'Why it is so.';
comment on column risk.system_mode.evidence is 'The measurements behind the change; empty when a person decided.';
comment on column risk.system_mode.changed_by is 'The login that changed it.';
comment on column risk.system_mode.changed_at is 'When it was changed, after the gate was locked.';

create table risk.scoped_modes (
    scope      text        not null,
    name       text        not null,
    mode       text        not null,
    reason     text        not null,
    evidence   jsonb       not null default '{}',
    changed_by text        not null default session_user,
    changed_at timestamptz not null default bus.clock(),

    constraint scoped_modes_pkey primary key (scope, name),
    constraint scoped_modes_scope_known check (scope in ('broker', 'account')),
    constraint scoped_modes_mode_fkey foreign key (mode) references risk.modes
);

comment on table risk.scoped_modes is 'Modes of single brokers and accounts, so that a broken broker does not stop the others.';
comment on column risk.scoped_modes.scope is 'broker or account.';
comment on column risk.scoped_modes.name is 'Name of the broker or account.';
comment on column risk.scoped_modes.mode is 'NORMAL, SAFE or HALT.';
comment on column risk.scoped_modes.reason is 'Why it is so.';
comment on column risk.scoped_modes.evidence is 'The measurements behind the change; empty when a person decided.';
comment on column risk.scoped_modes.changed_by is 'The login that changed it.';
comment on column risk.scoped_modes.changed_at is 'When it was changed.';

create table risk.mode_history (
    mode_change_id bigint      generated always as identity,
    scope          text        not null,
    name           text        not null,
    from_mode      text,
    to_mode        text        not null,
    reason         text        not null,
    evidence       jsonb       not null default '{}',
    changed_by     text        not null default session_user,
    changed_at     timestamptz not null default bus.clock(),

    constraint mode_history_pkey primary key (mode_change_id)
);

comment on table risk.mode_history is 'Every change of a mode. Append-only.';
comment on column risk.mode_history.mode_change_id is 'Order of the changes.';
comment on column risk.mode_history.scope is 'system, broker or account.';
comment on column risk.mode_history.name is 'Name within the scope; system for the system.';
comment on column risk.mode_history.from_mode is 'The mode before; null for the first.';
comment on column risk.mode_history.to_mode is 'The mode after.';
comment on column risk.mode_history.reason is 'Why.';
comment on column risk.mode_history.evidence is 'The measurements behind it.';
comment on column risk.mode_history.changed_by is 'The login that did it.';
comment on column risk.mode_history.changed_at is 'When.';

-- A sequence and not a column: whoever rolls back cannot take back that a wrong code was tried.
create sequence risk.override_tries minvalue 0 start with 0;

comment on sequence risk.override_tries is 'Wrong override codes in a row.';

create table risk.override_codes (
    singleton    boolean     not null default true,
    salt         text        not null,
    digest       text        not null,
    locked_until timestamptz,
    set_by       text        not null default session_user,
    set_at       timestamptz not null default bus.clock(),

    constraint override_codes_pkey primary key (singleton),
    constraint override_codes_is_one_row check (singleton)
);

comment on table risk.override_codes is 'The code that leaves HALT, salted and hashed. One row; without it nobody leaves HALT.';
comment on column risk.override_codes.singleton is 'Always true: there is one row.';
comment on column risk.override_codes.salt is 'Random text.';
comment on column risk.override_codes.digest is 'sha256 of salt and code, as hex.';
comment on column risk.override_codes.locked_until is 'No code is accepted before this; null when unlocked.';
comment on column risk.override_codes.set_by is 'The login that set it.';
comment on column risk.override_codes.set_at is 'When it was set.';

create table risk.incidents (
    incident_id bigint      generated always as identity,
    kind        text        not null,
    subject     text        not null,
    detail      jsonb       not null,
    opened_at   timestamptz not null default bus.clock(),
    closed_at   timestamptz,

    constraint incidents_pkey primary key (incident_id)
);

create unique index incidents_one_open_per_subject on risk.incidents (kind, subject) where closed_at is null;

comment on table risk.incidents is 'What a person should look at. One open row per kind and subject.';
comment on column risk.incidents.incident_id is 'Our number for it.';
comment on column risk.incidents.kind is 'breach, unmatched_fill, oversold, crash_loop, disagreement ...';
comment on column risk.incidents.subject is 'What it is about.';
comment on column risk.incidents.detail is 'The facts.';
comment on column risk.incidents.opened_at is 'When it was noticed.';
comment on column risk.incidents.closed_at is 'When it was over; null while it is open.';

create table risk.limits (
    limit_name text    not null,
    account_id bigint  not null,
    value      numeric not null,

    constraint limits_pkey primary key (account_id, limit_name),
    constraint limits_account_fkey foreign key (account_id) references trade.accounts,
    constraint limits_name_known check (limit_name in ('max_position_share', 'max_entries_per_day')),
    constraint limits_value_not_negative check (value >= 0)
);

comment on table risk.limits is 'Limits of an account, checked when a pick is routed. No row, no limit.';
comment on column risk.limits.limit_name is
    'max_position_share: fraction of equity one instrument may be; max_entries_per_day: filled entry intents a day.';
comment on column risk.limits.account_id is 'The account.';
comment on column risk.limits.value is 'The limit.';

create table risk.account_equity (
    account_id     bigint      not null,
    day_start      timestamptz not null,
    opening_equity numeric     not null,
    equity         numeric     not null,
    flows          numeric     not null default 0,
    external       numeric     not null default 0,
    peak           numeric     not null,
    is_flagged     boolean     not null default false,
    measured_at    timestamptz not null default bus.clock(),

    constraint account_equity_pkey primary key (account_id, day_start),
    constraint account_equity_account_fkey foreign key (account_id) references trade.accounts
);

comment on table risk.account_equity is 'Equity of each account and day: the facts behind day P&L and drawdown.';
comment on column risk.account_equity.account_id is 'The account.';
comment on column risk.account_equity.day_start is 'When the account''s day began.';
comment on column risk.account_equity.opening_equity is 'Equity when the day was first measured.';
comment on column risk.account_equity.equity is 'Equity at measured_at: cash plus positions at marks clipped to bid and ask.';
comment on column risk.account_equity.flows is 'Deposits less withdrawals since the day was first measured: left out of profit.';
comment on column risk.account_equity.external is 'Deposits less withdrawals of all time, seen together with equity.';
comment on column risk.account_equity.peak is 'Highest equity so far over all days, moved along with deposits and withdrawals.';
comment on column risk.account_equity.is_flagged is 'True when a mark was missing or stale and the last good one was used.';
comment on column risk.account_equity.measured_at is 'When it was last measured.';

insert into risk.modes (mode, severity) values ('NORMAL', 0), ('SAFE', 1), ('HALT', 2);

insert into risk.mode_rules (mode, action, verdict) values
('NORMAL', 'NEW_BUY', 'ALLOW'),
('NORMAL', 'ADD', 'ALLOW'),
('NORMAL', 'PROTECTIVE_SELL', 'ALLOW'),
('NORMAL', 'OTHER_SELL', 'ALLOW'),
('SAFE', 'NEW_BUY', 'DENY'),
('SAFE', 'ADD', 'DENY'),
('SAFE', 'PROTECTIVE_SELL', 'ALLOW'),
('SAFE', 'OTHER_SELL', 'ALLOW'),
('HALT', 'NEW_BUY', 'DENY'),
('HALT', 'ADD', 'DENY'),
('HALT', 'PROTECTIVE_SELL', 'APPROVE'),
('HALT', 'OTHER_SELL', 'APPROVE');

insert into risk.system_mode (mode, reason) values ('NORMAL', 'created');
