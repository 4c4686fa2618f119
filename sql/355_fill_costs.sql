-- 355_fill_costs: what an execution moved and cost by now, and costs that are told after it.

-- As its entries of cash say: costs may be told later than the execution itself, and what was paid is exact
-- where a price that was divided out is not.
create or replace view trade.fill_money as
select f.fill_id, f.order_id, f.quantity, m.notional, m.fee, m.tax, m.cash
from trade.fills as f
cross join lateral (
    select
        coalesce(sum(abs(c.amount)) filter (where c.kind = 'fill'), 0) as notional,
        coalesce(-sum(c.amount) filter (where c.kind = 'fee'), 0) as fee,
        coalesce(-sum(c.amount) filter (where c.kind = 'tax'), 0) as tax,
        coalesce(sum(c.amount), 0) as cash
    from trade.cash_entries as c
    where c.fill_id = f.fill_id
) as m;

comment on view trade.fill_money is 'What each execution moved by now: money for the instrument, commission, tax, and cash in all.';

create or replace function trade.restate_costs(
    p_fill_id bigint,
    p_fee     numeric,
    p_tax     numeric
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_fill trade.fills;
begin
    if (p_fee = 0 and p_tax = 0) or exists (select from trade.busts as b where b.fill_id = p_fill_id) then
        return 'DUPLICATE';
    end if;

    select f.* into strict v_fill from trade.fills as f where f.fill_id = p_fill_id;

    update trade.positions as p
    set realized_pnl = p.realized_pnl - p_fee - p_tax
    where (p.account_id, p.instrument_id, p.owner) = (v_fill.account_id, v_fill.instrument_id, v_fill.owner);

    insert into trade.cash_entries (account_id, kind, amount, fill_id, note)
    select v_fill.account_id, e.kind, -e.amount, p_fill_id, 'told after the execution'
    from (values ('fee', p_fee), ('tax', p_tax)) as e (kind, amount)
    where e.amount <> 0;

    perform bus.record_event('fill', p_fill_id, 'restated', v_fill.intent_id,
        jsonb_build_object('fee_added', p_fee, 'tax_added', p_tax));
    perform trade.shed_unsent(v_fill.account_id, v_fill.instrument_id, v_fill.owner);
    return 'RESTATED';
end;
$$;

comment on function trade.restate_costs(bigint, numeric, numeric) is
    'Costs of a known execution that are told later, or otherwise than at first: books the difference. RESTATED, or DUPLICATE when there is none. The caller holds the locks.';
