-- 0022_rules_as_rows: exit rules, bounds of a pick and triggers are rows; each brings one view or function in sql/.

create table trade.exit_kinds (
    reason   text    not null,
    priority integer not null,
    is_stop  boolean not null,
    meaning  text    not null,

    constraint exit_kinds_pkey primary key (reason),
    constraint exit_kinds_reason_plain check (reason ~ '^[A-Z][A-Z_]{0,40}$'),
    constraint exit_kinds_priority_key unique (priority),
    constraint exit_kinds_meaning_given check (meaning <> '')
);

comment on table trade.exit_kinds is
    'Reasons to leave a position. Each has a view trade.exit_on_<reason>, which says at which bids a position is sold.';
comment on column trade.exit_kinds.reason is 'The reason of the intents it makes, such as STOP_LOSS.';
comment on column trade.exit_kinds.priority is 'When several are reached at once, the lowest gives the reason.';
comment on column trade.exit_kinds.is_stop is
    'True: it does not wait for a resting limit sell of the same shares but lowers the price of that sell.';
comment on column trade.exit_kinds.meaning is 'What it does, and what the value of its rule means.';

insert into trade.exit_kinds (reason, priority, is_stop, meaning) values
('STOP_LOSS', 10, true, 'Sells when the bid has fallen by the value, a fraction of the average price.'),
('TAKE_PROFIT', 20, false, 'Sells when the bid has risen by the value, a fraction of the average price.');

create table trade.exit_rules (
    profile text    not null,
    reason  text    not null,
    value   numeric not null,

    constraint exit_rules_pkey primary key (profile, reason),
    constraint exit_rules_profile_fkey foreign key (profile) references trade.exit_profiles,
    constraint exit_rules_reason_fkey foreign key (reason) references trade.exit_kinds,
    constraint exit_rules_value_positive check (value > 0),
    constraint exit_rules_value_bounded check (value < 1e18 and min_scale(value) <= 18),
    constraint exit_rules_stop_below_one check (reason <> 'STOP_LOSS' or value < 1)
);

comment on table trade.exit_rules is 'The rules of each exit profile. No row, no such exit.';
comment on column trade.exit_rules.profile is 'The profile.';
comment on column trade.exit_rules.reason is 'One of exit_kinds.';
comment on column trade.exit_rules.value is 'Its parameter; exit_kinds says what it means.';

insert into trade.exit_rules (profile, reason, value)
select x.profile, r.reason, r.value
from trade.exit_profiles as x
cross join lateral (
    values ('STOP_LOSS', x.stop_loss_rate), ('TAKE_PROFIT', x.take_profit_rate)
) as r (reason, value)
where r.value is not null;

alter table trade.exit_profiles
drop column stop_loss_rate,
drop column take_profit_rate;

alter table risk.late_exits
drop constraint late_exits_reason_known,
add constraint late_exits_reason_fkey foreign key (reason) references trade.exit_kinds;

comment on column risk.late_exits.reason is 'One of exit_kinds.';

create table strategy.pick_bounds (
    bound      text not null,
    limit_name text,
    refusal    text,
    meaning    text not null,

    constraint pick_bounds_pkey primary key (bound),
    constraint pick_bounds_bound_plain check (bound ~ '^[a-z][a-z ]{0,40}$'),
    constraint pick_bounds_limit_name_key unique (limit_name),
    constraint pick_bounds_meaning_given check (meaning <> '')
);

comment on table strategy.pick_bounds is
    'What bounds the quantity of a pick: the smallest applies. Each has a function strategy.bound_<bound>, with _ for '
    'spaces.';
comment on column strategy.pick_bounds.bound is 'Its name, as the answer of the portfolio gate shows it.';
comment on column strategy.pick_bounds.limit_name is
    'The limit of an account that sets it, a row of risk.limits; null when it needs none.';
comment on column strategy.pick_bounds.refusal is
    'What the answer says when it leaves nothing; null when the admission of the intent says it.';
comment on column strategy.pick_bounds.meaning is 'What it bounds, and the unit of its limit.';

insert into strategy.pick_bounds (bound, limit_name, refusal, meaning) values
('requested', null, null, 'The quantity that the pick asks for.'),
('order notional', null, null, 'The value of one order of the strategy, for a buy without a quantity.'),
('budget', null, null, 'The budget of the strategy less the cost of what it holds and what its buys reserve.'),
('buying power', null, null, 'The free cash of the account.'),
('free quantity', null, null, 'For a sell: what the strategy holds and no other sell has reserved.'),
(
    'position share', 'max_position_share', null,
    'The fraction of equity that one instrument may be, with what is held and what live buys may still buy.'
),
(
    'entries a day', 'max_entries_per_day', 'the account has reached its daily limit of entries',
    'Buys a day of the account, filled or live.'
);

