-- 31_open_intents: store intents, each once per idempotency key, a whole set at a time: each request is admitted or
-- refused for its own reason, and one that is refused leaves what is free to the next.

create or replace function trade.lock_for_requests(p_requests trade.intent_request[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform
    from trade.balances as b
    where b.account_id in (select r.account_id from unnest(p_requests) as r where r.side = 'BUY')
    order by b.account_id
    for no key update;

    perform
    from trade.positions as p
    where (p.account_id, p.instrument_id, p.owner) in (
        select r.account_id, r.instrument_id, r.owner from unnest(p_requests) as r where r.side = 'SELL'
    )
    order by p.account_id, p.instrument_id, p.owner
    for no key update;
end;
$$;

comment on function trade.lock_for_requests is
    'Locks what requests take from: the accounts of buys, then the positions of sells, in order.';

create or replace function trade.open_intents(p_requests trade.intent_request[])
returns setof trade.intent_answer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan  -- planning a set takes longer than running it
as $$
declare
    v_judged trade.judged_request[];
begin
    -- Lock order: gate, accounts, positions.
    perform risk.lock_gate_shared();
    perform trade.lock_for_requests(p_requests);
    v_judged := array(select j from trade.judge_requests(p_requests) as j);
    v_judged := array(select j from trade.allot_requests(v_judged) as j);

    insert into trade.order_intents (
        account_id, instrument_id, owner, intent_type, side, reason, quantity, limit_price, worst_price, reserve_rate,
        status, reserved_qty, reserved_cash, idempotency_key, request, pick_id, quote_at, ttl, expires_at
    )
    select
        (j.request).account_id, (j.request).instrument_id, (j.request).owner, (j.request).intent_type,
        (j.request).side, (j.request).reason, j.quantity,
        case when (j.request).limit_price is not null then j.price end, j.price, j.rate,
        case j.verdict when 'APPROVE' then 'PENDING_APPROVAL' else 'NEW' end,
        case (j.request).side when 'SELL' then j.quantity else 0 end,
        case (j.request).side when 'BUY' then j.quantity * j.price * (1 + j.rate) else 0 end,
        (j.request).idempotency_key, j.asked, (j.request).pick_id, (j.request).quote_at, (j.request).ttl,
        bus.clock() + case j.verdict
            when 'APPROVE' then greatest((j.request).ttl, interval '1 day')
            else (j.request).ttl
        end
    from unnest(v_judged) as j
    where j.refusal is null and j.known_id is null
    order by j.nr;

    return query
    select j.nr, i.intent_id, null::text, null::text, null::text
    from unnest(v_judged) as j
    join trade.order_intents as i
        on i.account_id = (j.request).account_id and i.idempotency_key = (j.request).idempotency_key
    where j.refusal is null
    union all
    select r.*
    from unnest(v_judged) as j
    cross join lateral trade.refusal(j) as r
    where j.refusal is not null;
end;
$$;

comment on function trade.open_intents is
    'Stores intents: checks the mode, rounds to lots and ticks, and reserves quantity or cash at the worst price. Answers '
    'each request, in the order asked, with its intent (the earlier one if its key was used before) or with why it is '
    'refused: TRM01, TRQ01, TRQ02, TRC01, TRC02, TRP01, TRP02, TRS01, TRI01, TRI03. Raises TRM02.';

create or replace function trade.open_intents_apart(p_requests trade.intent_request[])
returns setof trade.intent_answer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_answers trade.intent_answer[];
begin
    begin
        return query select a.* from trade.open_intents(p_requests) as a;
        return;
    exception when others then
        if bus.concerns_all(sqlstate) then
            raise;
        end if;
    end;

    for v_nr in 1..cardinality(p_requests) loop
        begin
            select array_agg(a) into v_answers from trade.open_intents(array[p_requests[v_nr]]) as a;
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            v_answers := array[row(1, null, sqlstate, left(sqlerrm, 1000), '')::trade.intent_answer];
        end;

        return query select v_nr, a.intent_id, a.code, a.message, a.hint from unnest(v_answers) as a;
    end loop;
end;
$$;

comment on function trade.open_intents_apart is
    'Like open_intents, but an unexpected error of one request refuses that one and leaves the others alone.';

create or replace function trade.open_intent(p_request trade.intent_request)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_answer trade.intent_answer;
begin
    select a.* into strict v_answer from trade.open_intents(array[p_request]) as a;

    if v_answer.code is not null then
        raise exception using errcode = v_answer.code, message = v_answer.message, hint = v_answer.hint;
    end if;

    return v_answer.intent_id;
end;
$$;

comment on function trade.open_intent is
    'Stores one intent and returns its id; raises its refusal. Raises TRM01, TRM02, TRQ01, TRQ02, TRC01, TRC02, TRP01, '
    'TRP02, TRS01, TRI01, TRI03.';
