-- 76_busts: fills that the venue cancels afterwards (busts).  Nothing is deleted: new rows undo what the fill did.

create or replace function trade.undo_in_position(
    p_fill     trade.fills,
    p_money    trade.fill_money,
    p_position trade.positions
)
returns numeric
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_change numeric := p_money.fee_qty - case p_fill.side when 'BUY' then p_fill.quantity else -p_fill.quantity end;
    v_qty    numeric := p_position.qty + v_change;
    v_cost   numeric;
begin
    if p_fill.side = 'SELL' then
        -- The units return at the cost they left with.
        v_cost := p_money.notional - p_money.fee - p_money.tax - p_money.realized_pnl;
    elsif v_qty > 0 and p_position.cost > p_money.notional then
        v_cost := -p_money.notional;
    else
        -- Part of it was sold since: remove the rest at the average price; the difference is profit or loss.
        v_cost := -trade.cost_of(p_position, -v_change);
    end if;

    update trade.positions as p
    set qty = v_qty,
        cost = p.cost + v_cost,
        realized_pnl = p.realized_pnl + v_cost - p_money.cash,
        opened_at = case when v_qty > 0 then coalesce(p.opened_at, bus.clock()) end
    where (p.account_id, p.instrument_id, p.owner) = (p_fill.account_id, p_fill.instrument_id, p_fill.owner);

    return v_change;
end;
$$;

comment on function trade.undo_in_position is
    'Undoes a fill in its locked position, at the cost it came in or left with; returns the change of quantity.';

create or replace function api.bust_fill(
    p_account        text,
    p_symbol         text,
    p_broker_fill_id text,
    p_trade_date     date,
    p_reason         text
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_fill     trade.fills;
    v_money    trade.fill_money;
    v_position trade.positions;
    v_change   numeric;
    v_id       bigint;
    v_reason   text := left(coalesce(p_reason, ''), 500);
begin
    select f.* into v_fill
    from trade.fills as f
    join market.instruments as i on i.instrument_id = f.instrument_id
    where f.account_id = trade.account_id(p_account)
      and i.symbol = p_symbol
      and f.broker_fill_id = p_broker_fill_id
      and f.trade_date = p_trade_date
    order by f.revision desc
    limit 1;

    if not found then
        return trade.keep_unmatched(
            p_account, 'bust ' || left(coalesce(p_symbol, ''), 100), p_broker_fill_id,
            jsonb_build_object(
                'bust', p_broker_fill_id, 'symbol', p_symbol, 'trade_date', p_trade_date, 'reason', v_reason
            )
        );
    end if;

    perform trade.lock_for_fill(v_fill.order_id);

    if exists (select from trade.busts as b where b.fill_id = v_fill.fill_id) then
        return 'DUPLICATE';
    end if;

    select m.* into strict v_money from trade.fill_money as m where m.fill_id = v_fill.fill_id;
    v_position := trade.ensure_position(v_fill.account_id, v_fill.instrument_id, v_fill.owner);

    if v_fill.side = 'BUY' then
        v_position := trade.book_oversold_quantity(v_position, v_fill.quantity - v_money.fee_qty, v_fill.price);
    end if;

    v_change := trade.undo_in_position(v_fill, v_money, v_position);
    insert into trade.reconciliations (account_id, instrument_id, owner, quantity, price, reason)
    values (v_fill.account_id, v_fill.instrument_id, v_fill.owner, v_change, v_fill.price, 'bust: ' || v_reason)
    returning reconciliation_id into v_id;
    insert into trade.busts (fill_id, reconciliation_id, reason) values (v_fill.fill_id, v_id, v_reason);

    insert into trade.cash_entries (account_id, kind, amount, note)
    select v_fill.account_id, 'correction', -v_money.cash, format('bust of fill %s: %s', v_fill.fill_id, v_reason)
    where v_money.cash <> 0;

    perform bus.record_event(
        'fill', v_fill.fill_id, 'busted', v_fill.intent_id, jsonb_build_object('reason', v_reason)
    );
    perform trade.arm_exits(v_fill.account_id, v_fill.instrument_id, v_fill.owner);
    perform trade.release_unsent_intents(v_fill.account_id, v_fill.instrument_id, v_fill.owner);
    return 'BUSTED';
end;
$$;

comment on function api.bust_fill is
    'Undoes a fill that the venue busted, once, by new rows. Returns BUSTED, DUPLICATE or UNMATCHED. Raises TRI02, '
    'TRM02.';

create or replace trigger _100_append_only
before update or delete on trade.busts
for each row execute function bus.tg_append_only();

create or replace trigger _110_no_truncate
before truncate on trade.busts
for each statement execute function bus.tg_append_only();
