-- 610_explain: the whole story of one intent, in the order it happened.

create or replace function api.explain(p_intent_id bigint)
returns table (at timestamptz, station text, what text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent trade.order_intents;
begin
    select i.* into v_intent from trade.order_intents as i where i.intent_id = p_intent_id;

    if not found then
        raise exception 'intent % does not exist', p_intent_id
            using errcode = 'TRI02', hint = 'select intent_id, symbol, status from intents;';
    end if;

    return query
    select s.at, s.station, s.what
    from (
        select p.created_at as at, 1 as nr, 'pick' as station,
            format('%s proposes %s %s: %s', p.strategy, p.intent_type, p.side, p.reason) as what
        from strategy.picks as p
        where p.pick_id = v_intent.pick_id
        union all
        select r.decided_at, 1 + r.gate, format('gate %s', r.gate),
            format('%s: %s', case when r.passed then 'passed' else r.code end, r.message)
        from strategy.gate_results as r
        where r.pick_id = v_intent.pick_id
        union all
        select v_intent.created_at, 5, 'intent',
            format('%s %s %s of %s by %s (%s), worst price %s, reserved %s', v_intent.intent_type, v_intent.side,
                trim_scale(v_intent.quantity), n.symbol, v_intent.owner, v_intent.reason, trim_scale(v_intent.worst_price),
                case v_intent.side
                    when 'BUY' then format('%s %s', trim_scale(round(v_intent.quantity * v_intent.worst_price * (1 + v_intent.reserve_rate), 8)), n.currency)
                    else format('%s %s', trim_scale(v_intent.quantity), n.symbol)
                end)
        from market.instruments as n
        where n.instrument_id = v_intent.instrument_id
        union all
        select e.at, 6, e.entity,
            case e.entity
                when 'fill' then format('%s %s at %s, fee %s, tax %s, realized %s', e.change,
                    trim_scale((e.data ->> 'quantity')::numeric), trim_scale((e.data ->> 'price')::numeric),
                    trim_scale((e.data ->> 'fee')::numeric), trim_scale((e.data ->> 'tax')::numeric),
                    trim_scale(round((e.data ->> 'realized_pnl')::numeric, 8)))
                when 'order' then format('%s %s at %s, filled %s, %s%s', e.change,
                    trim_scale((e.data ->> 'quantity')::numeric), trim_scale((e.data ->> 'limit_price')::numeric),
                    trim_scale((e.data ->> 'filled_qty')::numeric), e.data ->> 'client_order_id',
                    coalesce(': ' || (e.data ->> 'closed_reason'), ''))
                else format('%s, filled %s%s', e.change, trim_scale((e.data ->> 'filled_qty')::numeric),
                    coalesce(': ' || (e.data ->> 'closed_reason'), ''))
            end
        from (select x.* from bus.events as x where x.intent_id = p_intent_id order by x.event_id offset 1) as e
    ) as s
    order by s.at, s.nr;
end;
$$;

comment on function api.explain(bigint) is
    'Everything that happened to an intent, with times: its pick, the gates'' answers, orders, answers, fills. Raises TRI02.';
