-- 0015_identity: which server a database was started on, which run an account was reconciled in, and what lets
-- the audit and the seals do without clocks and separators.

alter table bus.instance
    add column home_path text not null default '',
    add column home_started_at timestamptz not null default '-infinity',
    drop column sealed_xid;

comment on column bus.instance.home_path is
    'Where this table lies in the server''s files, which names the database by its number: compared before identity, because that is cheap.';
comment on column bus.instance.home_started_at is
    'When the server was started that this database was last seen on by its supervisor: compared before identity, because that is cheap.';
comment on column bus.instance.started_at is 'When the workers were last started together. For people: rules compare run_number.';

alter table trade.accounts add column reconciled_run bigint;

comment on column trade.accounts.reconciled_run is
    'The run in which it last agreed with its broker: it takes part while that is the present one. Null before the first time.';

update trade.accounts as a
set reconciled_run = n.run_number
from bus.instance as n
where a.reconciled_at >= n.started_at;

alter table risk.mode_history add column last_order_id bigint not null default 0;

comment on column risk.mode_history.last_order_id is
    'The last order that was stored before this change: later ones have higher numbers, whatever the clock says.';

update risk.mode_history as h
set last_order_id = coalesce((select max(o.order_id) from trade.orders as o where o.created_at <= h.changed_at), 0);

alter table bus.epochs add column last_paper_order_id bigint;

comment on column bus.epochs.last_paper_order_id is
    'The last order the paper broker had heard of when the next epoch began; null for the present one.';

update bus.epochs as e
set last_paper_order_id = coalesce(
    (select max(o.paper_order_id) from paper.orders as o where o.accepted_at < e.ended_at), 0
)
where e.ended_at is not null;

alter table bus.epochs
    add constraint epochs_last_paper_order_iff_ended check ((last_paper_order_id is null) = (ended_at is null));

alter table bus.seals add column hash_version integer not null default 1;

comment on column bus.seals.hash_version is
    'How event_hash was made. 1: fields joined by |, which lets text move between fields. 2: a JSON array.';
comment on column bus.seals.event_hash is 'sha256 of the event in the way hash_version says, as hex.';

drop function if exists api.drop_partitions(timestamptz);
