-- 16_position_moves: how a fill changes a position and its cost, and which unsent intents a breach cancels.

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

comment on function trade.ensure_position is
    'Locks a position and returns it; creates a flat one if there is none.';

create or replace function trade.cost_of(
    p_position trade.positions,
    p_quantity numeric
)
returns numeric
language sql
immutable
begin atomic
    -- Truncate the cost of the rest to 18 decimals (with div, because / rounds) and return the difference, so that the
    -- two parts always add up to the whole.
    select p_position.cost - div(p_position.cost * (p_position.qty - p_quantity) * 1e18, p_position.qty) * 1e-18;
end;

comment on function trade.cost_of is
    'Cost of part of a held position, at its average price; for the whole position exactly its whole cost.';

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

comment on function trade.move_position is
    'Applies a trade to a locked position: the signed change of quantity, the money paid or received, and the '
    'trading costs. Returns the realized profit: money received - cost of what was sold - trading costs.';

create or replace function trade.release_unsent_intents(
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
          and i.closed_at is null  -- uses the partial index; this query runs after every fill
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
            perform trade.close_intent(v_intent.intent_id, 'CANCELLED', 'cancelled: less is held than it had reserved');
            v_count := v_count + 1;
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform risk.note_failed_item(
                'release_unsent_intents', format('intent %s', v_intent.intent_id), sqlstate, sqlerrm
            );
        end;
    end loop;

    return v_count;
end;
$$;

comment on function trade.release_unsent_intents is
    'Cancels unsent sells of a position and unsent buys of its account, newest first, until the breach of each is '
    'gone. Returns how many.';

create or replace function trade.position_of(
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
    select p.* into strict v_position
    from trade.positions as p
    where p.account_id = p_account_id and p.instrument_id = p_instrument_id and p.owner = p_owner;

    return v_position;
end;
$$;

comment on function trade.position_of is 'Returns the current row of a position that exists.';
