-- 71_known_fills: finds out whether a reported fill is already known.  A venue may report a fill again with other
-- costs, for another day, or corrected after a bust; a report that matches nothing is kept, each different one once.

create or replace function trade.known_fill(
    p_order          trade.orders,
    p_broker_fill_id text,
    p_date           date,
    p_is_time_told   boolean
)
returns trade.fills
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_known trade.fills;
begin
    -- Within one order the fill id is enough: a fill may be reported on each side of midnight.  If either report lacked
    -- a time, the fill may be stored under another trade date, even at the parent or child of an amend.
    select f.* into v_known
    from trade.fills as f
    where f.intent_id = p_order.intent_id
      and f.broker_fill_id = p_broker_fill_id
      and (f.order_id = p_order.order_id or not p_is_time_told or not f.is_time_told)
    order by f.revision desc, f.fill_id desc
    limit 1;

    if not found then
        select f.* into v_known
        from trade.fills as f
        where (f.account_id, f.instrument_id, f.trade_date, f.broker_fill_id)
            = (p_order.account_id, p_order.instrument_id, p_date, p_broker_fill_id)
        order by f.revision desc
        limit 1;
    end if;

    return v_known;
end;
$$;

comment on function trade.known_fill is 'The latest report we have of a fill; null when the fill is new.';

create or replace function trade.is_busted(p_fill_id bigint)
returns boolean
language sql
stable
begin atomic
    select exists (select from trade.busts as b where b.fill_id = p_fill_id);
end;

comment on function trade.is_busted is 'Whether the venue busted a fill.';

create or replace function trade.is_repeat_of_busted_fill(
    p_known    trade.fills,
    p_quantity numeric,
    p_notional numeric
)
returns boolean
language sql
stable
begin atomic
    select exists (
        select
        from trade.fills as f
        join trade.fill_money as m on m.fill_id = f.fill_id
        where f.intent_id = p_known.intent_id
          and f.broker_fill_id = p_known.broker_fill_id
          and f.quantity = p_quantity
          and p_notional in (m.notional, f.quantity * f.price)
          and trade.is_busted(f.fill_id)
    );
end;

comment on function trade.is_repeat_of_busted_fill is
    'Whether a report repeats a busted fill, with the same quantity and notional.';

create or replace function trade.corrected_quantity(
    p_known    trade.fills,
    p_quantity numeric
)
returns numeric
language sql
stable
begin atomic
    select least(p_quantity, coalesce(max(f.quantity), 0))
    from trade.fills as f
    where f.intent_id = p_known.intent_id
      and f.broker_fill_id = p_known.broker_fill_id;
end;

comment on function trade.corrected_quantity is
    'How much of a corrected fill its order and intent had already counted before the bust.';

create or replace function trade.next_revision(
    p_known trade.fills,
    p_date  date
)
returns integer
language sql
stable
begin atomic
    -- Another order may have used the same fill id on that day, with corrections of its own.
    select 1 + greatest(p_known.revision, max(f.revision))
    from trade.fills as f
    where (f.account_id, f.instrument_id, f.trade_date, f.broker_fill_id)
        = (p_known.account_id, p_known.instrument_id, p_date, p_known.broker_fill_id);
end;

comment on function trade.next_revision is 'The revision number of a corrected fill that is reported for this day.';

create or replace function trade.answer_to_known_fill(
    p_known     trade.fills,
    p_intent_id bigint,
    p_quantity  numeric,
    p_notional  numeric,
    p_fee       numeric,
    p_tax       numeric,
    p_fee_qty   numeric
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_known.intent_id <> p_intent_id then
        return 'UNMATCHED';
    elsif (p_known.revision > 0 or trade.is_busted(p_known.fill_id))
        and trade.is_repeat_of_busted_fill(p_known, p_quantity, p_notional) then
        return 'DUPLICATE';
    elsif trade.is_busted(p_known.fill_id) then
        return null;
    end if;

    return case
        when p_known.quantity = p_quantity then trade.correct_fill(p_known, p_notional, p_fee_qty, p_fee, p_tax)
        else 'UNMATCHED'
    end;
end;
$$;

comment on function trade.answer_to_known_fill is
    'Handles a repeated report of a fill: returns DUPLICATE, RESTATED or UNMATCHED; null when the known fill was '
    'busted, so that the caller books this report as its correction. The caller holds the locks.';
