-- 10_intent_laws: the laws of an intent (L1 mode, L2 no oversell, L3 no overspend, L4 lifecycle), enforced by
-- triggers against every writer.

create or replace function trade.tg_order_intents__guard()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_verdict text;
begin
    v_verdict := risk.require_mode_allows(
        new.account_id,
        (select t.action from trade.intent_types as t where t.intent_type = new.intent_type and t.side = new.side)
    );

    -- An insert cannot bring its own approval: a person approves a row that is stored as PENDING_APPROVAL.
    if v_verdict = 'APPROVE' and new.status = 'NEW' and (tg_op = 'INSERT' or new.approved_by is null) then
        raise exception 'this intent needs a person''s approval'
            using errcode = 'TRM03',
                  hint = 'It may be stored as PENDING_APPROVAL: select * from approvals;';
    end if;

    if tg_op = 'INSERT' and new.side = 'BUY' and exists (
        select from trade.balances as b where b.account_id = new.account_id and b.breach_cash > 0
    ) then
        raise exception 'cash of account % is in breach', new.account_id
            using errcode = 'TRC02',
                  hint = 'Less is held than live intents have reserved: select * from incidents;';
    end if;

    if tg_op = 'INSERT' and exists (
        select
        from trade.positions as p
        where p.account_id = new.account_id and p.instrument_id = new.instrument_id and p.breach_qty > 0
    ) then
        raise exception 'the position in instrument % is in breach', new.instrument_id
            using errcode = 'TRQ02',
                  hint = 'Less is held than live intents have reserved: select * from incidents;';
    end if;

    return new;
end;
$$;

comment on function trade.tg_order_intents__guard is
    'L1: takes the gate lock and admits an intent only if the mode allows it. Also refuses a new intent while its '
    'position is in breach, and a new buy while cash is. Raises TRM01, TRM02, TRM03, TRC02, TRQ02.';

create or replace trigger _100_guard
before insert on trade.order_intents
for each row execute function trade.tg_order_intents__guard();

create or replace trigger _110_guard_approval
before update on trade.order_intents
for each row
when (old.status = 'PENDING_APPROVAL' and new.status = 'NEW')
execute function trade.tg_order_intents__guard();

create or replace function trade.tg_order_intents__check_bounds()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Check here, not in the trigger's WHEN condition, which would be parsed again for each statement.
    if (
        bus.is_amount(new.quantity) and bus.is_amount(new.worst_price) and isfinite(new.expires_at)
        and octet_length(new.reason) <= 2000 and octet_length(new.idempotency_key) <= 250
    ) is not true then
        perform bus.refuse_row(tg_table_schema, tg_table_name);
    end if;

    return new;
end;
$$;

comment on function trade.tg_order_intents__check_bounds is
    'Refuses an intent whose numbers, texts or times are out of bounds. Raises TRI01.';

create or replace trigger _120_within_bounds
before insert on trade.order_intents
for each row execute function trade.tg_order_intents__check_bounds();

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

comment on function trade.tg_order_intents__check_move is
    'L4: lets an intent begin and move only along its lifecycle. Raises TRL01.';

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
