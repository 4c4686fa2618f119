-- 310_intents: the laws of an intent (L1 mode, L2 no oversell, L3 no overspend, L4 lifecycle), kept by
-- triggers whoever writes, and trade.open_intent, the one function that makes intents.

create or replace function trade.tg_order_intents__guard()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_verdict text;
begin
    v_verdict := risk.admit(
        new.account_id,
        (select t.action from trade.intent_types as t where t.intent_type = new.intent_type and t.side = new.side)
    );

    -- Nobody brings an approval along: it is given to a row that waits for it.
    if v_verdict = 'APPROVE' and new.status = 'NEW' and (tg_op = 'INSERT' or new.approved_by is null) then
        raise exception 'this intent needs the approval of a person'
            using errcode = 'TRM03',
                  hint = 'It may be stored as PENDING_APPROVAL: select * from approvals;';
    end if;

    if tg_op = 'INSERT' and new.side = 'BUY' and exists (
        select from trade.balances as b where b.account_id = new.account_id and b.breach_cash > 0
    ) then
        raise exception 'cash of account % is in breach', new.account_id
            using errcode = 'TRC02',
                  hint = 'Facts have undercut its reservations: select * from incidents;';
    end if;

    if tg_op = 'INSERT' and exists (
        select
        from trade.positions as p
        where p.account_id = new.account_id and p.instrument_id = new.instrument_id and p.breach_qty > 0
    ) then
        raise exception 'the position in instrument % is in breach', new.instrument_id
            using errcode = 'TRQ02',
                  hint = 'Facts have undercut its reservations: select * from incidents;';
    end if;

    return new;
end;
$$;

comment on function trade.tg_order_intents__guard() is
    'L1: admits an intent only behind the gate and as the mode allows; refuses in breach. Raises TRM01, TRM02, TRM03, TRC02, TRQ02.';

create or replace trigger _100_guard
before insert on trade.order_intents
for each row execute function trade.tg_order_intents__guard();

create or replace trigger _110_guard_approval
before update on trade.order_intents
for each row
when (old.status = 'PENDING_APPROVAL' and new.status = 'NEW')
execute function trade.tg_order_intents__guard();

create or replace function trade.tg_order_intents__check_move()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_from text := 'BEGIN';
begin
    if tg_op = 'UPDATE' then
        v_from := old.status;
    end if;

    if not exists (
        select
        from trade.intent_transitions as t
        where t.from_status = v_from
          and t.to_status = new.status
    ) then
        raise exception 'intent % cannot move from % to %', new.intent_id, v_from, new.status
            using errcode = 'TRL01',
                  hint = 'See trade.intent_transitions for the legal moves.';
    end if;

    return new;
end;
$$;

comment on function trade.tg_order_intents__check_move() is 'L4: an intent begins and moves only along its lifecycle. Raises TRL01.';

create or replace trigger _200_check_beginning
before insert on trade.order_intents
for each row execute function trade.tg_order_intents__check_move();

create or replace trigger _210_check_move
before update on trade.order_intents
for each row
when (old.status is distinct from new.status)
execute function trade.tg_order_intents__check_move();

create or replace function trade.tg_order_intents__keep_decision()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'the decision of intent % is fixed', old.intent_id
        using errcode = 'TRL02',
              hint = 'Cancel it and make another.';
end;
$$;

comment on function trade.tg_order_intents__keep_decision() is
    'What was decided never changes; only how far it has come does. Raises TRL02.';

create or replace trigger _300_keep_decision
before update on trade.order_intents
for each row
when (
    (old.intent_id, old.account_id, old.instrument_id, old.owner, old.intent_type, old.side, old.quantity,
     old.reserve_rate, old.idempotency_key)
    is distinct from
    (new.intent_id, new.account_id, new.instrument_id, new.owner, new.intent_type, new.side, new.quantity,
     new.reserve_rate, new.idempotency_key)
    -- Only a stop changes the worst price: that of a sell, downward, to get out.
    or (
        new.worst_price <> old.worst_price
        and (old.side = 'BUY' or new.worst_price > old.worst_price or new.escalated_at is null)
    )
)
execute function trade.tg_order_intents__keep_decision();

create or replace trigger _400_no_delete
before delete on trade.order_intents
for each row execute function bus.tg_append_only();

create or replace trigger _410_no_truncate
before truncate on trade.order_intents
for each statement execute function bus.tg_append_only();

create or replace function trade.tg_order_intents__reserve()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_qty  numeric := new.reserved_qty;
    v_cash numeric := new.reserved_cash;
