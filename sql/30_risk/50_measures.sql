-- 50_measures: what triggers watch.  A measure is a view risk.measure_<name> with the columns scope (system, broker or
-- account), subject (which one), value (a number; null when it cannot be measured now), evidence and measured_at.

create or replace view risk.measure_reconciliation_age as
select
    'account'::text as scope,
    a.account as subject,
    extract(epoch from bus.clock() - greatest(a.reconciled_at, n.started_at)) as value,
    jsonb_build_object('reconciled_at', a.reconciled_at, 'run_started_at', n.started_at) as evidence,
    bus.clock() as measured_at
from trade.accounts as a
cross join bus.instance as n;

comment on view risk.measure_reconciliation_age is
    'Seconds since the books of each account were last compared with its broker, or since the run began if that is later.';
