-- 36_mode_enforcement: after a mode change, cancel what the mode denies and hold what now needs approval.

create or replace function trade.apply_verdict(
    p_intent  trade.order_intents,
    p_verdict text,
    p_mode    text
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_verdict = 'DENY' then
        return trade.close_or_request_cancel(p_intent.intent_id, 'CANCELLED', format('mode %s', p_mode));
    elsif p_verdict = 'ALLOW' and p_intent.status = 'PENDING_APPROVAL' then
        if p_intent.intent_type <> 'EXIT' or p_intent.pick_id is not null then
            return trade.release_if_priced(p_intent.intent_id);
        end if;

        -- Its price dates from the approval request; cancel it, and a stop that still triggers fires at the current
        -- price.
        perform trade.close_intent(p_intent.intent_id, 'CANCELLED', 'it no longer needs approval');
        return true;
    elsif p_verdict = 'APPROVE' and p_intent.status = 'NEW' and p_intent.approved_by is null then
        -- An exit expires before a person can react; keep it for at least a day.
        update trade.order_intents as i
        set status = 'PENDING_APPROVAL',
            expires_at = greatest(i.expires_at, bus.clock() + interval '1 day')
        where i.intent_id = p_intent.intent_id;
        return true;
    end if;

    return false;
end;
$$;

comment on function trade.apply_verdict is
    'Applies the verdict of the mode to a locked intent: cancels it, releases it, or holds it for approval. '
    'Returns whether there was anything to do.';

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
            i as intent,
            coalesce(v.verdict, 'DENY') as verdict,
            coalesce(v.mode, 'UNKNOWN') as mode
        from trade.order_intents as i
        join trade.intent_types as t on t.intent_type = i.intent_type and t.side = i.side
        left join risk.verdicts as v on v.account_id = i.account_id and v.action = t.action
        where i.intent_id = any(v_ids)
        order by i.intent_id
    loop
        begin
            v_count := v_count + trade.apply_verdict(v_row.intent, v_row.verdict, v_row.mode)::integer;
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform risk.note_failed_item(
                'enforce_modes', format('intent %s', (v_row.intent).intent_id), sqlstate, sqlerrm
            );
        end;
    end loop;

    return v_count;
end;
$$;

comment on function api.enforce_modes is
    'After a mode change: cancels waiting intents that the mode denies, requests cancels of their live orders, '
    'holds intents that now need approval, and releases those that no longer do (cancels them if they are exits '
    'by stop or target). Returns how many.';
