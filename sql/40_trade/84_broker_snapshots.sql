-- 84_broker_snapshots: compares what a broker reports an account holds with our books.

create or replace function trade.is_snapshot(p_snapshot jsonb)
returns boolean
language sql
immutable
begin atomic
    -- Check the length first: a number of 131,073 digits cannot even be cast to numeric.
    select jsonb_typeof(p_snapshot -> 'holdings') = 'object'
        and not exists (
            select
            from (
                select h.value, '^(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?$' as shape
                from jsonb_each_text(
                    case jsonb_typeof(p_snapshot -> 'holdings')
                        when 'object' then p_snapshot -> 'holdings' else '{}'
                    end
                ) as h
                union all
                select p_snapshot ->> 'cash', '^-?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?$'
                where p_snapshot ->> 'cash' is not null
            ) as n
            where (case when length(n.value) <= 100 and n.value ~ n.shape then bus.is_amount(n.value::numeric) end)
                is not true
        );
end;

comment on function trade.is_snapshot is
    'Whether each holding is a usable number, not below zero, and cash is a usable number or not reported.';

create or replace function trade.is_in_flight(
    p_account_id    bigint,
    p_instrument_id bigint
)
returns boolean
language sql
stable
begin atomic
    select exists (
        select
        from trade.orders as o
        where o.account_id = p_account_id
          and (o.closed_at is null or o.stray_since is not null)
          and (p_instrument_id is null or o.instrument_id = p_instrument_id)
    );
end;

comment on function trade.is_in_flight is
    'Whether an order or a stray is live, so that the broker may be ahead of us in an instrument or, when that is '
    'null, in cash.';

create or replace function trade.holdings_differences(
    p_account_id bigint,
    p_snapshot   jsonb
)
returns table (item text, ours numeric, theirs numeric, in_flight boolean)
language sql
stable
begin atomic
    select
        i.symbol,
        coalesce(o.qty, 0),
        coalesce(t.qty, 0),
        trade.is_in_flight(p_account_id, i.instrument_id)
    from (
        select p.instrument_id, sum(p.qty) as qty
        from trade.positions as p
        where p.account_id = p_account_id
        group by p.instrument_id
    ) as o
    full join (
        select n.instrument_id, h.value::numeric as qty
        from jsonb_each_text(p_snapshot -> 'holdings') as h
        join trade.accounts as a on a.account_id = p_account_id
        join market.instruments as n on n.venue = a.venue and n.symbol = h.key
    ) as t on t.instrument_id = o.instrument_id
    join market.instruments as i on i.instrument_id = coalesce(o.instrument_id, t.instrument_id)
    where coalesce(o.qty, 0) <> coalesce(t.qty, 0)
    union all
    select 'cash', b.cash, (p_snapshot ->> 'cash')::numeric, trade.is_in_flight(p_account_id, null)
    from trade.balances as b
    where b.account_id = p_account_id
      and b.cash <> (p_snapshot ->> 'cash')::numeric;
end;

comment on function trade.holdings_differences is
    'Where the broker''s holdings and cash differ from the sum over our owners, for symbols in our universe, and '
    'whether an order in flight may explain it.';

create or replace function api.holdings_fingerprint(p_account text)
returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select md5(
        coalesce(string_agg(
            format('%s:%s:%s', p.instrument_id, p.owner, p.version), ',' order by p.instrument_id, p.owner
        ), '')
        || '/' || (select b.cash from trade.balances as b where b.account_id = a.account_id)
        || '/' || (
            select count(*)
            from trade.orders as o
            where o.account_id = a.account_id and (o.closed_at is null or o.stray_since is not null)
        )
    )
    from trade.accounts as a
    left join trade.positions as p on p.account_id = a.account_id
    where a.account = p_account
    group by a.account_id;
end;

comment on function api.holdings_fingerprint is
    'A hash of all that an account holds and has in flight. Read it before asking the broker; if it has changed since, '
    'the broker''s answer proves nothing.';

create or replace function trade.report_unknown_holdings(
    p_account  trade.accounts,
    p_snapshot jsonb
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_unknown jsonb;
begin
    select jsonb_object_agg(h.key, h.value)
    into v_unknown
    from jsonb_each_text(p_snapshot -> 'holdings') as h
    where h.value::numeric <> 0
      and not exists (
          select from market.instruments as i where i.venue = p_account.venue and i.symbol = h.key
      );

    if v_unknown is not null then
        perform api.raise_incident('unknown_holding', p_account.account, v_unknown);
    else
        perform risk.end_incident('unknown_holding', p_account.account);
    end if;
end;
$$;

comment on function trade.report_unknown_holdings is
    'Keeps an incident open while the broker holds symbols outside our universe: we cannot trade them, and they stop '
    'nothing else.';
