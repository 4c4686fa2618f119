-- 70_stories: the whole history of one decision, in the order it happened.  An event holds the state after a change;
-- the story says what changed, so it compares each event with the previous one of the same row.

create or replace function trade.describe_number(
    p_data jsonb,
    p_name text
)
returns text
language sql
immutable
begin atomic
    select trim_scale(round((p_data ->> p_name)::numeric, 8))::text;
end;

comment on function trade.describe_number is 'A number of an event, without trailing zeros.';

create or replace function trade.describe_order(
    p_status text,
    p_now    jsonb,
    p_before jsonb
)
returns text
language sql
immutable
begin atomic
    select case
        when p_before is null then concat_ws(', ',
            format('SENDING %s %s at %s', p_now ->> 'side', trade.describe_number(p_now, 'quantity'),
                trade.describe_number(p_now, 'limit_price')),
            p_now ->> 'client_order_id',
            'in the place of order ' || (p_now ->> 'parent_order_id'),
            'by worker ' || (p_now ->> 'claimed_by'))
        else nullif(concat_ws(', ',
            case when p_status <> p_before ->> 'status' then concat_ws(': ', p_status, p_now ->> 'closed_reason') end,
            case when p_now ->> 'broker_order_id' is distinct from p_before ->> 'broker_order_id'
                then 'the broker''s number is ' || (p_now ->> 'broker_order_id') end,
            case when p_now ->> 'filled_qty' <> p_before ->> 'filled_qty'
                then format('filled %s of %s', trade.describe_number(p_now, 'filled_qty'),
                    trade.describe_number(p_now, 'quantity')) end,
            case when p_now ->> 'overfill_qty' <> p_before ->> 'overfill_qty'
                then format('%s more than asked', trade.describe_number(p_now, 'overfill_qty')) end,
            case when p_now ->> 'quantity' <> p_before ->> 'quantity'
                then 'for ' || trade.describe_number(p_now, 'quantity') end,
            case when p_now ->> 'cancel_requested_at' is not null and p_before ->> 'cancel_requested_at' is null
                then 'asked to cancel' end,
            case when p_now ->> 'amend_price' is distinct from p_before ->> 'amend_price'
                then coalesce('its rest shall go at ' || trade.describe_number(p_now, 'amend_price'),
                    'no other price any more') end,
            case when p_now ->> 'not_found_count' <> p_before ->> 'not_found_count'
                then format('the broker does not find it, time %s', p_now ->> 'not_found_count') end,
            case when p_now ->> 'fence' <> p_before ->> 'fence'
                then format('worker %s answers for it now, fence %s', p_now ->> 'claimed_by', p_now ->> 'fence') end
        ), '')
    end;
end;

comment on function trade.describe_order is
    'What changed in an order between two of its events; null when nothing changed that a person would ask about.';

create or replace function trade.describe_intent(
    p_status text,
    p_now    jsonb,
    p_before jsonb
)
returns text
language sql
stable
begin atomic
    select nullif(concat_ws(', ',
        case when p_status <> p_before ->> 'status' then concat_ws(': ', p_status, p_now ->> 'closed_reason') end,
        case when p_now ->> 'approved_by' is distinct from p_before ->> 'approved_by'
            then 'approved by ' || (p_now ->> 'approved_by') end,
        case when p_now ->> 'filled_qty' <> p_before ->> 'filled_qty'
            then format('filled %s of %s', trade.describe_number(p_now, 'filled_qty'),
                trade.describe_number(p_now, 'quantity')) end,
        case when p_now ->> 'overfill_qty' <> p_before ->> 'overfill_qty'
            then format('%s more than asked', trade.describe_number(p_now, 'overfill_qty')) end,
        case when p_now ->> 'escalated_at' is not null and p_before ->> 'escalated_at' is null
            then format('escalated by a stop (%s): it must get out, down to %s', p_now ->> 'reason',
                trade.describe_number(p_now, 'worst_price')) end,
        case when p_status = 'NEW' and p_now ->> 'not_before' is distinct from p_before ->> 'not_before'
            then 'not again before ' || to_char((p_now ->> 'not_before')::timestamptz, 'HH24:MI:SS.MS') end
    ), '');
end;

comment on function trade.describe_intent is
    'What changed in an intent between two of its events; null when nothing changed that a person would ask about.';

create or replace function trade.describe_correction(p_added jsonb)
returns text
language sql
stable
begin atomic
    select string_agg(
        format('%s more %s', trim_scale(a.value::numeric), replace(replace(a.key, '_added', ''), '_', ' ')), ', '
    )
    from jsonb_each_text(p_added) as a
    where a.value::numeric <> 0;
end;

comment on function trade.describe_correction is 'What was reported about a fill after it was recorded.';

