-- 34_expiry: end intents and picks that have expired.

create or replace function api.expire_due()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids   bigint[];
    v_id    bigint;
    v_count integer := 0;
begin
    v_ids := array(
        select i.intent_id
        from trade.order_intents as i
        where i.closed_at is null
          and i.expires_at <= bus.clock()
          and (
              i.status in ('NEW', 'PENDING_APPROVAL')
              or exists (
                  select
                  from trade.orders as o
                  where o.intent_id = i.intent_id and o.closed_at is null and o.cancel_requested_at is null
              )
          )
        order by i.account_id, i.instrument_id, i.owner, i.intent_id
        limit 100
    );
    v_ids := case v_ids when '{}' then v_ids else trade.lock_free_intents(v_ids) end;
    -- Check again with the locks held: an approval may have set a later expires_at.
    v_ids := array(
        select i.intent_id
        from trade.order_intents as i
        where i.intent_id = any(v_ids) and i.expires_at <= bus.clock()
        order by i.account_id, i.instrument_id, i.owner, i.intent_id
    );

    foreach v_id in array v_ids loop
        begin
            v_count := v_count + trade.close_or_request_cancel(v_id, 'EXPIRED', 'it expired')::integer;
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform risk.note_failed_item('expire_due', format('intent %s', v_id), sqlstate, sqlerrm);
        end;
    end loop;

    with expired as (
        update strategy.picks as p
        set status = 'EXPIRED',
            routed_at = bus.clock()
        where p.pick_id = any(array(
            select w.pick_id
            from strategy.picks as w
            where w.status = 'NEW' and w.expires_at <= bus.clock()
            order by w.pick_id
            limit 100
            for no key update skip locked
        ))
        returning 1
    )
    select v_count + count(*) into v_count from expired;

    return v_count;
end;
$$;

comment on function api.expire_due is
    'Ends expired intents that wait and expired picks, and requests cancels of the live orders of expired '
    'intents. Returns how many.';

create or replace function trade.expire_waiting(p_reason text)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_id    bigint;
    v_count integer := 0;
begin
    for v_id in
        select i.intent_id
        from trade.order_intents as i
        where i.status in ('NEW', 'PENDING_APPROVAL')
        order by i.account_id, i.instrument_id, i.owner, i.intent_id
    loop
        begin
            perform trade.close_or_request_cancel(v_id, 'EXPIRED', p_reason);
            v_count := v_count + 1;
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform risk.note_failed_item('adopt', format('intent %s', v_id), sqlstate, sqlerrm);
        end;
    end loop;

    return v_count;
end;
$$;

comment on function trade.expire_waiting is
    'Ends all waiting intents of a database that is adopted; returns how many. One that fails is an incident.';
