-- 10_matching: the paper broker.  It matches orders against the best prices we know (the cross model: an order fills
-- when the other side reaches its limit, up to the size shown, and each quote's size is used once).  It keeps its own
-- books, and the other rooms query it like any broker.

create or replace view paper.matchable as
select
    o.paper_order_id,
    o.account,
    o.instrument_id,
    b.received_seq,
    s.price,
    s.size - coalesce(t.quantity, 0) as size
from paper.orders as o
join market.prices_best as b on b.instrument_id = o.instrument_id
cross join lateral (
    select
        case o.side when 'BUY' then b.ask_is_sound else b.bid_is_sound end as is_sound,
        case o.side when 'BUY' then b.ask else b.bid end as price,
        case o.side when 'BUY' then b.ask_size else b.bid_size end as size
) as s
left join paper.taken as t
    on t.instrument_id = o.instrument_id and t.side = o.side and t.received_seq = b.received_seq
where o.status = 'OPEN'
  and s.is_sound
  and s.size > coalesce(t.quantity, 0)
  and case
      when o.order_type <> 'LIMIT' then true
      when o.side = 'BUY' then s.price <= o.limit_price
      else s.price >= o.limit_price
  end;

comment on view paper.matchable is
    'Open orders that the current best price of their other side reaches, with that price and what is left of the size '
    'it showed.';

create or replace function paper.take_size(
    p_order        paper.orders,
    p_received_seq bigint,
    p_quantity     numeric
)
returns void
language sql
volatile
begin atomic
    insert into paper.taken as t (instrument_id, side, received_seq, quantity)
    values (p_order.instrument_id, p_order.side, p_received_seq, p_quantity)
    on conflict (instrument_id, side) do update
    set quantity = excluded.quantity + case when t.received_seq = excluded.received_seq then t.quantity else 0 end,
        received_seq = excluded.received_seq;
end;

comment on function paper.take_size is
    'Notes what an order takes of the size that a quote showed: all orders together use each quote''s size once.';

create or replace function paper.match_order(p_paper_order_id bigint)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order paper.orders;
    v_match paper.matchable;
    v_fees  market.fee_rates;
    v_qty   numeric;
begin
    select o.* into v_order from paper.orders as o where o.paper_order_id = p_paper_order_id for no key update;

    if not exists (select from paper.matchable as m where m.paper_order_id = p_paper_order_id) then
        return 0;
    end if;

    -- Readers use the fill number as a cursor, so fills must become visible in the order of their numbers.
    lock table paper.fills in exclusive mode;

    -- Look again: another order may have taken the rest of the size while we waited.
    select m.* into v_match from paper.matchable as m where m.paper_order_id = p_paper_order_id;

    if not found then
        return 0;
    end if;

    v_qty := least(v_order.quantity - v_order.filled_qty, v_match.size);
    perform paper.take_size(v_order, v_match.received_seq, v_qty);

    select (market.fees_at(i.venue, bus.clock())).* into v_fees
    from market.instruments as i
    where i.instrument_id = v_order.instrument_id;

    insert into paper.fills (paper_order_id, account, quantity, price, fee, tax)
    values (
        p_paper_order_id, v_order.account, v_qty, v_match.price,
        -- Truncate, do not round: the reservation is exact, and no cost may exceed it.
        trunc(v_qty * v_match.price * v_fees.taker_rate, 8),
        trunc(v_qty * v_match.price * case v_order.side when 'BUY' then v_fees.buy_tax_rate else v_fees.sell_tax_rate end, 8)
    );

    update paper.orders as o
    set filled_qty = o.filled_qty + v_qty,
        status = case when o.filled_qty + v_qty = o.quantity then 'FILLED' else 'OPEN' end
    where o.paper_order_id = p_paper_order_id;

    return 1;
end;
$$;

comment on function paper.match_order is
    'Matches one order against the current best price; returns how many fills it made, 0 or 1.';

create or replace function api.paper_match(p_symbols text[] default null)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_id    bigint;
    v_count integer := 0;
begin
    for v_id in
        select o.paper_order_id
        from paper.orders as o
        join paper.matchable as m on m.paper_order_id = o.paper_order_id
        join market.instruments as i on i.instrument_id = o.instrument_id
        where p_symbols is null or i.symbol = any(p_symbols)
        order by o.paper_order_id
        for no key update of o skip locked
    loop
        begin
            v_count := v_count + paper.match_order(v_id);
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform risk.note_failed_item('paper_match', format('paper order %s', v_id), sqlstate, sqlerrm);
        end;
    end loop;

    return v_count;
end;
$$;

comment on function api.paper_match is
    'Matches open paper orders of these symbols (null for all) against the best prices; returns how many fills it '
    'made.';
