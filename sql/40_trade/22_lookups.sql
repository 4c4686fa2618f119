-- 22_lookups: find accounts and orders by the names that people and brokers use.

create or replace function trade.account_id(p_account text)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_account_id bigint;
begin
    select a.account_id into v_account_id from trade.accounts as a where a.account = p_account;

    if not found then
        raise exception 'account % does not exist', left(p_account, 100)
            using errcode = 'TRI02', hint = 'select account from accounts;';
    end if;

    return v_account_id;
end;
$$;

comment on function trade.account_id is 'Returns the id of an account. Raises TRI02.';

create or replace function trade.find_order(
    p_account_id      bigint,
    p_client_order_id text,
    p_broker_order_id text
)
returns trade.orders
language sql
stable
begin atomic
    select o
    from trade.orders as o
    where o.account_id = p_account_id
      and (o.client_order_id = p_client_order_id
           or (p_client_order_id is null and o.broker_order_id = p_broker_order_id));
end;

comment on function trade.find_order is
    'Finds an order of an account by client_order_id or, if that is null, by broker_order_id.';
