-- 38_approvals: what a person lets through or refuses.  An intent waits for approval as long as a person needs;
-- let go, it is priced at that moment and lives as long as it was asked to.

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
    'Ends the wait of a locked intent: a sell without a limit is priced now, and it lives as long as it was asked '
    'to. Without a name nobody had to approve it. Raises TRP01, TRP02, TRI01, TRM01, TRM02, TRM03.';

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
    return false;  -- it goes on waiting: the next sweep asks again, and others do not wait for its price
end;
$$;

comment on function trade.release_if_priced is
    'Ends the wait of a locked intent when there is a price for it and the mode still allows it; returns whether. '
    'Raises TRM02.';

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
        raise exception 'intent % does not wait for approval', p_intent_id
            using errcode = 'TRL01', hint = 'select * from approvals;';
    end if;

    perform trade.release_intent(v_intent, session_user::text);
    perform bus.record_event('intent', p_intent_id, 'approved', p_intent_id, jsonb_build_object('note', left(p_note, 2000)));
    return 'NEW';
end;
$$;

comment on function api.approve is
    'Lets an intent through that needs a person: a sell without a limit at the price of now, for as long as it was '
    'asked to live. Raises TRI02, TRL01, TRM01, TRM02, TRP01, TRP02, TRI01.';

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
        raise exception 'intent % does not wait for approval', p_intent_id
            using errcode = 'TRL01', hint = 'select * from approvals;';
    end if;

    perform trade.close_intent(p_intent_id, 'REJECTED', format('%s: %s', session_user, left(p_note, 2000)));

    -- Else the next quote would ask the same question again.
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
    'Refuses an intent that needs a person; a rejected exit disarms its position. Raises TRI02, TRL01.';
