-- 14_position_laws: positions and balances.  A fact may always change them.  If it leaves less than live intents
-- have reserved, the shortfall is stored as the breach, an incident is opened and unsent intents are cancelled.

create or replace function trade.tg_positions__derive()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'INSERT' then
        return new;
    end if;

    -- Facts may raise the breach: a changed quantity, or what a stray order may still sell. A changed reservation
    -- can only lower it.
    if new.qty is distinct from old.qty or new.stray_qty is distinct from old.stray_qty then
        new.breach_qty := greatest(
            least(old.locked_qty + new.stray_qty - old.stray_qty, new.locked_qty) - new.qty, 0
        );
    elsif new.locked_qty < old.locked_qty then
        new.breach_qty := least(old.breach_qty, greatest(new.locked_qty - new.qty, 0));
    else
        new.breach_qty := old.breach_qty;
    end if;

    new.version := old.version + (
        (old.qty, old.cost, old.realized_pnl) is distinct from (new.qty, new.cost, new.realized_pnl)
    )::integer;

    return new;
end;
$$;

comment on function trade.tg_positions__derive is
    'L2, L10: derives the breach of a position, and raises its version when facts (quantity, cost, realized '
    'profit) change.';

create or replace trigger _100_derive
before update on trade.positions
for each row execute function trade.tg_positions__derive();

create or replace function trade.tg_balances__derive()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if new.cash is distinct from old.cash or new.stray_cash is distinct from old.stray_cash then
        new.breach_cash := greatest(
            least(old.locked_cash + new.stray_cash - old.stray_cash, new.locked_cash) - new.cash, 0
        );
    elsif new.locked_cash < old.locked_cash then
        new.breach_cash := least(old.breach_cash, greatest(new.locked_cash - new.cash, 0));
    else
        new.breach_cash := old.breach_cash;
    end if;

    return new;
end;
$$;

comment on function trade.tg_balances__derive is 'L3: derives the cash breach of an account.';

create or replace trigger _100_derive
before update on trade.balances
for each row execute function trade.tg_balances__derive();

create or replace function trade.note_breach(
    p_subject text,
    p_before  numeric,
    p_after   numeric,
    p_detail  jsonb
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_after > 0 then
        perform api.raise_incident('breach', p_subject, p_detail || jsonb_build_object('breach', p_after));
    elsif p_before > 0 then
        perform risk.end_incident('breach', p_subject);
    end if;
end;
$$;

comment on function trade.note_breach is 'Keeps an incident open while a breach is above zero.';

create or replace function trade.tg_positions__record()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_nestloop = off  -- the plan is kept, and may have been made for one row
as $$
declare
    v_origin record;
begin
    -- Most updates change only a reservation, which the event of the intent tells.
    if not exists (
        select
        from old_rows as o
        join new_rows as n using (account_id, instrument_id, owner)
        where (n.version, n.breach_qty) is distinct from (o.version, o.breach_qty)
    ) then
        return null;
    end if;

    v_origin := bus.event_origin();

    insert into bus.events (generation, cause, entity, entity_id, change, data)
    select
        v_origin.generation, v_origin.cause, 'position', n.instrument_id, 'changed', jsonb_build_object(
            'account_id', n.account_id, 'owner', n.owner, 'qty', n.qty, 'locked_qty', n.locked_qty,
            'breach_qty', n.breach_qty, 'cost', n.cost, 'realized_pnl', n.realized_pnl, 'version', n.version
        )
    from old_rows as o
    join new_rows as n using (account_id, instrument_id, owner)
    where (n.version, n.breach_qty) is distinct from (o.version, o.breach_qty)
    order by n.account_id, n.instrument_id, n.owner;

    perform trade.note_breach(
        format('position %s/%s/%s', n.account_id, n.instrument_id, n.owner), o.breach_qty, n.breach_qty,
        jsonb_build_object('qty', n.qty, 'locked_qty', n.locked_qty)
    )
    from old_rows as o
    join new_rows as n using (account_id, instrument_id, owner)
    where n.breach_qty <> o.breach_qty;

    return null;
end;
$$;

comment on function trade.tg_positions__record is
    'L9: records one event for each change of the facts of a position; keeps an incident open during a breach.';

create or replace trigger _900_record_change
after update on trade.positions
referencing old table as old_rows new table as new_rows
for each statement execute function trade.tg_positions__record();

create or replace function trade.tg_positions__record_new()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.record_event('position', n.instrument_id, 'created', null, jsonb_build_object(
        'account_id', n.account_id, 'owner', n.owner, 'qty', n.qty, 'locked_qty', n.locked_qty,
        'breach_qty', n.breach_qty, 'cost', n.cost, 'realized_pnl', n.realized_pnl, 'version', n.version
    ))
    from new_rows as n;

    perform trade.note_breach(
        format('position %s/%s/%s', n.account_id, n.instrument_id, n.owner), 0, n.breach_qty,
        jsonb_build_object('qty', n.qty, 'locked_qty', n.locked_qty)
    )
    from new_rows as n
    where n.breach_qty <> 0;

    return null;
end;
$$;

comment on function trade.tg_positions__record_new is
    'L9: records one event for each new position, which is rare; opens an incident if it begins in breach.';

create or replace trigger _910_record_new
after insert on trade.positions
referencing new table as new_rows
for each statement execute function trade.tg_positions__record_new();

create or replace function trade.tg_balances__record()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform trade.note_breach(format('account %s', new.account_id), old.breach_cash, new.breach_cash,
        jsonb_build_object('cash', new.cash, 'locked_cash', new.locked_cash));
    return null;
end;
$$;

comment on function trade.tg_balances__record is 'Keeps an incident open while an account has a cash breach.';

create or replace trigger _900_record
after update on trade.balances
for each row
when (old.breach_cash <> new.breach_cash)
execute function trade.tg_balances__record();

create or replace function trade.tg_cash_entries__add()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('synchronous_commit') = 'off' then
        perform bus.make_durable();
    end if;

    update trade.balances as b
    set cash = b.cash + e.amount
    from (
        select n.account_id, sum(n.amount) as amount
        from new_rows as n
        group by n.account_id
        order by n.account_id
    ) as e
    where b.account_id = e.account_id;

    return null;
end;
$$;

comment on function trade.tg_cash_entries__add is
    'Adds new cash entries to the balance, which is always their sum, and makes their transaction durable.';

create or replace trigger _500_add
after insert on trade.cash_entries
referencing new table as new_rows
for each statement execute function trade.tg_cash_entries__add();

create or replace trigger _100_append_only
before update or delete on trade.cash_entries
for each row execute function bus.tg_append_only();

create or replace trigger _110_no_truncate
before truncate on trade.cash_entries
for each statement execute function bus.tg_append_only();

create or replace trigger _100_append_only
before update or delete on trade.reconciliations
for each row execute function bus.tg_append_only();

create or replace trigger _110_no_truncate
before truncate on trade.reconciliations
for each statement execute function bus.tg_append_only();

create or replace trigger _120_no_delete
before delete on trade.positions
for each row execute function bus.tg_append_only();

create or replace trigger _130_no_truncate
before truncate on trade.positions
for each statement execute function bus.tg_append_only();

create or replace trigger _120_no_delete
before delete on trade.balances
for each row execute function bus.tg_append_only();

create or replace trigger _130_no_truncate
before truncate on trade.balances
for each statement execute function bus.tg_append_only();
