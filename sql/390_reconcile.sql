-- 390_reconcile: does the broker hold what we think?  A disagreement is an incident; nothing is corrected
-- silently.  An account's claims wait for its first agreement after a start.

create or replace function trade.holdings_differences(
    p_account_id bigint,
    p_snapshot   jsonb
)
returns table (item text, ours numeric, theirs numeric)
language sql
stable
begin atomic
    select
        coalesce(o.symbol, t.symbol),
        coalesce(o.qty, 0),
        coalesce(t.qty, 0)
    from (
        select i.symbol, sum(p.qty) as qty
        from trade.positions as p
        join market.instruments as i on i.instrument_id = p.instrument_id
        where p.account_id = p_account_id
        group by i.symbol
    ) as o
    full join (
        select h.key as symbol, h.value::numeric as qty
        from jsonb_each_text(p_snapshot -> 'holdings') as h
    ) as t on t.symbol = o.symbol
    where coalesce(o.qty, 0) <> coalesce(t.qty, 0)
    union all
    select 'cash', b.cash, (p_snapshot ->> 'cash')::numeric
    from trade.balances as b
    where b.account_id = p_account_id
      and p_snapshot ? 'cash'
      and b.cash <> (p_snapshot ->> 'cash')::numeric;
end;

comment on function trade.holdings_differences(bigint, jsonb) is
    'Where the broker''s holdings and cash differ from the sum of our owners.';

create or replace function api.holdings_mark(p_account text)
returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select md5(
        coalesce(string_agg(format('%s:%s:%s', p.instrument_id, p.owner, p.version), ',' order by p.instrument_id, p.owner), '')
        || '/' || (select count(*) from trade.cash_entries as c where c.account_id = a.account_id)
        || '/' || (
            select count(*)
            from trade.orders as o
            where o.account_id = a.account_id and o.status in ('SENDING', 'IN_DOUBT', 'SUBMITTED', 'PARTIAL_FILLED')
        )
    )
    from trade.accounts as a
    left join trade.positions as p on p.account_id = a.account_id
    where a.account = p_account
    group by a.account_id;
end;

comment on function api.holdings_mark(text) is
    'A mark of all an account holds and has in flight. Read before asking the broker; if it changed meanwhile, the answer proves nothing.';

create or replace function api.reconcile(
    p_account  text,
    p_mark     text,
    p_snapshot jsonb
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_account trade.accounts;
    v_diff    jsonb;
begin
    select a.* into v_account from trade.accounts as a where a.account = p_account for no key update;

    if not found then
        raise exception 'account % does not exist', p_account using errcode = 'TRI02', hint = 'select account from accounts;';
    end if;

    if api.holdings_mark(p_account) is distinct from p_mark then
        return 'CHANGED';
    end if;

    select jsonb_agg(jsonb_build_object('item', d.item, 'ours', d.ours, 'theirs', d.theirs) order by d.item)
    into v_diff
    from trade.holdings_differences(v_account.account_id, p_snapshot) as d;

    -- While orders are in flight the broker may be ahead of us: a difference proves nothing.
    if v_diff is not null and exists (
        select from trade.orders as o where o.account_id = v_account.account_id and o.closed_at is null
    ) then
        return 'CHANGED';
    end if;

    if v_diff is not null then
        perform api.raise_incident('disagreement', p_account, v_diff);
        return 'DIFFERS';
    end if;

    update risk.incidents as i
    set closed_at = bus.clock()
    where i.kind = 'disagreement' and i.subject = p_account and i.closed_at is null;

    update trade.accounts as a set reconciled_at = bus.clock() where a.account_id = v_account.account_id;

    if v_account.reconciled_at is null
        or v_account.reconciled_at < (select n.started_at from bus.instance as n) then
        perform pg_notify('new_intent', '');
    end if;

    return 'AGREES';
end;
$$;

comment on function api.reconcile(text, text, jsonb) is
    'Compares a broker''s snapshot {"holdings": {symbol: quantity}, "cash": amount} with ours: AGREES, DIFFERS (an incident) or CHANGED (ask again). Raises TRI02.';

create or replace function api.accounts_to_reconcile()
returns table (account text, broker text, mark text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select a.account, a.broker, api.holdings_mark(a.account)
    from trade.accounts as a
    where a.reconciled_at is null
       or a.reconciled_at < (select n.started_at from bus.instance as n)
       or a.reconciled_at < bus.clock() - interval '30 s'
    order by a.account_id;
end;

comment on function api.accounts_to_reconcile() is
    'Accounts to compare with their broker: those not yet open since the start, and every 30 seconds. The mark goes back to reconcile.';

create or replace function api.accounts_to_execute()
returns table (account text, broker text, fills_cursor text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select a.account, a.broker, a.fills_cursor
    from trade.accounts as a
    order by a.account_id;
end;

comment on function api.accounts_to_execute() is
    'Accounts whose fills are to be read, and how far they have been, in the broker''s own terms.';