begin
    if tg_op = 'UPDATE' then
        v_qty := v_qty - old.reserved_qty;
        v_cash := v_cash - old.reserved_cash;
    end if;

    if v_qty <> 0 then
        update trade.positions as p
        set locked_qty = p.locked_qty + v_qty
        where p.account_id = new.account_id
          and p.instrument_id = new.instrument_id
          and p.owner = new.owner
          and (v_qty < 0 or p.locked_qty + v_qty <= p.qty + p.breach_qty);

        if not found then
            raise exception 'cannot sell %: % of % is free', trim_scale(v_qty),
                coalesce((
                    select trim_scale(p.qty - p.locked_qty)
                    from trade.positions as p
                    where p.account_id = new.account_id and p.instrument_id = new.instrument_id and p.owner = new.owner
                ), 0),
                (select i.symbol from market.instruments as i where i.instrument_id = new.instrument_id)
                using errcode = 'TRQ01',
                      hint = format('It must be held by %s and not promised to another live sell: select * from positions;', new.owner);
        end if;
    end if;

    if v_cash <> 0 then
        update trade.balances as b
        set locked_cash = b.locked_cash + v_cash
        where b.account_id = new.account_id
          and (v_cash < 0 or b.locked_cash + v_cash <= b.cash + b.breach_cash);

        if not found then
            raise exception 'cannot spend %: % is free', trim_scale(v_cash),
                coalesce((
                    select trim_scale(b.cash - b.locked_cash) from trade.balances as b where b.account_id = new.account_id
                ), 0)
                using errcode = 'TRC01',
                      hint = 'A buy reserves its worst price plus fees: select * from accounts;';
        end if;
    end if;

    return null;
end;
$$;

comment on function trade.tg_order_intents__reserve() is
    'L2, L3: moves what an intent reserves to its position or account, and nothing else does. Raises TRQ01, TRC01.';

create or replace trigger _500_reserve_new
after insert on trade.order_intents
for each row execute function trade.tg_order_intents__reserve();

create or replace trigger _510_reserve_change
after update on trade.order_intents
for each row
when (old.reserved_qty is distinct from new.reserved_qty or old.reserved_cash is distinct from new.reserved_cash)
execute function trade.tg_order_intents__reserve();

create or replace function trade.tg_order_intents__notify()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_notify('new_intent', json_build_object(
        'intent_id', new.intent_id,
        'intent_type', new.intent_type,
        'symbol', (select i.symbol from market.instruments as i where i.instrument_id = new.instrument_id)
    )::text);
    return null;
end;
$$;

comment on function trade.tg_order_intents__notify() is 'Wakes execution when an intent waits. A hint: the row is the truth.';

create or replace trigger _900_notify_new
after insert on trade.order_intents
for each row
when (new.status = 'NEW')
execute function trade.tg_order_intents__notify();

create or replace trigger _910_notify_again
after update on trade.order_intents
for each row
when (new.status = 'NEW' and old.status <> 'NEW')
execute function trade.tg_order_intents__notify();

create or replace function trade.tg_order_intents__record()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.record_event('intent', new.intent_id, new.status, new.intent_id, jsonb_build_object(
        'account_id', new.account_id, 'instrument_id', new.instrument_id, 'owner', new.owner,
        'intent_type', new.intent_type, 'side', new.side, 'reason', new.reason,
        'quantity', new.quantity, 'worst_price', new.worst_price, 'filled_qty', new.filled_qty,
        'overfill_qty', new.overfill_qty, 'reserved_qty', new.reserved_qty, 'reserved_cash', new.reserved_cash,
        'approved_by', new.approved_by, 'closed_reason', new.closed_reason, 'not_before', new.not_before,
        'escalated_at', new.escalated_at
    ));
    return null;
end;
$$;

comment on function trade.tg_order_intents__record() is 'L9: each change of an intent is one event.';

create or replace trigger _950_record_new
after insert on trade.order_intents
for each row execute function trade.tg_order_intents__record();

create or replace trigger _960_record_change
after update on trade.order_intents
for each row
when (old is distinct from new)
execute function trade.tg_order_intents__record();

create or replace function trade.lock_intent(p_intent_id bigint)
returns trade.order_intents
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent trade.order_intents;
begin
    select i.* into v_intent from trade.order_intents as i where i.intent_id = p_intent_id;

    if not found then
        raise exception 'intent % does not exist', p_intent_id
            using errcode = 'TRI02',
                  hint = 'select intent_id, status from intents;';
    end if;

    -- Lock order: account, position, intent.
    perform from trade.balances as b where b.account_id = v_intent.account_id for no key update;
    perform
    from trade.positions as p
    where p.account_id = v_intent.account_id
      and p.instrument_id = v_intent.instrument_id
      and p.owner = v_intent.owner
    for no key update;

    select i.* into v_intent from trade.order_intents as i where i.intent_id = p_intent_id for no key update;
    return v_intent;
