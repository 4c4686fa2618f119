-- 30_reports: what the paper broker reports: fills after a fill number, who may have some, and what an account holds.

create or replace function api.paper_fills_since(
    p_account text,
    p_after   bigint,
    p_limit   integer
)
returns table (
    broker_fill_id  bigint,
    broker_order_id text,
    client_order_id text,
    quantity        numeric,
    price           numeric,
    fee             numeric,
    tax             numeric,
    filled_at       timestamptz
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select f.paper_fill_id, f.paper_order_id::text, o.client_order_id, f.quantity, f.price, f.fee, f.tax, f.filled_at
    from paper.fills as f
    join paper.orders as o on o.paper_order_id = f.paper_order_id
    where f.account = p_account and f.paper_fill_id > p_after
    order by f.paper_fill_id
    limit least(greatest(p_limit, 0), 100000);
end;

comment on function api.paper_fills_since is
    'Fills of an account at the paper broker after a fill number, oldest first.';

create or replace view paper.fills_waiting as
select a.account_id
from paper.matchable as m
join trade.accounts as a on a.account = m.account
union all
select a.account_id
from trade.accounts as a
where exists (
    select
    from paper.fills as f
    where f.account = a.account
      and f.paper_fill_id > case when a.fills_cursor ~ '^[0-9]{1,18}$' then a.fills_cursor::bigint else 0 end
);

comment on view paper.fills_waiting is
    'Accounts for which the paper broker may have a fill to read: once for each order that can be matched now, and once '
    'if a fill is unread.';

create or replace function api.paper_snapshot(p_account text)
returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select jsonb_build_object(
        'holdings', coalesce((
            select jsonb_object_agg(h.symbol, h.qty)
            from (
                select i.symbol, sum(case o.side when 'BUY' then f.quantity else -f.quantity end) as qty
                from paper.fills as f
                join paper.orders as o on o.paper_order_id = f.paper_order_id
                join market.instruments as i on i.instrument_id = o.instrument_id
                where f.account = p_account
                group by i.symbol
            ) as h
        ), '{}'),
        'cash', (
            -- Cash reaches the paper broker as it reaches us: by recorded deposits, withdrawals and dividends.
            select coalesce(sum(c.amount), 0)
            from trade.cash_entries as c
            join trade.accounts as a on a.account_id = c.account_id
            where a.account = p_account and c.kind in ('deposit', 'withdrawal', 'dividend')
        ) + (
            select coalesce(sum(case o.side when 'BUY' then -1 else 1 end * f.quantity * f.price - f.fee - f.tax), 0)
            from paper.fills as f
            join paper.orders as o on o.paper_order_id = f.paper_order_id
            where f.account = p_account
        )
    );
end;

comment on function api.paper_snapshot is
    'What the paper broker reports an account holds: {"holdings": {symbol: quantity}, "cash": amount}, from its own '
    'fills and our recorded deposits, withdrawals and dividends.';
