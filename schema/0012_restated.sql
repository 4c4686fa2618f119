-- 0012_restated: what is told of an execution after it.  A fee taken in kind is a row that names the execution,
-- and a time that was not told at first must not make two executions of one.

alter table trade.reconciliations
    add column fill_id bigint,
    add constraint reconciliations_fill_fkey foreign key (fill_id) references trade.fills;

alter table trade.fills
    add column is_time_told boolean not null default true;

create index reconciliations_by_fill on trade.reconciliations (fill_id) where fill_id is not null;

comment on column trade.reconciliations.fill_id is 'The execution whose fee in kind was told after it; null otherwise.';
comment on column trade.fills.is_time_told is 'False where the broker did not say when: filled_at and trade_date are then of the moment we heard of it.';
comment on column trade.fills.price is 'Price per unit as told with the execution; another that is told later is an entry of cash.';
comment on column trade.fills.fee_qty is
    'Commission taken in units of the instrument, as told with the execution; more of it that is told later is a reconciliation.';
