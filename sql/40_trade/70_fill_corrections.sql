-- 70_fill_corrections: what each fill has moved so far, and what is reported about it later: its costs, a fee in kind,
-- another price.  The fill row stays as first reported; a correction adds rows that reference it.

-- Take the notional from cash entries: exact, unlike a price obtained by division.
create or replace view trade.fill_money as
select
    f.fill_id,
    f.order_id,
    f.quantity,
    case f.side when 'BUY' then -m.paid else m.paid end as notional,
    m.fee,
    m.tax,
    m.cash,
    f.fee_qty - coalesce(r.quantity, 0) as fee_qty,
    f.realized_pnl - (m.fee - f.fee) - (m.tax - f.tax) + case f.side when 'BUY' then 0 else m.paid_later end
        as realized_pnl
from trade.fills as f
cross join lateral (
    select
        coalesce(sum(c.amount) filter (where c.kind = 'fill'), 0) as paid,
        coalesce(sum(c.amount) filter (where c.kind = 'fill' and c.note <> ''), 0) as paid_later,
        coalesce(-sum(c.amount) filter (where c.kind = 'fee'), 0) as fee,
        coalesce(-sum(c.amount) filter (where c.kind = 'tax'), 0) as tax,
        coalesce(sum(c.amount), 0) as cash
    from trade.cash_entries as c
    where c.fill_id = f.fill_id
) as m
cross join lateral (
    select sum(n.quantity) as quantity
    from trade.reconciliations as n
    where n.fill_id = f.fill_id
) as r;

comment on view trade.fill_money is
    'What each fill has moved so far, corrections included: notional, fee, tax, total cash, fee in kind and, for a '
    'sell, the realized profit.';

create or replace function trade.cost_correction(
    p_fill     trade.fills,
    p_position trade.positions,
    p_notional numeric,
    p_fee_qty  numeric
)
returns numeric
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_bought numeric := p_fill.quantity - p_fill.fee_qty;
    v_cost   numeric := 0;
begin
    if p_fee_qty = p_position.qty then
        return -p_position.cost;
    end if;

    if p_fill.side = 'SELL' then
        return case when p_fee_qty > 0 then -trade.cost_of(p_position, p_fee_qty) else 0 end;
    end if;

    -- If part or all of what it bought has since been sold, that part of the correction is profit or loss.
    if p_position.opened_at <= p_fill.recorded_at then
        v_cost := case
            when p_position.qty >= v_bought then p_notional
            -- Use div, which is exact: the operator / would round before the result is truncated.
            else div(p_notional * p_position.qty * 1e18, v_bought) * 1e-18
        end;
    end if;

    return greatest(v_cost, -p_position.cost);
end;
$$;

comment on function trade.cost_correction is
    'By how much a correction changes the cost of a fill''s position: p_notional more was paid or received and '
    'p_fee_qty more units were taken as the fee.';

create or replace function trade.correct_fill(
    p_fill     trade.fills,
    p_notional numeric,
    p_fee_qty  numeric,
    p_fee      numeric,
    p_tax      numeric
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_sign     integer := case p_fill.side when 'BUY' then -1 else 1 end;
    v_position trade.positions;
    v_added    record;
    v_cost     numeric;
begin
    -- Null means not reported; omitting a fee in kind later is no refund.
    select
        coalesce(p_notional - m.notional, 0) as notional,
        greatest(p_fee_qty - m.fee_qty, 0) as fee_qty,
        coalesce(p_fee - m.fee, 0) as fee,
        coalesce(p_tax - m.tax, 0) as tax
    into strict v_added
    from trade.fill_money as m
    where m.fill_id = p_fill.fill_id;

    if v_added.notional = 0 and v_added.fee_qty = 0 and v_added.fee = 0 and v_added.tax = 0 then
        return 'DUPLICATE';
    end if;

    v_position := trade.book_oversold_quantity(
        trade.ensure_position(p_fill.account_id, p_fill.instrument_id, p_fill.owner), v_added.fee_qty, p_fill.price
    );
    v_cost := trade.cost_correction(p_fill, v_position, v_added.notional, v_added.fee_qty);

    update trade.positions as p
    set qty = p.qty - v_added.fee_qty,
        cost = p.cost + v_cost,
        realized_pnl = p.realized_pnl + v_cost + v_sign * v_added.notional - v_added.fee - v_added.tax,
        opened_at = case when p.qty > v_added.fee_qty then p.opened_at end
    where (p.account_id, p.instrument_id, p.owner) = (p_fill.account_id, p_fill.instrument_id, p_fill.owner);

    insert into trade.reconciliations (account_id, instrument_id, owner, quantity, price, reason, fill_id)
    select
        p_fill.account_id, p_fill.instrument_id, p_fill.owner, -v_added.fee_qty, 0,
        'fee in kind, reported after the execution', p_fill.fill_id
    where v_added.fee_qty > 0;

    insert into trade.cash_entries (account_id, kind, amount, fill_id, note)
    select p_fill.account_id, e.kind, e.amount, p_fill.fill_id, 'reported after the execution'
    from (
        values ('fill', v_sign * v_added.notional), ('fee', -v_added.fee), ('tax', -v_added.tax)
    ) as e (kind, amount)
    where e.amount <> 0;

    perform bus.record_event('fill', p_fill.fill_id, 'restated', p_fill.intent_id, jsonb_build_object(
        'notional_added', v_added.notional, 'fee_qty_added', v_added.fee_qty,
        'fee_added', v_added.fee, 'tax_added', v_added.tax
    ));

    if v_added.notional <> 0 or v_added.fee_qty <> 0 then
        perform trade.arm_exits(p_fill.account_id, p_fill.instrument_id, p_fill.owner);
    end if;

    perform trade.release_unsent_intents(p_fill.account_id, p_fill.instrument_id, p_fill.owner);
    return 'RESTATED';
end;
$$;

comment on function trade.correct_fill is
    'Books what is reported about a known fill later, or differently than at first: the difference becomes rows that '
    'reference the fill. Returns RESTATED, or DUPLICATE when there is no difference. The caller holds the locks and '
    'has checked that the fill is not busted.';
