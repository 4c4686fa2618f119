-- 395_equity: what each account is worth, its profit of the day and its drawdown, from facts.

create or replace view trade.marks as
select
    p.account_id,
    p.instrument_id,
    p.owner,
    p.qty,
    -- The last price, clipped to what could be had now; a dead quote keeps its last good one and is flagged.
    coalesce(
        case when b.bid > 0 and b.ask > 0 then least(greatest(coalesce(b.last, b.bid), b.bid), b.ask) end,
        b.mark,
        b.last,
        p.avg_price
    ) as mark,
    q.is_fresh is not true as is_flagged
from trade.positions as p
left join market.prices_best as b on b.instrument_id = p.instrument_id
left join market.quotes_now as q on q.instrument_id = p.instrument_id
where p.qty > 0;

comment on view trade.marks is 'The price each held position is valued at, and whether that price may be stale.';

create or replace view trade.equities as
select
    b.account_id,
    b.cash + coalesce(sum(m.qty * m.mark), 0) as equity,
    coalesce(bool_or(m.is_flagged), false) as is_flagged
from trade.balances as b
left join trade.marks as m on m.account_id = b.account_id
group by b.account_id, b.cash;

comment on view trade.equities is 'Cash plus positions at their marks.';

create or replace function trade.external_cash(p_account_id bigint)
returns numeric
language sql
stable
begin atomic
    select coalesce(sum(c.amount), 0)
    from trade.cash_entries as c
    where c.account_id = p_account_id
      and c.kind in ('deposit', 'withdrawal');
end;

comment on function trade.external_cash(bigint) is 'Deposits less withdrawals of all time.';

create or replace function api.measure_equity()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_account trade.accounts;
    v_now     record;
    v_last    risk.account_equity;
    v_flow    numeric;
    v_count   integer := 0;
begin
    for v_account in
        select a.* from trade.accounts as a order by a.account_id
    loop
        begin
            -- Whoever moves cash holds this row: what is read next was seen together.
            perform from trade.balances as b where b.account_id = v_account.account_id for no key update;

            select
                e.equity,
                e.is_flagged,
                trade.external_cash(v_account.account_id) as external,
                market.day_start(v.time_zone, v_account.day_boundary, bus.clock()) as day_start
            into strict v_now
            from trade.equities as e
            join market.venues as v on v.venue = v_account.venue
            where e.account_id = v_account.account_id;

            select q.* into v_last
            from risk.account_equity as q
            where q.account_id = v_account.account_id
            order by q.day_start desc
            limit 1;

            v_flow := v_now.external - coalesce(v_last.external, v_now.external);

            insert into risk.account_equity as q (
                account_id, day_start, opening_equity, equity, flows, external, peak, is_flagged
            ) values (
                v_account.account_id, v_now.day_start, coalesce(v_last.equity, v_now.equity), v_now.equity, v_flow,
                v_now.external, greatest(v_now.equity, coalesce(v_last.peak, v_now.equity) + v_flow), v_now.is_flagged
            )
            on conflict (account_id, day_start) do update
            set equity = excluded.equity,
                flows = q.flows + v_flow,
                external = excluded.external,
                peak = excluded.peak,
                is_flagged = excluded.is_flagged,
                measured_at = bus.clock();

            v_count := v_count + 1;
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform risk.note_failed_item('measure_equity', format('account %s', v_account.account), sqlstate, sqlerrm);
        end;
    end loop;

    return v_count;
end;
$$;

comment on function api.measure_equity() is
    'Stores what each account is worth now; the first measure of an account''s day opens it at the last equity of the day before. Returns how many.';
