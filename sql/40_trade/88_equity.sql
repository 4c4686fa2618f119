-- 88_equity: each account's equity, profit of the day and drawdown, computed from recorded facts.

create or replace view trade.marks as
select
    p.account_id,
    p.instrument_id,
    p.owner,
    p.qty,
    -- The stored mark, which unsound quotes never move; without one the last trade, then the average price paid.
    coalesce(q.mark, q.last, p.avg_price) as mark,
    coalesce(q.is_fresh and (q.bid_is_sound or q.ask_is_sound), false) is not true as is_flagged
from trade.positions as p
left join market.quotes_now as q on q.instrument_id = p.instrument_id
where p.qty > 0;

comment on view trade.marks is
    'The price at which each held position is valued; flagged unless a fresh quote with a sound side backs it.';

create or replace view trade.equities as
select
    b.account_id,
    b.cash + coalesce(sum(m.qty * m.mark), 0) as equity,
    coalesce(bool_or(m.is_flagged), false) as is_flagged
from trade.balances as b
left join trade.marks as m on m.account_id = b.account_id
group by b.account_id, b.cash;

comment on view trade.equities is 'Cash plus positions at their marks.';

create or replace function trade.measure_equity(p_account_ids bigint[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    insert into risk.account_equity as q (account_id, day_start, opening_equity, base, equity, peak, is_flagged)
    select
        a.account_id,
        market.day_start(v.time_zone, a.day_boundary, bus.clock()),
        coalesce(l.equity, e.equity),
        coalesce(l.equity, e.equity),
        e.equity,
        case when e.is_flagged then coalesce(l.peak, e.equity) else greatest(e.equity, l.peak) end,
        e.is_flagged
    from trade.equities as e
    join trade.accounts as a on a.account_id = e.account_id
    join market.venues as v on v.venue = a.venue
    left join lateral (
        select n.equity, n.peak
        from risk.account_equity as n
        where n.account_id = e.account_id
        order by n.day_start desc
        limit 1
    ) as l on true
    where e.account_id = any(p_account_ids)
    order by a.account_id
    on conflict (account_id, day_start) do update
    set equity = excluded.equity,
        peak = excluded.peak,
        is_flagged = excluded.is_flagged,
        measured_at = bus.clock();

    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

comment on function trade.measure_equity is
    'Stores what accounts are worth now; the first measurement of an account''s day opens it at the last equity of the '
    'day before. Returns how many. The caller has locked the balances, as everyone who moves cash does, so cash and '
    'positions are consistent.';

create or replace function api.measure_equity()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids   bigint[] := trade.lock_accounts(array(select b.account_id from trade.balances as b));
    v_id    bigint;
    v_count integer := 0;
begin
    -- Measure all at once; one by one only after an error, so that one account's error affects no other.
    begin
        return trade.measure_equity(v_ids);
    exception when others then
        if bus.concerns_all(sqlstate) then
            raise;
        end if;
    end;

    foreach v_id in array v_ids loop
        begin
            v_count := v_count + trade.measure_equity(array[v_id]);
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform risk.note_failed_item('measure_equity', format('account %s', a.account), sqlstate, sqlerrm)
            from trade.accounts as a
            where a.account_id = v_id;
        end;
    end loop;

    return v_count;
end;
$$;

comment on function api.measure_equity is
    'Stores what each account is worth now. An account that stays locked for long is skipped; one that fails is an '
    'incident and stops no other. Returns how many.';

create or replace function trade.shift_peak_by_flow(
    p_peak   numeric,
    p_equity numeric,
    p_flow   numeric
)
returns numeric
language sql
immutable
begin atomic
    -- Round up, with the exact div, so that a drawdown is never understated.  An emptied account starts again.
    select case
        when p_equity > 0 and p_equity + p_flow > 0
            then trim_scale((div(s.scaled, p_equity) + case when s.scaled % p_equity > 0 then 1 else 0 end) * 1e-18)
        else greatest(p_equity + p_flow, 0)
    end
    from (select p_peak * (p_equity + p_flow) * 1e18 as scaled) as s;
end;

comment on function trade.shift_peak_by_flow is
    'The peak after a deposit or withdrawal, scaled so that the drawdown stays the same fraction of it.';

create or replace function trade.tg_cash_entries__shift_equity()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The balance does not include the flow yet: the update needs the equity before and after it.
    perform trade.lock_account(new.account_id);
    perform trade.measure_equity(array[new.account_id]);

    update risk.account_equity as q
    set equity = q.equity + new.amount,
        flows = q.flows + new.amount,
        growth = case when q.base > 0 and q.equity > 0 then round(q.growth * q.equity / q.base, 18) else q.growth end,
        base = q.equity + new.amount,
        peak = trade.shift_peak_by_flow(q.peak, q.equity, new.amount)
    where q.account_id = new.account_id
      and q.day_start = (select max(n.day_start) from risk.account_equity as n where n.account_id = new.account_id);

    return null;
end;
$$;

comment on function trade.tg_cash_entries__shift_equity is
    'A deposit or withdrawal is neither profit nor loss: drawdown and growth of the day stay as they were before it.';

-- As a row trigger it runs before the statement trigger _500_add, which updates the balance.
create or replace trigger _400_carry_equity
after insert on trade.cash_entries
for each row
when (new.kind in ('deposit', 'withdrawal'))
execute function trade.tg_cash_entries__shift_equity();
