-- 10_intent_laws: the laws of an intent (L1 mode, L2 no oversell, L3 no overspend, L4 lifecycle), enforced by
-- triggers against every writer.

create or replace function trade.intent_fault(p_intent trade.order_intents)
returns text
language sql
immutable
begin atomic
    select case
        when not p_intent.quantity > 0 then 'quantity_positive'
        when not (p_intent.worst_price > 0 and coalesce(p_intent.limit_price, 1) > 0) then 'prices_positive'
        when p_intent.limit_price <> p_intent.worst_price then 'limit_is_worst'
        when not p_intent.filled_qty between 0 and p_intent.quantity then 'filled_within_quantity'
        when p_intent.status = 'FILLED' and p_intent.filled_qty <> p_intent.quantity then 'filled_iff_whole'
        when p_intent.overfill_qty < 0 then 'overfill_not_negative'
        when (p_intent.approved_by is null) <> (p_intent.approved_at is null) then 'approved_together'
        when (p_intent.closed_at is not null)
            <> (p_intent.status in ('FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED')) then 'terminal_iff_closed'
        when (p_intent.closed_at is not null)
            <> (p_intent.reserved_qty = 0 and p_intent.reserved_cash = 0) then 'terminal_iff_released'
        when not case p_intent.side
            when 'BUY' then p_intent.reserved_qty = 0 and p_intent.reserved_cash >= 0
            else p_intent.reserved_cash = 0 and p_intent.reserved_qty >= 0
        end then 'reserves_one_side'
        when p_intent.closed_at is null and not case p_intent.side
            when 'BUY' then p_intent.reserved_cash
                = (p_intent.quantity - p_intent.filled_qty) * p_intent.worst_price * (1 + p_intent.reserve_rate)
            else p_intent.reserved_qty = p_intent.quantity - p_intent.filled_qty
        end then 'reserves_the_rest'
        when (
            bus.is_amount(p_intent.quantity) and bus.is_amount(p_intent.worst_price) and isfinite(p_intent.expires_at)
            and octet_length(p_intent.reason) <= 2000 and octet_length(p_intent.idempotency_key) <= 250
        ) is not true then 'within_bounds'
    end;
end;

comment on function trade.intent_fault is
    'L2, L3, L4: the first rule about its own columns that an intent breaks; null when it breaks none.';

create or replace function trade.refuse_row(
    p_what  text,
    p_id    bigint,
    p_from  text,
    p_to    text,
    p_fault text
)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_fault is null then
        raise exception '% % cannot move from % to %', p_what, p_id, p_from, p_to
            using errcode = 'TRL01',
                  hint = format('See trade.%s_transitions for the legal moves.', p_what);
    end if;

    raise exception '% % breaks the rule %', p_what, p_id, p_fault
        using errcode = case p_fault when 'within_bounds' then 'TRI01' else '23514' end,
              constraint = p_fault,
              hint = case p_fault
                  when 'within_bounds' then 'Numbers are below 1e18 with at most 18 decimals, texts short, times finite.'
                  else format('The rules are in trade.%s_fault.', p_what)
              end;
end;
$$;

comment on function trade.refuse_row is
    'Refuses an intent or order, named by its id: a move against its lifecycle, or, if p_fault is given, a row that '
    'breaks that rule. Raises TRL01, TRI01, check_violation (23514).';

create or replace function trade.tg_order_intents__guard()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_refused record;
begin
    perform risk.lock_gate_shared();

    select c.* into v_refused
    from (
        select
            v.mode,
            v.verdict,
            k.action,
            -- An insert cannot bring its own approval: a person approves a row that is stored as PENDING_APPROVAL.
            (v.verdict = 'ALLOW' or (v.verdict = 'APPROVE' and k.status <> 'NEW')) is true as is_allowed,
            k.side = 'BUY' and exists (
                select from trade.balances as b where b.account_id = k.account_id and b.breach_cash > 0
            ) as lacks_cash,
            exists (
                select
                from trade.positions as p
                where p.account_id = k.account_id and p.instrument_id = k.instrument_id and p.breach_qty > 0
            ) as lacks_quantity
        from (
            select distinct n.account_id, n.instrument_id, n.side, n.status, t.action
            from new_rows as n
            left join trade.intent_types as t on t.intent_type = n.intent_type and t.side = n.side
        ) as k
        left join risk.verdicts as v on v.account_id = k.account_id and v.action = k.action
    ) as c
    where not c.is_allowed or c.lacks_cash or c.lacks_quantity
    order by c.is_allowed, c.lacks_cash desc
    limit 1;

    if not found then
        return null;
    elsif not v_refused.is_allowed then
        perform risk.refuse_action(v_refused.mode, v_refused.action, v_refused.verdict);
    end if;

    raise exception '% is in breach',
        case when v_refused.lacks_cash then 'cash of the account' else 'a position in the instrument' end
        using errcode = case when v_refused.lacks_cash then 'TRC02' else 'TRQ02' end,
              hint = 'Less is held than live intents have reserved: select * from incidents;';
end;
$$;

