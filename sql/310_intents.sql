-- 310_intents: the laws of an intent (L1 mode, L2 no oversell, L3 no overspend, L4 lifecycle), kept by
-- triggers, whoever writes.

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

create or replace function trade.tg_order_intents__check_bounds()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Here and not in the trigger's own condition, which would be parsed again for each statement.
    if (
        bus.is_amount(new.quantity) and bus.is_amount(new.worst_price) and isfinite(new.expires_at)
        and octet_length(new.reason) <= 2000 and octet_length(new.idempotency_key) <= 250
    ) is not true then
        perform bus.refuse_row(tg_table_schema, tg_table_name);
    end if;

    return new;
end;
$$;

comment on function trade.tg_order_intents__check_bounds() is
    'Refuses an intent whose numbers, texts or times cannot be worked with. Raises TRI01.';

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
    -- A sell without a limit takes the price of the moment its wait for approval ends, up or down.
    if old.status = 'PENDING_APPROVAL' and new.status = 'NEW' and old.side = 'SELL'
        and old.limit_price is null and new.limit_price is null then
        return new;
    end if;

    raise exception 'the price of intent % is fixed', old.intent_id
        using errcode = 'TRL02',
              hint = 'Cancel it and make another.';
end;
$$;

comment on function trade.tg_order_intents__keep_price() is
    'The price of a decision changes only when a stop lowers it or an approval sets it. Raises TRL02.';

create or replace trigger _310_keep_price
before update of worst_price, limit_price, escalated_at on trade.order_intents
for each row
when (
    -- A stop lowers that of a sell, to get out, and takes its limit away.
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
after update of reserved_qty, reserved_cash on trade.order_intents
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
    perform bus.notify('new_intent');
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