create or replace function trade.describe_event(
    p_event  bus.events,
    p_before jsonb
)
returns text
language sql
stable
begin atomic
    select case
        -- A change in lower case, such as busted, is not a new status of the row.
        when p_event.change <> upper(p_event.change) then concat_ws(': ',
            case p_event.entity when 'order' then 'order ' || p_event.entity_id end,
            format('%s by %s', p_event.change, p_event.actor),
            case p_event.change when 'restated' then trade.describe_correction(p_event.data) end,
            nullif(coalesce(p_event.data ->> 'detail', p_event.data ->> 'note', p_event.data ->> 'reason'), ''))
        when p_event.entity = 'order' then
            format('%s: ', p_event.entity_id) || trade.describe_order(p_event.change, p_event.data, p_before)
        when p_event.entity = 'intent' then trade.describe_intent(p_event.change, p_event.data, p_before)
        when p_event.entity = 'fill' then concat_ws(', ',
            format('%s %s at %s', p_event.change, trade.describe_number(p_event.data, 'quantity'),
                trade.describe_number(p_event.data, 'price')),
            'fee ' || trade.describe_number(p_event.data, 'fee'),
            'tax ' || trade.describe_number(p_event.data, 'tax'),
            case p_event.change when 'SELL' then 'realized ' || trade.describe_number(p_event.data, 'realized_pnl') end)
        else p_event.change
    end;
end;

comment on function trade.describe_event is
    'An event in words, given the data of the previous event of the same row; null when there is nothing to report.';

create or replace function trade.story(
    p_pick_id   bigint,
    p_intent_id bigint
)
returns table (at timestamptz, station text, what text)
language sql
stable
begin atomic
    select s.at, s.station, s.what
    from (
        select p.created_at as at, 1 as nr, 0 as event_id, 'pick' as station,
            format('%s proposes %s %s%s of %s: %s', p.strategy, p.intent_type, p.side,
                ' ' || trim_scale(p.quantity), n.symbol, p.reason) as what
        from strategy.picks as p
        join market.instruments as n on n.instrument_id = p.instrument_id
        where p.pick_id = p_pick_id
        union all
        select r.decided_at, 1 + r.gate, 0, format('gate %s', r.gate),
            format('%s: %s', case when r.passed then 'passed' else 'refused, ' || r.code end, r.message)
        from strategy.gate_results as r
        where r.pick_id = p_pick_id
        union all
        select p.routed_at, 5, 0, 'pick',
            case p.status
                when 'REFUSED' then 'REFUSED: no intent was made'
                when 'EXPIRED' then 'EXPIRED: the router did not come to it in time'
                else p.status
            end
        from strategy.picks as p
        where p.pick_id = p_pick_id and p.status not in ('NEW', 'ROUTED')
        union all
        select i.created_at, 5, 0, 'intent',
            format('%s %s %s of %s by %s (%s), worst price %s, reserved %s', i.intent_type, i.side,
                trim_scale(i.quantity), n.symbol, i.owner, i.reason, trim_scale(i.worst_price),
                case i.side
                    when 'BUY' then format('%s %s',
                        trim_scale(round(i.quantity * i.worst_price * (1 + i.reserve_rate), 8)), n.currency)
                    else format('%s %s', trim_scale(i.quantity), n.symbol)
                end)
        from trade.order_intents as i
        join market.instruments as n on n.instrument_id = i.instrument_id
        where i.intent_id = p_intent_id
        union all
        select t.at, 6, t.event_id, t.entity, trade.describe_event(t.event, t.before)
        from (
            select
                e.at,
                e.event_id,
                e.entity,
                e as event,
                row_number() over (order by e.event_id) as nr,
                lag(e.data || jsonb_build_object('status', e.change)) over (
                    partition by e.entity, e.entity_id, e.change = upper(e.change)
                    order by e.event_id
                ) as before
            from bus.events as e
            where e.intent_id = p_intent_id
        ) as t
        where t.nr > 1  -- the first event is the intent itself
    ) as s
    where s.what is not null
    order by s.at, s.nr, s.event_id;
end;

comment on function trade.story is 'What happened to a pick and an intent; either may be null.';

create or replace function api.explain(p_intent_id bigint)
returns table (at timestamptz, station text, what text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_pick_id bigint;
begin
    select i.pick_id into v_pick_id from trade.order_intents as i where i.intent_id = p_intent_id;

    if not found then
        raise exception 'intent % does not exist', p_intent_id
            using errcode = 'TRI02', hint = 'select intent_id, symbol, status from intents;';
    end if;

    return query select s.at, s.station, s.what from trade.story(v_pick_id, p_intent_id) as s;
end;
$$;

comment on function api.explain is
    'Everything that happened to an intent, with times: its pick, the gates'' answers, orders, broker answers, fills. '
    'Raises TRI02.';

create or replace function api.explain_order(p_order_id bigint)
returns table (at timestamptz, station text, what text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent_id bigint;
begin
    select o.intent_id into v_intent_id from trade.orders as o where o.order_id = p_order_id;

    if not found then
        raise exception 'order % does not exist', p_order_id
            using errcode = 'TRI02', hint = 'select order_id, symbol, status from orders;';
    end if;

    return query select s.at, s.station, s.what from api.explain(v_intent_id) as s;
end;
$$;

comment on function api.explain_order is 'The story of the intent that an order belongs to. Raises TRI02.';

create or replace function api.explain_pick(p_pick_id bigint)
returns table (at timestamptz, station text, what text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from strategy.picks as p where p.pick_id = p_pick_id) then
        raise exception 'pick % does not exist', p_pick_id
            using errcode = 'TRI02', hint = 'select pick_id, symbol, status from picks;';
    end if;

    return query
    select s.at, s.station, s.what
    from trade.story(
        p_pick_id,
        (select max(i.intent_id) from trade.order_intents as i where i.pick_id = p_pick_id)
    ) as s;
end;
$$;

comment on function api.explain_pick is
    'Why a pick became a trade or did not: the gates'' answers, and the story of its intent if there is one. Raises '
    'TRI02.';
