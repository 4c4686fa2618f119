-- 0012_restated: a fee taken in kind may be told after its execution, and then the units it took are a row that
-- names that execution.

alter table trade.reconciliations
    add column fill_id bigint,
    add constraint reconciliations_fill_fkey foreign key (fill_id) references trade.fills;

create index reconciliations_by_fill on trade.reconciliations (fill_id) where fill_id is not null;

comment on column trade.reconciliations.fill_id is 'The execution whose fee in kind was told after it; null otherwise.';
comment on column trade.fills.price is 'Price per unit as told with the execution; another that is told later is an entry of cash.';
comment on column trade.fills.fee_qty is
    'Commission taken in units of the instrument, as told with the execution; more of it that is told later is a reconciliation.';