end;
$$;

comment on function trade.lock_intent(bigint) is
    'Locks the account, position and intent, in that order, and returns the intent as it is now. Raises TRI02.';

create or replace function trade.lock_intents(p_intent_ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Whoever works on several takes them all before the first change: all accounts, positions, intents, orders.
    perform
    from trade.balances as b
    where b.account_id in (select i.account_id from trade.order_intents as i where i.intent_id = any(p_intent_ids))
    order by b.account_id
    for no key update;

    perform
    from trade.positions as p
    where (p.account_id, p.instrument_id, p.owner) in (
        select i.account_id, i.instrument_id, i.owner from trade.order_intents as i where i.intent_id = any(p_intent_ids)
    )
    order by p.account_id, p.instrument_id, p.owner
    for no key update;

    perform from trade.order_intents as i where i.intent_id = any(p_intent_ids) order by i.intent_id for no key update;

    perform
    from trade.orders as o
    where o.intent_id = any(p_intent_ids) and o.closed_at is null
    order by o.order_id
    for no key update;
end;
$$;

comment on function trade.lock_intents(bigint[]) is
    'Locks the accounts, positions, intents and live orders of several intents, in that order, before any of them is changed.';

create or replace function trade.close_intent(
    p_intent_id bigint,
    p_status    text,
    p_reason    text
)
returns trade.order_intents
language sql
volatile
begin atomic
    update trade.order_intents as i
    set status = p_status,
        reserved_qty = 0,
        reserved_cash = 0,
        closed_at = bus.clock(),
        closed_reason = p_reason
    where i.intent_id = p_intent_id
    returning i.*;
end;

comment on function trade.close_intent(bigint, text, text) is
    'Ends an intent and frees what it reserved. The caller holds its locks. Raises TRL01.';

create or replace function trade.worst_price(
    p_instrument  market.instruments,
    p_side        text,
    p_action      text,
    p_limit_price numeric,
    p_needs_live  boolean
)
returns numeric
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_price numeric := p_limit_price;
    v_quote market.quotes_now;
    v_cap   numeric;
begin
    if v_price is null then
        select q.* into v_quote from market.quotes_now as q where q.instrument_id = p_instrument.instrument_id;

        if v_quote.is_fresh is not true or (p_needs_live and v_quote.source <> 'live') then
            raise exception 'there is no fresh price of %', p_instrument.symbol
                using errcode = 'TRP01',
                      hint = 'select symbol, bid, ask, received_at, is_fresh from prices;';
        end if;

        select case when p_action = 'PROTECTIVE_SELL' then v.stop_cap_rate else v.taker_cap_rate end
        into v_cap
        from market.venues as v
        where v.venue = p_instrument.venue;

        v_price := case p_side when 'BUY' then v_quote.ask * (1 + v_cap) else v_quote.bid * (1 - v_cap) end;
        v_price := case p_side
            when 'BUY' then least(v_price, p_instrument.limit_high)
            else greatest(v_price, p_instrument.limit_low)
        end;
    end if;

    v_price := market.round_to_tick(p_instrument.tick_table, v_price, p_side);

    if v_price is null or v_price <= 0 or v_price >= 'Infinity' then
        raise exception '% is not a price for %', coalesce(p_limit_price::text, 'null'), p_instrument.symbol
            using errcode = 'TRI01', hint = 'Give a positive limit price.';
    end if;

    if v_price < p_instrument.limit_low or v_price > p_instrument.limit_high then
        raise exception 'price % of % is outside % to %', trim_scale(v_price), p_instrument.symbol,
            trim_scale(p_instrument.limit_low), trim_scale(p_instrument.limit_high)
            using errcode = 'TRP02', hint = 'These are the price limits of the day.';
    end if;

    return v_price;
end;
$$;

comment on function trade.worst_price(market.instruments, text, text, numeric, boolean) is
    'The worst price an intent may trade at: its limit, else the best price plus the venue''s cap, on a tick. Raises TRP01, TRP02, TRI01.';

create or replace function trade.open_intent(
    p_account_id      bigint,
    p_instrument_id   bigint,
    p_owner           text,
    p_intent_type     text,
    p_side            text,
    p_quantity        numeric,
    p_limit_price     numeric,
    p_reason          text,
    p_idempotency_key text,
    p_ttl             interval,
    p_pick_id         bigint default null,
    p_quote_at        timestamptz default null
)
returns trade.order_intents
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_instrument market.instruments;
    v_account    trade.accounts;
    v_fees       market.fee_rates;
    v_action     text;
    v_verdict    text;
    v_real       boolean;
    v_quantity   numeric;
    v_worst      numeric;
    v_rate       numeric := 0;
    v_intent     trade.order_intents;
    v_request    jsonb := jsonb_build_object(
        'instrument_id', p_instrument_id, 'owner', p_owner, 'intent_type', p_intent_type, 'side', p_side,
        'quantity', trim_scale(p_quantity), 'limit_price', trim_scale(p_limit_price)
    );
begin
    select t.action into v_action from trade.intent_types as t where t.intent_type = p_intent_type and t.side = p_side;

    if not found then
        raise exception 'there is no % intent of type %', p_side, p_intent_type
            using errcode = 'TRI01', hint = 'select intent_type, side from intent_types;';
    end if;

    -- Lock order: gate, account, position.
    v_verdict := risk.admit(p_account_id, v_action);

    if p_side = 'BUY' then
        perform from trade.balances as b where b.account_id = p_account_id for no key update;
    end if;

    perform
    from trade.positions as p
    where p.account_id = p_account_id and p.instrument_id = p_instrument_id and p.owner = p_owner
    for no key update;

    select i.* into v_intent
    from trade.order_intents as i
    where i.account_id = p_account_id and i.idempotency_key = p_idempotency_key;

    if found then
        if v_intent.request <> v_request then
            raise exception 'idempotency key % was used for another intent, %', p_idempotency_key, v_intent.intent_id
                using errcode = 'TRI03', hint = 'A new decision needs a new key.';
        end if;
        return v_intent;
    end if;

    select a.* into strict v_account from trade.accounts as a where a.account_id = p_account_id;
    select i.* into strict v_instrument from market.instruments as i where i.instrument_id = p_instrument_id;
    select b.is_real into strict v_real from trade.brokers as b where b.broker = v_account.broker;

    if v_instrument.venue <> v_account.venue or v_instrument.currency <> v_account.currency then
        raise exception 'account % cannot trade %', v_account.account, v_instrument.symbol
            using errcode = 'TRI01', hint = 'Venue and currency of account and instrument must be the same.';
    end if;

    if p_side = 'BUY' and not v_instrument.is_active then
        raise exception '% is not active', v_instrument.symbol
            using errcode = 'TRI01', hint = 'select symbol, is_active from instruments;';
    end if;

    if market.phase_at(v_instrument.venue, bus.clock()) is null then
        raise exception '% is closed', v_instrument.venue
            using errcode = 'TRS01', hint = 'select * from session_phases;';
    end if;

    v_quantity := trunc(p_quantity / v_instrument.lot_size) * v_instrument.lot_size;
    v_worst := trade.worst_price(v_instrument, p_side, v_action, p_limit_price, v_real);

    if coalesce(v_quantity, 0) <= 0 or v_quantity * v_worst < v_instrument.min_notional then
        raise exception '% of % is too little to trade', coalesce(trim_scale(p_quantity)::text, 'null'), v_instrument.symbol
            using errcode = 'TRI01',
                  hint = format('The lot is %s and the least notional %s.',
                      trim_scale(v_instrument.lot_size), trim_scale(v_instrument.min_notional));
    end if;

    if p_side = 'BUY' then
        v_fees := market.fees_at(v_instrument.venue, bus.clock());
        v_rate := greatest(v_fees.maker_rate, v_fees.taker_rate) + v_fees.buy_tax_rate;
    end if;

    insert into trade.order_intents (
        account_id, instrument_id, owner, intent_type, side, reason, quantity, limit_price, worst_price, reserve_rate,
        status, reserved_qty, reserved_cash, idempotency_key, request, pick_id, quote_at, expires_at
    ) values (
        p_account_id, p_instrument_id, p_owner, p_intent_type, p_side, p_reason, v_quantity,
        case when p_limit_price is not null then v_worst end, v_worst, v_rate,
        case v_verdict when 'APPROVE' then 'PENDING_APPROVAL' else 'NEW' end,
        case p_side when 'SELL' then v_quantity else 0 end,
        case p_side when 'BUY' then v_quantity * v_worst * (1 + v_rate) else 0 end,
        p_idempotency_key, v_request, p_pick_id, p_quote_at,
        bus.clock() + case v_verdict when 'APPROVE' then greatest(p_ttl, interval '1 day') else p_ttl end
    )
    returning * into v_intent;

    return v_intent;
end;
$$;

comment on function trade.open_intent(
    bigint, bigint, text, text, text, numeric, numeric, text, text, interval, bigint, timestamptz
) is
    'Admits a decision, rounds it to lot and tick, reserves for it at its worst price and stores it. Raises TRM01, TRM02, TRQ01, TRQ02, TRC01, TRC02, TRP01, TRP02, TRS01, TRI01, TRI03.';
