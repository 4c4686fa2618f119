-- 50_rules: rules that are stored as rows.

create or replace view api.intent_transitions as
select t.from_status, t.to_status
from trade.intent_transitions as t;

comment on view api.intent_transitions is 'The lifecycle of an intent.';

create or replace view api.order_transitions as
select t.from_status, t.to_status
from trade.order_transitions as t;

comment on view api.order_transitions is 'The lifecycle of an order.';

create or replace view api.intent_types as
select t.intent_type, t.side, t.action
from trade.intent_types as t;

comment on view api.intent_types is 'Kinds of intents, each with the action that the mode allows or denies.';

create or replace view api.exit_profiles as
select
    x.profile,
    trade.rate_of(x.profile, 'STOP_LOSS') as stop_loss_rate,
    trade.rate_of(x.profile, 'TAKE_PROFIT') as take_profit_rate
from trade.exit_profiles as x;

comment on view api.exit_profiles is 'How far from the average price stop and target are, as fractions.';

create or replace view api.exit_rules as
select r.profile, r.reason, r.value, k.is_stop, k.meaning
from trade.exit_rules as r
join trade.exit_kinds as k on k.reason = r.reason;

comment on view api.exit_rules is 'The rules of each exit profile, and what the value of each means.';

create or replace view api.brokers as
select b.broker, b.is_real, b.send_within, b.answer_timeout
from trade.brokers as b;

comment on view api.brokers is 'Brokers, and how long an order may take to be sent and answered.';

create or replace view api.incident_kinds as
select k.kind, k.severity, k.advice
from risk.incident_kinds as k;

comment on view api.incident_kinds is 'Kinds of incidents, and what a person does about one.';
