-- 80_exits: what protects a position.  Its prices are set again by each fill; firing is one comparison with fresh
-- prices.

-- A remainder too small to sell counts as closed: its exits do not fire, and api.dust lists it.
create or replace view trade.dust as
select
    p.account_id,
    p.instrument_id,
    p.owner,
    p.qty
from trade.positions as p
join market.instruments as i on i.instrument_id = p.instrument_id
left join market.prices_best as b on b.instrument_id = p.instrument_id
where p.qty > 0
  and p.locked_qty = 0
  and not market.is_enough(i, p.qty, coalesce(case when b.bid_is_sound then b.bid end, b.mark, p.avg_price));

comment on view trade.dust is 'Positions below the smallest order their venue accepts, at the current price.';

create or replace function trade.arm_exits(
    p_account_id    bigint,
    p_instrument_id bigint,
    p_owner         text
)
returns void
language sql
volatile
begin atomic
    insert into trade.position_exits as e (
        account_id, instrument_id, owner, profile, stop_price, take_price, is_armed
    )
    select
        p.account_id,
        p.instrument_id,
        p.owner,
        s.exit_profile,
        -- Round away from the average price on both sides: a stop rounded up to the price would fire at once.
        nullif(market.round_to_tick(
            i.tick_table, p.avg_price * (1 - trade.rate_of(s.exit_profile, 'STOP_LOSS')), 'BUY'
        ), 0),
        market.round_to_tick(i.tick_table, p.avg_price * (1 + trade.rate_of(s.exit_profile, 'TAKE_PROFIT')), 'SELL'),
        p.qty > 0
    from trade.positions as p
    join strategy.strategies as s on s.strategy = p.owner
    join market.instruments as i on i.instrument_id = p.instrument_id
    where p.account_id = p_account_id and p.instrument_id = p_instrument_id and p.owner = p_owner
    on conflict (account_id, instrument_id, owner) do update
    set profile = excluded.profile,
        stop_price = excluded.stop_price,
        take_price = excluded.take_price,
        is_armed = excluded.is_armed,
        rejections = 0,
        not_before = null,
        note = '',
        changed_at = bus.clock();
end;

comment on function trade.arm_exits is
    'Sets stop and target of a position from its average price and its strategy''s exit profile; disarms a flat '
    'position. Positions of the owner manual have no exits.';

create or replace view trade.exits_due as
select
    e.account_id,
    e.instrument_id,
    e.owner,
    i.symbol,
    p.qty - p.locked_qty as quantity,
    p.version,
    e.fired,
    q.bid,
    q.received_at as quote_at,
    x.reason,
    x.priority,
    b.broker
from trade.exit_prices as x
join trade.position_exits as e
    on e.account_id = x.account_id and e.instrument_id = x.instrument_id and e.owner = x.owner
join trade.positions as p
    on p.account_id = x.account_id and p.instrument_id = x.instrument_id and p.owner = x.owner
join market.instruments as i on i.instrument_id = x.instrument_id
join market.quotes_now as q on q.instrument_id = x.instrument_id
join trade.accounts as a on a.account_id = x.account_id
join trade.brokers as b on b.broker = a.broker
where (q.bid <= x.sell_below or q.bid >= x.sell_above)
  and (e.not_before is null or bus.is_over(e.not_before, '11 min'))
  and q.can_sell
  and (q.source = 'live' or not b.is_real)
  and p.qty > p.locked_qty
  -- Evaluate is_enough only where the bid has reached the price of a rule, which is rare.
  and case when q.bid <= x.sell_below or q.bid >= x.sell_above
      then market.is_enough(i, p.qty - p.locked_qty, q.bid)
  end
  and p.breach_qty = 0
  and (market.phase_at(i.venue, bus.clock())).exits_fire;

comment on view trade.exits_due is
    'Armed positions whose bid has reached the price of a rule and that can be sold now, a row for each such rule; a '
    'remainder too small to sell waits until its price makes it large enough.';

-- Exits that cannot fire although their quote is fresh: at the lower price limit of a day there is no bid.
create or replace view trade.exits_blocked as
select
    e.account_id,
    e.instrument_id,
    e.owner,
    case
        when q.bid is null then 'nobody bids: stop and target cannot fire'
        when q.bid > q.ask then 'the quote is crossed: stop and target cannot fire'
        else 'the bid is outside the limits of the day: stop and target cannot fire'
    end as why
from trade.position_exits as e
join market.quotes_now as q on q.instrument_id = e.instrument_id
where e.is_armed
  and q.is_fresh
  and not q.bid_is_sound;

comment on view trade.exits_blocked is 'Armed positions that have no bid they could be sold to now, and why.';

