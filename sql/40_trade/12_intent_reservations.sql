-- 12_intent_reservations: what follows from new or changed intents: their reservations, a notification, an event each.

create or replace function trade.reserve_cash(p_changes trade.reservation[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_changed bigint[];
    v_refused record;
begin
    -- One row is locked by its update; several are locked in order first.
    if cardinality(p_changes) > 1 then
        perform
        from trade.balances as b
        where b.account_id in (select c.account_id from unnest(p_changes) as c)
        order by b.account_id
        for no key update;
    end if;

    with changed as (
        update trade.balances as b
        set locked_cash = b.locked_cash + c.cash
        from (select c.account_id, sum(c.cash) as cash from unnest(p_changes) as c group by c.account_id) as c
        where b.account_id = c.account_id
          and (c.cash <= 0 or b.locked_cash + c.cash <= b.cash + b.breach_cash)
        returning b.account_id
    )

    select array_agg(d.account_id) into v_changed from changed as d;

    if cardinality(v_changed) = cardinality(p_changes) then
        return;
    end if;

    select c.account_id, sum(c.cash) as cash into v_refused
    from unnest(p_changes) as c
    where (c.account_id = any(v_changed)) is not true
    group by c.account_id
    limit 1;

    if found then
        raise exception 'cannot spend %: % is free', trim_scale(v_refused.cash), coalesce((
            select trim_scale(b.cash - b.locked_cash)
            from trade.balances as b
            where b.account_id = v_refused.account_id
        ), 0)
            using errcode = 'TRC01',
                  hint = 'A buy reserves its worst price plus fees: select * from accounts;';
    end if;
end;
$$;

comment on function trade.reserve_cash is
    'L3: adds the cash of changes of reservations to the balances of their accounts; all or none. Raises TRC01.';

create or replace function trade.reserve_quantity(p_changes trade.reservation[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_refused trade.reservation;
begin
    -- One row is locked by its update; several are locked in order first.
    if cardinality(p_changes) > 1 then
        perform
        from trade.positions as p
        where (p.account_id, p.instrument_id, p.owner) in (
            select c.account_id, c.instrument_id, c.owner from unnest(p_changes) as c where c.quantity <> 0
        )
        order by p.account_id, p.instrument_id, p.owner
        for no key update;
    end if;

    with changed as (
        update trade.positions as p
        set locked_qty = p.locked_qty + c.quantity
        from unnest(p_changes) as c
        where p.account_id = c.account_id and p.instrument_id = c.instrument_id and p.owner = c.owner
          and c.quantity <> 0
          and (c.quantity < 0 or p.locked_qty + c.quantity <= p.qty + p.breach_qty)
        returning p.account_id, p.instrument_id, p.owner
    )

    select c.* into v_refused
    from unnest(p_changes) as c
    where c.quantity <> 0
      and not exists (
          select
          from changed as d
          where d.account_id = c.account_id and d.instrument_id = c.instrument_id and d.owner = c.owner
      )
    limit 1;

    if found then
        raise exception 'cannot sell %: % of % is free', trim_scale(v_refused.quantity),
            coalesce((
                select trim_scale(p.qty - p.locked_qty)
                from trade.positions as p
                where (p.account_id, p.instrument_id, p.owner)
                    = (v_refused.account_id, v_refused.instrument_id, v_refused.owner)
            ), 0),
            (select i.symbol from market.instruments as i where i.instrument_id = v_refused.instrument_id)
            using errcode = 'TRQ01',
                  hint = format(
                      'It must be held by %s and not reserved by another live sell: select * from positions;',
                      v_refused.owner
                  );
    end if;
end;
$$;

comment on function trade.reserve_quantity is
    'L2: adds the quantities of changes of reservations to their positions; all or none. Raises TRQ01.';

create or replace function trade.tg_order_intents__reserve()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_nestloop = off  -- the plan is kept, and may have been made for one row
as $$
declare
    v_changes    trade.reservation[];
    v_cash       boolean;
    v_quantities boolean;
begin
    if tg_op = 'INSERT' then
        select array_agg(c::trade.reservation), bool_or(c.cash <> 0), bool_or(c.quantity <> 0)
        into v_changes, v_cash, v_quantities
        from (
            select n.account_id, n.instrument_id, n.owner, sum(n.reserved_qty) as quantity, sum(n.reserved_cash) as cash
            from new_rows as n
            group by n.account_id, n.instrument_id, n.owner
        ) as c;
    else
        select array_agg(c::trade.reservation), bool_or(c.cash <> 0), bool_or(c.quantity <> 0)
        into v_changes, v_cash, v_quantities
        from (
            select
                n.account_id, n.instrument_id, n.owner,
                sum(n.reserved_qty - o.reserved_qty) as quantity,
                sum(n.reserved_cash - o.reserved_cash) as cash
            from old_rows as o
            join new_rows as n on n.intent_id = o.intent_id
            where n.reserved_qty <> o.reserved_qty or n.reserved_cash <> o.reserved_cash
            group by n.account_id, n.instrument_id, n.owner
        ) as c;
    end if;

    -- Accounts lead the lock order.
    if v_cash then
        perform trade.reserve_cash(v_changes);
    end if;

    if v_quantities then
        perform trade.reserve_quantity(v_changes);
    end if;

    return null;
end;
$$;

comment on function trade.tg_order_intents__reserve is
    'L2, L3: adds what a statement changes in the reservations of intents to their positions (sells) and balances '
    '(buys); nothing else does that. Raises TRQ01, TRC01.';

create or replace trigger _500_reserve_new
after insert on trade.order_intents
referencing new table as new_rows
for each statement execute function trade.tg_order_intents__reserve();

create or replace trigger _510_reserve_change
after update on trade.order_intents
referencing old table as old_rows new table as new_rows
for each statement execute function trade.tg_order_intents__reserve();

create or replace function trade.tg_order_intents__notify_new()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('aegis.claims_at_once', true) = 'on' then
        return null;
    end if;

    perform bus.notify('new_intent') from (select from new_rows as n where n.status = 'NEW' limit 1) as new;
    return null;
end;
$$;

comment on function trade.tg_order_intents__notify_new is
    'Notifies execution that intents wait. Only a hint: the rows are the truth.';

create or replace trigger _900_notify_new
after insert on trade.order_intents
referencing new table as new_rows
for each statement execute function trade.tg_order_intents__notify_new();

create or replace function trade.tg_order_intents__notify_again()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.notify('new_intent');
    return null;
end;
$$;

comment on function trade.tg_order_intents__notify_again is 'Notifies execution that an intent waits again. Only a hint.';

create or replace trigger _910_notify_again
after update on trade.order_intents
for each row
when (new.status = 'NEW' and old.status <> 'NEW')
execute function trade.tg_order_intents__notify_again();

create or replace function trade.intent_facts(p_intent trade.order_intents)
returns jsonb
language sql
stable
begin atomic
    select jsonb_build_object(
        'account_id', p_intent.account_id, 'instrument_id', p_intent.instrument_id, 'owner', p_intent.owner,
        'intent_type', p_intent.intent_type, 'side', p_intent.side, 'reason', p_intent.reason,
        'quantity', p_intent.quantity, 'worst_price', p_intent.worst_price, 'filled_qty', p_intent.filled_qty,
        'overfill_qty', p_intent.overfill_qty, 'reserved_qty', p_intent.reserved_qty,
        'reserved_cash', p_intent.reserved_cash, 'approved_by', p_intent.approved_by,
        'closed_reason', p_intent.closed_reason, 'not_before', p_intent.not_before,
        'escalated_at', p_intent.escalated_at
    );
end;

comment on function trade.intent_facts is 'What an event says of an intent.';

create or replace function trade.tg_order_intents__record()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_nestloop = off  -- the plan is kept, and may have been made for one row
as $$
declare
    v_origin record;
begin
    if not exists (select from new_rows as n) then
        return null;
    end if;

    v_origin := bus.event_origin();

    if tg_op = 'INSERT' then
        insert into bus.events (generation, cause, entity, entity_id, change, intent_id, correlation_id, data)
        select
            v_origin.generation, v_origin.cause, 'intent', n.intent_id, n.status, n.intent_id, n.correlation_id,
            trade.intent_facts(row(n.*)::trade.order_intents)
        from new_rows as n
        order by n.intent_id;
    else
        insert into bus.events (generation, cause, entity, entity_id, change, intent_id, correlation_id, data)
        select
            v_origin.generation, v_origin.cause, 'intent', n.intent_id, n.status, n.intent_id, n.correlation_id,
            trade.intent_facts(row(n.*)::trade.order_intents)
        from old_rows as o
        join new_rows as n on n.intent_id = o.intent_id
        where n is distinct from o
        order by n.intent_id;
    end if;

    return null;
end;
$$;

comment on function trade.tg_order_intents__record is 'L9: records one event for each change of an intent.';

create or replace trigger _950_record_new
after insert on trade.order_intents
referencing new table as new_rows
for each statement execute function trade.tg_order_intents__record();

create or replace trigger _960_record_change
after update on trade.order_intents
referencing old table as old_rows new table as new_rows
for each statement execute function trade.tg_order_intents__record();