alter table risk.limits
drop constraint limits_name_known,
add constraint limits_name_fkey foreign key (limit_name) references strategy.pick_bounds (limit_name);

comment on column risk.limits.limit_name is 'A limit_name of pick_bounds, which says what it bounds and in which unit.';

create table risk.triggers (
    trigger_name text     not null,
    measure      text     not null,
    comparison   text     not null,
    threshold    numeric  not null,
    samples      integer  not null default 1,
    lasting      interval not null default '0 s',
    mode         text     not null,
    is_enabled   boolean  not null default true,
    meaning      text     not null,

    constraint triggers_pkey primary key (trigger_name),
    constraint triggers_name_plain check (trigger_name ~ '^[a-z][a-z0-9_]{0,40}$'),
    constraint triggers_measure_plain check (measure ~ '^[a-z][a-z0-9_]{0,40}$'),
    constraint triggers_comparison_known check (comparison in ('<', '<=', '>', '>=')),
    constraint triggers_threshold_bounded check (abs(threshold) < 1e18 and min_scale(threshold) <= 18),
    constraint triggers_samples_positive check (samples > 0),
    constraint triggers_lasting_not_negative check (lasting >= '0 s'),
    constraint triggers_mode_fkey foreign key (mode) references risk.modes,
    constraint triggers_meaning_given check (meaning <> '')
);

comment on table risk.triggers is
    'What changes a mode by itself: a measure compared with a threshold. Each measure is a view risk.measure_<measure>.';
comment on column risk.triggers.trigger_name is 'Its name, as the history of modes shows it.';
comment on column risk.triggers.measure is 'What is measured: the name of a view of risk without measure_.';
comment on column risk.triggers.comparison is 'How the measured value is compared with the threshold.';
comment on column risk.triggers.threshold is 'In the unit of the measure.';
comment on column risk.triggers.samples is 'It fires after this many true samples in a row.';
comment on column risk.triggers.lasting is 'It fires after it has been true for so long.';
comment on column risk.triggers.mode is 'The mode to enter, in the scope that the measure names; never a milder one than now.';
comment on column risk.triggers.is_enabled is 'False: it is measured and shown, and changes nothing.';
comment on column risk.triggers.meaning is 'What it protects from.';

insert into risk.triggers (trigger_name, measure, comparison, threshold, samples, mode, is_enabled, meaning) values (
    'stale_reconciliation', 'reconciliation_age', '>', 300, 2, 'SAFE', false,
    'Books that nobody has compared with the broker for 5 minutes may be wrong: buy nothing more.'
);

create table risk.trigger_states (
    trigger_name text        not null,
    scope        text        not null,
    subject      text        not null,
    value        numeric,
    evidence     jsonb       not null,
    is_true      boolean     not null,
    samples      integer     not null,
    true_since   timestamptz,
    measured_at  timestamptz not null,
    fired_at     timestamptz,

    constraint trigger_states_pkey primary key (trigger_name, scope, subject),
    constraint trigger_states_trigger_fkey foreign key (trigger_name) references risk.triggers on delete cascade,
    constraint trigger_states_scope_known check (scope in ('system', 'broker', 'account')),
    constraint trigger_states_samples_not_negative check (samples >= 0),
    constraint trigger_states_true_since_iff_true check ((true_since is not null) = is_true)
);

comment on table risk.trigger_states is 'The latest sample of each trigger and subject.';
comment on column risk.trigger_states.trigger_name is 'The trigger.';
comment on column risk.trigger_states.scope is 'system, broker or account: what the mode would be changed of.';
comment on column risk.trigger_states.subject is 'Which broker or account; system for the system.';
comment on column risk.trigger_states.value is 'The measured value; null when it could not be measured, which is never true.';
comment on column risk.trigger_states.evidence is 'The facts behind the value.';
comment on column risk.trigger_states.is_true is 'Whether the value was beyond the threshold.';
comment on column risk.trigger_states.samples is 'True samples in a row.';
comment on column risk.trigger_states.true_since is 'When the first of these was measured; null when it is not true.';
comment on column risk.trigger_states.measured_at is 'When it was measured.';
comment on column risk.trigger_states.fired_at is 'When it last changed the mode; null when it never did.';

-- A mark is a price; this is a fingerprint.
alter table trade.reconciliation_runs rename column mark to fingerprint;
comment on column trade.reconciliation_runs.fingerprint is 'What we held and had in flight, see api.holdings_fingerprint.';