create or replace function trade.lock_due_exits(
    p_symbols text[],
    p_broker  text
)
returns trade.exits_due[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Of several rules reached at once the one with the lowest priority fires: it sells all there is.
    v_due trade.exits_due[] := array(
        select distinct on (d.account_id, d.instrument_id, d.owner) d
        from trade.exits_due as d
        where (p_symbols is null or d.symbol = any(p_symbols))
          and (p_broker is null or d.broker = p_broker)
        order by d.account_id, d.instrument_id, d.owner, d.priority
    );
begin
    if v_due = '{}' then
        return v_due;
    end if;

    -- Skip rows that others have locked or changed: the next call finds them due again.
    return array(
        select row(d.*)::trade.exits_due
        from unnest(v_due) as d
        join trade.positions as p
            on p.account_id = d.account_id and p.instrument_id = d.instrument_id and p.owner = d.owner
        where p.version = d.version and p.qty - p.locked_qty = d.quantity
        order by p.account_id, p.instrument_id, p.owner
        for no key update of p skip locked
    );
end;
$$;

comment on function trade.lock_due_exits is
    'Locks the positions whose exits are due, except those that others have locked, and returns one rule for each.';

create or replace function trade.fire_exits(
    p_symbols text[],
    p_broker  text
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_escalated integer;
    v_due       trade.exits_due[];
    v_answers   trade.intent_answer[];
begin
    -- Do the blocking part first (accounts lead the lock order); what follows skips locked positions.
    v_escalated := trade.escalate_stops(p_symbols, p_broker);
    v_due := trade.lock_due_exits(p_symbols, p_broker);

    if v_due = '{}' then
        return v_escalated;
    end if;

    v_answers := array(
        select a
        from trade.open_intents_apart(array(
            select row(
                d.account_id, d.instrument_id, d.owner, 'EXIT', 'SELL', d.quantity, null, d.reason,
                format('aegis:exit:%s:%s:%s:%s', d.instrument_id, d.owner, d.version, d.fired), '10 s', null, d.quote_at
            )::trade.intent_request
            from unnest(v_due) with ordinality as d
            order by d.ordinality
        )) as a
    );

    update trade.position_exits as e
    set fired = e.fired + 1
    from unnest(v_due) with ordinality as d
    join unnest(v_answers) as a on a.nr = d.ordinality
    where a.code is null
      and e.account_id = d.account_id and e.instrument_id = d.instrument_id and e.owner = d.owner;

    perform trade.note_refused_exit(v_due[a.nr], a.code, a.message)
    from unnest(v_answers) as a
    where a.code is not null;

    return v_escalated + (select count(*) from unnest(v_answers) as a where a.code is null);
end;
$$;

comment on function trade.fire_exits is
    'Does what api.fire_exits says, for the accounts of one broker or, if p_broker is null, of all. The caller holds the '
    'gate.';

create or replace function api.fire_exits(p_symbols text[] default null)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.require_home();
    perform risk.lock_gate_shared();
    return trade.fire_exits(p_symbols, null);
end;
$$;

comment on function api.fire_exits is
    'Escalates resting sells of stopped positions and creates sell intents for armed positions whose bid reached the '
    'price of an exit rule on a fresh quote; null for all symbols. Returns how many of both. Raises TRM02, TRH01.';

create or replace function trade.back_off_exit(
    p_intent trade.order_intents,
    p_reason text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    update trade.position_exits as e
    set rejections = e.rejections + 1,
        not_before = bus.clock() + least(interval '5 s' * 2 ^ least(e.rejections, 10), interval '10 min'),
        note = p_reason,
        changed_at = bus.clock()
    where (e.account_id, e.instrument_id, e.owner) = (p_intent.account_id, p_intent.instrument_id, p_intent.owner);

    perform api.raise_incident(
        'rejected_exit',
        format('position %s/%s/%s', p_intent.account_id, p_intent.instrument_id, p_intent.owner),
        jsonb_build_object('intent_id', p_intent.intent_id, 'reason', p_reason)
    );
end;
$$;

comment on function trade.back_off_exit is
    'After a definite reject of an exit by the broker: opens an incident and lets the exit fire again only after 5 '
    'seconds, doubled each time up to 10 minutes.';

create or replace function trade.note_refused_exit(
    p_due     trade.exits_due,
    p_code    text,
    p_message text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_note text := format('%s: %s', p_code, left(p_message, 500));
begin
    update trade.position_exits as e
    set note = v_note,
        changed_at = bus.clock()
    where e.account_id = p_due.account_id
      and e.instrument_id = p_due.instrument_id
      and e.owner = p_due.owner
      and e.note <> v_note;

    -- Record it once, not at every quote.
    if found then
        perform bus.record_event('refusal', null, p_code, null, jsonb_build_object(
            'message', left(p_message, 500), 'exit', p_due.reason, 'symbol', p_due.symbol, 'owner', p_due.owner
        ));

        -- Refusals by mode, breach, price or session resolve themselves; any other opens an incident.
        if p_code not in ('TRM01', 'TRQ02', 'TRP01', 'TRP02', 'TRS01') then
            perform risk.note_failed_item(
                'fire_exits', format('position %s/%s/%s', p_due.account_id, p_due.instrument_id, p_due.owner),
                p_code, p_message
            );
        end if;
    end if;
end;
$$;

comment on function trade.note_refused_exit is
    'Stores why an exit could not be created in its row, once; a refusal that does not resolve itself opens an '
    'incident.';