comment on function trade.tg_order_intents__guard is
    'L1: takes the gate lock and admits new intents only if the mode allows each. Also refuses new intents while a '
    'position in their instrument is in breach, and new buys while cash is. Raises TRM01, TRM02, TRM03, TRC02, TRQ02.';

create or replace trigger _100_guard
after insert on trade.order_intents
referencing new table as new_rows
for each statement execute function trade.tg_order_intents__guard();

create or replace function trade.tg_order_intents__guard_approval()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_verdict text := risk.require_mode_allows(new.account_id, trade.action_of(new.intent_type, new.side));
begin
    if v_verdict = 'APPROVE' and new.approved_by is null then
        perform risk.refuse_action(null, null, v_verdict);
    end if;

    return new;
end;
$$;

comment on function trade.tg_order_intents__guard_approval is
    'L1: as the guard of new intents, when one that waited for approval becomes NEW. Raises TRM01, TRM02, TRM03.';

create or replace trigger _110_guard_approval
before update on trade.order_intents
for each row
when (old.status = 'PENDING_APPROVAL' and new.status = 'NEW')
execute function trade.tg_order_intents__guard_approval();

create or replace function trade.tg_order_intents__check_new()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform trade.refuse_row(
        'intent', n.intent_id, 'BEGIN', n.status, trade.intent_fault(row(n.*)::trade.order_intents)
    )
    from new_rows as n
    where trade.intent_fault(row(n.*)::trade.order_intents) is not null
       or not exists (
           select from trade.intent_transitions as t where t.from_status = 'BEGIN' and t.to_status = n.status
       );

    return null;
end;
$$;

comment on function trade.tg_order_intents__check_new is
    'L4: refuses new intents that do not begin as their lifecycle says, or whose columns contradict each other. Raises '
    'TRL01, TRI01, check_violation.';

create or replace trigger _200_check_new
after insert on trade.order_intents
referencing new table as new_rows
for each statement execute function trade.tg_order_intents__check_new();

create or replace function trade.tg_order_intents__check_change()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_nestloop = off  -- the plan is kept, and may have been made for one row
as $$
begin
    perform trade.refuse_row('intent', c.intent_id, c.was, c.status, case when c.may_move then c.fault end)
    from (
        select
            n.intent_id,
            o.status as was,
            n.status,
            trade.intent_fault(row(n.*)::trade.order_intents) as fault,
            n.status = o.status or exists (
                select from trade.intent_transitions as t where t.from_status = o.status and t.to_status = n.status
            ) as may_move
        from old_rows as o
        join new_rows as n on n.intent_id = o.intent_id
    ) as c
    -- A row that was stored before there were bounds may still move.
    where c.fault <> 'within_bounds' or not c.may_move;

    return null;
end;
$$;

comment on function trade.tg_order_intents__check_change is
    'L4: lets intents move only along their lifecycle, and only to rows whose columns do not contradict each other. Raises '
    'TRL01, TRI01, check_violation.';

create or replace trigger _210_check_change
after update on trade.order_intents
referencing old table as old_rows new table as new_rows
for each statement execute function trade.tg_order_intents__check_change();

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

comment on function trade.tg_order_intents__keep_decision is
    'Refuses a change to what was decided; only the progress of an intent may change. Raises TRL02.';

create or replace trigger _300_keep_decision
before update of intent_id, account_id, instrument_id, owner, intent_type, side, quantity, reserve_rate,
    idempotency_key, ttl
on trade.order_intents
for each row
when (
    (old.intent_id, old.account_id, old.instrument_id, old.owner, old.intent_type, old.side, old.quantity,
     old.reserve_rate, old.idempotency_key, old.ttl)
    is distinct from
    (new.intent_id, new.account_id, new.instrument_id, new.owner, new.intent_type, new.side, new.quantity,
     new.reserve_rate, new.idempotency_key, new.ttl)
)
execute function trade.tg_order_intents__keep_decision();

create or replace function trade.tg_order_intents__keep_price()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A sell without a limit is priced again, up or down, when its wait for approval ends.
    if old.status = 'PENDING_APPROVAL' and new.status = 'NEW' and old.side = 'SELL'
        and old.limit_price is null and new.limit_price is null then
        return new;
    end if;

    raise exception 'the price of intent % is fixed', old.intent_id
        using errcode = 'TRL02',
              hint = 'Cancel it and make another.';
end;
$$;

comment on function trade.tg_order_intents__keep_price is
    'Refuses a price change unless a stop lowers the price or the end of an approval wait sets it. Raises TRL02.';

create or replace trigger _310_keep_price
before update of worst_price, limit_price, escalated_at on trade.order_intents
for each row
when (
    -- Only a stop (it sets escalated_at) may lower the price of a sell and remove its limit.
    (new.worst_price <> old.worst_price
        and (old.side = 'BUY' or new.worst_price > old.worst_price or new.escalated_at is null))
    or (new.limit_price is distinct from old.limit_price
        and (old.side = 'BUY' or new.limit_price is not null or new.escalated_at is null))
)
execute function trade.tg_order_intents__keep_price();

create or replace trigger _400_no_delete
before delete on trade.order_intents
for each row execute function bus.tg_append_only();

create or replace trigger _410_no_truncate
before truncate on trade.order_intents
for each statement execute function bus.tg_append_only();
