-- 320_holdings: positions and balances.  Facts change them always; when a fact undercuts what live intents
-- have reserved, the breach is stored beside it, an incident is open and unsent intents are shed.

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

    -- A fact may raise the breach, also the one that an order we ended may still sell; a reservation only lowers it.
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

comment on function trade.tg_positions__derive() is 'L2, L10: the breach follows from facts, the version from changes of facts.';

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

comment on function trade.tg_balances__derive() is 'L3: the breach follows from facts.';

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

comment on function trade.note_breach(text, numeric, numeric, jsonb) is
    'Keeps an incident open while a breach is above zero.';

create or replace function trade.tg_positions__record()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before numeric := 0;
begin
    if tg_op = 'UPDATE' then
        v_before := old.breach_qty;
    end if;

    if tg_op = 'INSERT' or old.version <> new.version or old.breach_qty <> new.breach_qty then
        perform bus.record_event('position', new.instrument_id, case tg_op when 'INSERT' then 'created' else 'changed' end,
            null, jsonb_build_object(
                'account_id', new.account_id, 'owner', new.owner, 'qty', new.qty, 'locked_qty', new.locked_qty,
                'breach_qty', new.breach_qty, 'cost', new.cost, 'realized_pnl', new.realized_pnl,
                'version', new.version
            ));
    end if;

    if new.breach_qty <> v_before then
        perform trade.note_breach(
            format('position %s/%s/%s', new.account_id, new.instrument_id, new.owner), v_before, new.breach_qty,
            jsonb_build_object('qty', new.qty, 'locked_qty', new.locked_qty)
        );
    end if;

    return null;
end;
$$;

comment on function trade.tg_positions__record() is 'L9: each change of a position is one event; a breach is an incident.';

create or replace trigger _900_record
after insert or update on trade.positions
for each row execute function trade.tg_positions__record();

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

comment on function trade.tg_balances__record() is 'A breach of cash is an incident.';

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

comment on function trade.tg_cash_entries__add() is 'The balance is the sum of its entries; they are on disk when they have committed.';

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

create or replace function trade.ensure_position(
    p_account_id    bigint,
    p_instrument_id bigint,
    p_owner         text
)
returns trade.positions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_position trade.positions;
begin
    insert into trade.positions (account_id, instrument_id, owner)
    values (p_account_id, p_instrument_id, p_owner)
    on conflict do nothing;

    select p.* into strict v_position
    from trade.positions as p
    where p.account_id = p_account_id and p.instrument_id = p_instrument_id and p.owner = p_owner
    for no key update;

    return v_position;
end;
$$;

comment on function trade.ensure_position(bigint, bigint, text) is 'Locks a position, making a flat one where there is none.';

create or replace function trade.cost_of(
    p_position trade.positions,
    p_quantity numeric
)
returns numeric
language sql
immutable
begin atomic
    -- What stays is cut to 18 decimals (by div: a quotient would be rounded first) and what leaves is the rest of it:
    -- together they are always the whole.
    select p_position.cost - div(p_position.cost * (p_position.qty - p_quantity) * 1e18, p_position.qty) * 1e-18;
end;

comment on function trade.cost_of(trade.positions, numeric) is
    'What a part of a held position cost, at its average price; all of it, exactly, when nothing is left.';

create or replace function trade.move_position(
    p_position trade.positions,
    p_change   numeric,
    p_value    numeric,
    p_costs    numeric
)
returns numeric
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_qty      numeric := p_position.qty + p_change;
    v_cost     numeric := p_value;
    v_realized numeric := -p_costs;
begin
    if p_change < 0 then
        v_cost := -trade.cost_of(p_position, -p_change);
        v_realized := v_realized + p_value + v_cost;
    end if;

    update trade.positions as p
    set qty = v_qty,
        cost = p.cost + v_cost,
        realized_pnl = p.realized_pnl + v_realized,
        opened_at = case when v_qty > 0 then coalesce(p.opened_at, bus.clock()) end
    where p.account_id = p_position.account_id
      and p.instrument_id = p_position.instrument_id
      and p.owner = p_position.owner;

    return v_realized;
end;
$$;

comment on function trade.move_position(trade.positions, numeric, numeric, numeric) is
    'Applies a trade to a locked position: a signed change of quantity, the money paid or received for it, and the costs. Returns the realized profit: money received - cost of what was sold - costs of trading.';

create or replace function trade.shed_unsent(
    p_account_id    bigint,
    p_instrument_id bigint,
    p_owner         text
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent trade.order_intents;
    v_count  integer := 0;
begin
    for v_intent in
        select i.*
        from trade.order_intents as i
        where i.account_id = p_account_id
          and i.closed_at is null  -- as its index says: it is asked after every fill
          and i.status in ('NEW', 'PENDING_APPROVAL')
          and ((i.side = 'SELL' and i.instrument_id = p_instrument_id and i.owner = p_owner) or i.side = 'BUY')
        order by i.intent_id desc
        for no key update skip locked
    loop
        if v_intent.side = 'SELL' then
            continue when not exists (
                select
                from trade.positions as p
                where p.account_id = p_account_id and p.instrument_id = p_instrument_id and p.owner = p_owner
                  and p.breach_qty > 0
            );
        else
            continue when not exists (
                select from trade.balances as b where b.account_id = p_account_id and b.breach_cash > 0
            );
        end if;

        begin
            perform trade.close_intent(v_intent.intent_id, 'CANCELLED', 'shed: facts undercut its reservation');
            v_count := v_count + 1;
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform risk.note_failed_item('shed_unsent', format('intent %s', v_intent.intent_id), sqlstate, sqlerrm);
        end;
    end loop;

    return v_count;
end;
$$;

comment on function trade.shed_unsent(bigint, bigint, text) is
    'Cancels unsent intents, newest first, until the breach of the position and of the account is gone; returns how many.';
