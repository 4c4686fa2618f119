-- 380_sweeps: what time and mode ask of intents that already exist.

create or replace function trade.end_or_ask(
    p_intent_id bigint,
    p_status    text,
    p_reason    text
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent trade.order_intents;
begin
    v_intent := trade.lock_intent(p_intent_id);

    if v_intent.closed_at is not null then
        return false;
    end if;

    if v_intent.status in ('NEW', 'PENDING_APPROVAL') then
        perform trade.close_intent(p_intent_id, p_status, p_reason);
        return true;
    end if;

    perform trade.request_cancel(p_intent_id);
    return true;
end;
$$;

comment on function trade.end_or_ask(bigint, text, text) is
    'Ends an intent that is not at the broker; asks to cancel the order of one that is. Returns whether there was anything to do. Raises TRI02.';

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
    -- Once more with the locks held: an approval may have given one its time.
    v_ids := array(
        select i.intent_id
        from trade.order_intents as i
        where i.intent_id = any(v_ids) and i.expires_at <= bus.clock()
        order by i.account_id, i.instrument_id, i.owner, i.intent_id
    );

    foreach v_id in array v_ids loop
        begin
            v_count := v_count + trade.end_or_ask(v_id, 'EXPIRED', 'its time was over')::integer;
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

comment on function api.expire_due() is
    'Ends what is past its time: waiting intents and picks at once, live orders by asking to cancel them. Returns how many.';

create or replace function api.enforce_modes()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids   bigint[];
    v_row   record;
    v_count integer := 0;
begin
    v_ids := array(
        select i.intent_id
        from trade.order_intents as i
        join trade.intent_types as t on t.intent_type = i.intent_type and t.side = i.side
        left join risk.verdicts as v on v.account_id = i.account_id and v.action = t.action
        where i.closed_at is null
          and (
              (coalesce(v.verdict, 'DENY') = 'DENY' and (
                  i.status in ('NEW', 'PENDING_APPROVAL')
                  or exists (
                      select
                      from trade.orders as o
                      where o.intent_id = i.intent_id and o.closed_at is null and o.cancel_requested_at is null
                  )
              ))
              or (v.verdict = 'APPROVE' and i.status = 'NEW' and i.approved_by is null)
              or (v.verdict = 'ALLOW' and i.status = 'PENDING_APPROVAL')
          )
        order by i.account_id, i.instrument_id, i.owner, i.intent_id
        limit 100
    );
    v_ids := case v_ids when '{}' then v_ids else trade.lock_free_intents(v_ids) end;

    for v_row in
        select
            i.intent_id,
            i.status,
            i.approved_by,
            i.intent_type = 'EXIT' and i.pick_id is null as fires_anew,
            coalesce(v.verdict, 'DENY') as verdict,
            coalesce(v.mode, 'UNKNOWN') as mode
        from trade.order_intents as i
        join trade.intent_types as t on t.intent_type = i.intent_type and t.side = i.side
        left join risk.verdicts as v on v.account_id = i.account_id and v.action = t.action
        where i.intent_id = any(v_ids)
        order by i.intent_id
    loop
        begin
            if v_row.verdict = 'DENY' then
                v_count := v_count
                    + trade.end_or_ask(v_row.intent_id, 'CANCELLED', format('mode %s', v_row.mode))::integer;
            elsif v_row.verdict = 'ALLOW' and v_row.status = 'PENDING_APPROVAL' and v_row.fires_anew then
                -- Its price dates from the approval request: a stop that still holds fires again at the current price.
                perform trade.close_intent(v_row.intent_id, 'CANCELLED', 'it needs no approval any more');
                v_count := v_count + 1;
            elsif v_row.verdict = 'ALLOW' and v_row.status = 'PENDING_APPROVAL' then
                v_count := v_count + trade.let_go_if_priced(v_row.intent_id)::integer;
            elsif v_row.verdict = 'APPROVE' and v_row.status = 'NEW' and v_row.approved_by is null then
                -- A person needs longer than an exit lives.
                update trade.order_intents as i
                set status = 'PENDING_APPROVAL',
                    expires_at = greatest(i.expires_at, bus.clock() + interval '1 day')
                where i.intent_id = v_row.intent_id;
                v_count := v_count + 1;
            end if;
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform risk.note_failed_item('enforce_modes', format('intent %s', v_row.intent_id), sqlstate, sqlerrm);
        end;
    end loop;

    return v_count;
end;
$$;

comment on function api.enforce_modes() is
    'After a mode change: waiting intents it denies are cancelled, their live orders asked to cancel, waiting sells put up for approval, and let go when none is needed any more. Returns how many.';

create or replace function api.cancel_intent(
    p_intent_id bigint,
    p_reason    text
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.require_text('the reason', p_reason, 2000);

    if not trade.end_or_ask(p_intent_id, 'CANCELLED', format('%s: %s', session_user, p_reason)) then
        return 'it had already ended';
    end if;

    return (
        select case when i.closed_at is null then 'its order was asked to cancel' else 'cancelled' end
        from trade.order_intents as i
        where i.intent_id = p_intent_id
    );
end;
$$;

comment on function api.cancel_intent(bigint, text) is
    'Ends a waiting intent, or asks to cancel its live order; says which. Raises TRI01, TRI02.';
