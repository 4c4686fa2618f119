-- 0011_waits: a difference with a broker that an order in flight may explain is kept as well, so that one that
-- lasts is told.

alter table trade.reconciliation_runs
    drop constraint reconciliation_runs_answer_known,
    add constraint reconciliation_runs_answer_known check (answer in ('AGREES', 'DIFFERS', 'WAITS', 'CORRECTED'));

comment on column trade.reconciliation_runs.answer is
    'AGREES, DIFFERS (seen once), WAITS (an order in flight may explain it) or CORRECTED (seen twice and put right by recorded rows).';
