-- 82_stop_escalation: a stop does not wait for a resting limit sell of the same position; it lowers the price of
-- that sell, once.

create or replace view trade.stops_to_escalate as
select
    s.intent_id,
    s.account_id,
    s.instrument_id,
    s.owner,
    n.symbol,
    x.reason,
    x.priority,
    b.broker
from trade.exit_prices as x
join market.instruments as n on n.instrument_id = x.instrument_id
join market.quotes_now as q on q.instrument_id = x.instrument_id
join trade.accounts as a on a.account_id = x.account_id
join trade.brokers as b on b.broker = a.broker
join trade.order_intents as s
    on s.account_id = x.account_id and s.instrument_id = x.instrument_id and s.owner = x.owner
where x.is_stop
  and (q.bid <= x.sell_below or q.bid >= x.sell_above)
  and q.can_sell
  and (q.source = 'live' or not b.is_real)
  and s.closed_at is null
  and s.side = 'SELL'
  and s.limit_price is not null
  and s.escalated_at is null
  and (market.phase_at(n.venue, bus.clock())).exits_fire;

comment on view trade.stops_to_escalate is 'Live sells with a limit, of positions whose bid has reached the price of a stop.';

create or replace function trade.escalate_stops(
    p_symbols text[],
    p_broker  text
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_stops      jsonb;
    v_ids        bigint[];
    v_id         bigint;
    v_intent     trade.order_intents;
    v_instrument market.instruments;
    v_worst      numeric;
    v_count      integer := 0;
begin
    -- Of several stops reached at once the one with the lowest priority comes last and gives the reason.
    select
        coalesce(array_agg(s.intent_id order by s.account_id, s.instrument_id, s.owner, s.intent_id), '{}'),
        jsonb_object_agg(s.intent_id, s.reason order by s.priority desc)
    into v_ids, v_stops
    from trade.stops_to_escalate as s
    where (p_symbols is null or s.symbol = any(p_symbols)) and (p_broker is null or s.broker = p_broker);

    v_ids := case v_ids when '{}' then v_ids else trade.lock_free_intents(v_ids) end;

    foreach v_id in array v_ids loop
        begin
            select i.* into strict v_intent from trade.order_intents as i where i.intent_id = v_id;
            select n.* into strict v_instrument
            from market.instruments as n
            where n.instrument_id = v_intent.instrument_id;
            v_worst := trade.worst_price(v_instrument, 'SELL', 'PROTECTIVE_SELL', null, false);

            continue when v_intent.closed_at is not null
                or v_intent.limit_price is null
                or v_worst >= v_intent.worst_price;

            update trade.order_intents as i
            set worst_price = v_worst,
                limit_price = null,
                escalated_at = bus.clock(),
                reason = v_stops ->> v_id::text
            where i.intent_id = v_intent.intent_id;

            update trade.orders as o
            set amend_at = bus.clock(),
                amend_price = v_worst
            where o.intent_id = v_intent.intent_id
              and o.closed_at is null
              and o.limit_price > v_worst;

            v_count := v_count + 1;
        exception
            when sqlstate 'TRP01' or sqlstate 'TRP02' then
                continue;  -- no usable price at the moment: the next quote retries, the other stops go on
            when others then
                if bus.concerns_all(sqlstate) then
                    raise;
                end if;

                perform risk.note_failed_item('escalate_stops', format('intent %s', v_id), sqlstate, sqlerrm);
        end;
    end loop;

    return v_count;
end;
$$;

comment on function trade.escalate_stops is
    'When a stop triggers, lowers each live limit sell of the position to the protective worst price and has its '
    'order amended, so that the stop does not wait for it. Returns how many.';
