-- 38_approvals: approve or reject intents that need a person.  They wait for at least a day.  When one is released,
-- a sell without a limit is priced at that moment and the time to live that was asked for starts.

create or replace function trade.release_intent(
    p_intent      trade.order_intents,
    p_approved_by text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_instrument market.instruments;
    v_action     text;
    v_real       boolean;
    v_worst      numeric := p_intent.worst_price;
    v_now        timestamptz := bus.clock();
begin
    if p_intent.side = 'SELL' and p_intent.limit_price is null then
        select n.* into strict v_instrument from market.instruments as n where n.instrument_id = p_intent.instrument_id;
        select
            case when p_intent.escalated_at is not null then 'PROTECTIVE_SELL' else t.action end,
            b.is_real
        into strict v_action, v_real
        from trade.intent_types as t
        cross join trade.accounts as a
        join trade.brokers as b on b.broker = a.broker
        where t.intent_type = p_intent.intent_type and t.side = p_intent.side and a.account_id = p_intent.account_id;
        v_worst := trade.worst_price(v_instrument, 'SELL', v_action, null, v_real);
    end if;

    update trade.order_intents as i
    set status = 'NEW',
        worst_price = v_worst,
        approved_by = p_approved_by,
        approved_at = case when p_approved_by is not null then v_now end,
        expires_at = v_now + coalesce(
            i.ttl, case when i.intent_type = 'EXIT' and i.pick_id is null then interval '10 s' else interval '1 min' end
        )
    where i.intent_id = p_intent.intent_id;
end;
$$;

comment on function trade.release_intent is
    'Moves a locked intent from PENDING_APPROVAL to NEW: reprices a sell without a limit and restarts its time to '
    'live. p_approved_by is null if nobody had to approve it. Raises TRP01, TRP02, TRI01, TRM01, TRM02, TRM03.';

create or replace function trade.release_if_priced(p_intent_id bigint)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform trade.release_intent(i, null) from trade.order_intents as i where i.intent_id = p_intent_id;
    return true;
exception when sqlstate 'TRP01' or sqlstate 'TRP02' or sqlstate 'TRI01' or sqlstate 'TRM01' or sqlstate 'TRM03' then
    return false;  -- it keeps waiting and the next sweep retries; this sweep goes on with the others
end;
$$;

comment on function trade.release_if_priced is
    'Releases a locked intent that waits for approval, if it can be priced and the mode still allows it; returns '
    'whether it did. Raises TRM02.';

create or replace function api.approve(
    p_intent_id bigint,
    p_note      text
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent trade.order_intents;
begin
    perform risk.lock_gate_shared();
    v_intent := trade.lock_intent(p_intent_id);

    if v_intent.status is distinct from 'PENDING_APPROVAL' then
        raise exception 'intent % is not waiting for approval', p_intent_id
            using errcode = 'TRL01', hint = 'select * from approvals;';
    end if;

    perform trade.release_intent(v_intent, session_user::text);
    perform bus.record_event(
        'intent', p_intent_id, 'approved', p_intent_id, jsonb_build_object('note', left(p_note, 2000))
    );
    return 'NEW';
end;
$$;

comment on function api.approve is
    'Approves a waiting intent: reprices a sell without a limit at the current price and restarts its time to '
    'live. Raises TRI02, TRL01, TRM01, TRM02, TRP01, TRP02, TRI01.';

create or replace function api.reject(
    p_intent_id bigint,
    p_note      text
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent trade.order_intents;
begin
    v_intent := trade.lock_intent(p_intent_id);

    if v_intent.status is distinct from 'PENDING_APPROVAL' then
        raise exception 'intent % is not waiting for approval', p_intent_id
            using errcode = 'TRL01', hint = 'select * from approvals;';
    end if;

    perform trade.close_intent(p_intent_id, 'REJECTED', format('%s: %s', session_user, left(p_note, 2000)));

    -- Otherwise the next quote would fire the exit again and ask for another approval.
    update trade.position_exits as e
    set is_armed = false,
        note = format('exit %s rejected by %s; the next fill arms it again', p_intent_id, session_user),
        changed_at = bus.clock()
    where v_intent.intent_type = 'EXIT'
      and (e.account_id, e.instrument_id, e.owner) = (v_intent.account_id, v_intent.instrument_id, v_intent.owner);

    return 'REJECTED';
end;
$$;

comment on function api.reject is
    'Rejects an intent that waits for approval; rejecting an exit disarms the exits of its position. Raises '
    'TRI02, TRL01.';
