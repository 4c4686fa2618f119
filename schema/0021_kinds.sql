-- 0021_kinds: kinds of incidents and jobs are rows: a new one needs no change elsewhere.

create table risk.incident_kinds (
    kind     text not null,
    severity text not null,
    advice   text not null,

    constraint incident_kinds_pkey primary key (kind),
    constraint incident_kinds_severity_known check (severity in ('warning', 'critical')),
    constraint incident_kinds_advice_given check (advice <> '')
);

comment on table risk.incident_kinds is 'Kinds of incidents, and what a person does about one.';
comment on column risk.incident_kinds.kind is 'Name of the kind.';
comment on column risk.incident_kinds.severity is
    'critical: money or orders are uncertain, or trading has stopped. warning: look at it today.';
comment on column risk.incident_kinds.advice is 'What to look at, and what to do.';

insert into risk.incident_kinds (kind, severity, advice) values
('breach', 'critical', 'More is reserved than is held. New intents are refused until it is over; it closes itself.'),
('code_guessing', 'critical', 'Somebody tries override codes: change the desk''s password. See override_attempts.'),
('crash_loop', 'critical', 'A process crashed three times. Read aegis logs, mend the cause, then restart aegis up.'),
('disagreement', 'critical', 'The broker holds something else than our books. Compare with aegis account check.'),
('duplicate_order_number', 'critical', 'The broker gave one number to two orders. Ask the broker which is which.'),
('failed_item', 'warning', 'One item failed with an unexpected error and is left out. Read the detail.'),
('foreign_database', 'critical', 'A copy or a restored backup. Make sure the original is off, then aegis adopt.'),
('hung_worker', 'warning', 'A process stopped responding and was restarted. Read aegis logs for the time before.'),
('job_missed', 'warning', 'A scheduled job fails or gets no lock. The detail says why; select * from jobs;'),
('lock_wait', 'warning', 'A process waits for a lock that a session holds. The detail names the session.'),
('lost_order', 'critical', 'The broker no longer knows this order. Check there whether it was filled.'),
('memory', 'warning', 'A strategy was stopped to free memory. Give the machine more, or run fewer strategies.'),
('missing_fills', 'critical', 'The broker counts fills it has not reported. Compare the order with the broker.'),
('not_started_here', 'critical', 'A process runs on a copy of this database. Stop it, or start the copy: aegis up.'),
('odd_order_number', 'warning', 'The broker sent an order number that cannot be kept. Look it up at the broker.'),
('orders_unsent', 'critical', 'Orders are claimed and not sent in time. Check the machine''s load and aegis doctor.'),
('outage', 'warning', 'The database was unavailable for a time. The detail lists stops that were late.'),
('overdue', 'warning', 'An order or intent has been in one state for too long. Look it up with aegis explain.'),
('overfill', 'critical', 'The broker filled more than was ordered. The position is as the broker reported it.'),
('oversold', 'critical', 'More was sold than was known to be held. Compare holdings with the broker.'),
('rejected_exit', 'critical', 'The broker refused to sell a position at its stop or target. Sell it by hand.'),
('session_ended', 'warning', 'A session held what others needed and was ended. Find out who left it open.'),
('skipped_work', 'warning', 'Work waits behind a lock that somebody holds. The detail names the session.'),
('stray_order', 'critical', 'An order that ended here is alive at the broker. It is being cancelled: check that.'),
('transaction_held', 'warning', 'A transaction that cannot be ended from here blocks others. End that session.'),
('unknown_holding', 'warning', 'The broker holds a symbol that is not in the universe. Add it, or leave it alone.'),
('unmatched_fill', 'critical', 'The broker reported a fill of no known order. Find the order at the broker.'),
('unreadable_snapshot', 'critical', 'What the broker said of its holdings cannot be read. The account claims nothing.');

-- What an older version recorded stays.
insert into risk.incident_kinds (kind, severity, advice)
select distinct i.kind, 'warning', 'Recorded by an older version: read the detail.'
from risk.incidents as i
on conflict do nothing;

alter table risk.incidents
add constraint incidents_kind_fkey foreign key (kind) references risk.incident_kinds;

comment on column risk.incidents.kind is 'One of incident_kinds.';

alter table bus.jobs
drop constraint jobs_job_known,
add constraint jobs_job_plain check (job ~ '^[a-z][a-z0-9_]*$'),
add column full_batch bigint,
add constraint jobs_full_batch_positive check (full_batch > 0);

update bus.jobs as j set full_batch = 1000 where j.job = 'seal_events';

comment on column bus.jobs.job is 'The function of api that does it, called without arguments; it returns how much it did.';
comment on column bus.jobs.full_batch is
    'The result that means more is waiting, so that it runs again at once; null when it always does all there is.';

-- The same facts in plain words.
comment on column bus.events.generation is
    'The generation of the instance that wrote it: transaction numbers start again in a restored copy.';
comment on column paper.taken.received_seq is 'The quote; the next one offers its whole size.';
comment on column trade.fills.price is
    'Price per unit as first reported; a difference reported later is an entry of cash.';
comment on column trade.fills.fee is
    'Commission as first reported, negative for a rebate; what is reported later is an entry of cash.';
comment on column trade.fills.tax is 'Tax as first reported; what is reported later is an entry of cash.';
comment on column trade.fills.fee_qty is
    'Commission taken in units of the instrument, as first reported; more of it reported later is a reconciliation.';
comment on column trade.reconciliations.fill_id is 'The fill whose fee in kind was reported after it; null otherwise.';
